"""What baselines with a model got on the published messages, of the results that ship: a table for the documents."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from ablation.config.flags import typed
from ablation.environment import PROJECT
from ablation.results.baseline_columns import AREAS, BASELINE_SETTINGS, FEW

SHIPPED = PROJECT / "results" / "reference" / "results.csv"
BESIDE = "B3"  # the best that needs no model
Line = Mapping[str, str]


def shipped_baselines_table() -> str:
    """A line for each baseline and its settings, beside the best that needs no model; of several seeds the mean ± the
    standard deviation."""
    with SHIPPED.open(encoding="utf-8", newline="") as lines:
        found = [line for line in csv.DictReader(lines) if not line[FEW]]
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in found:
        if line["row"] == BESIDE or (line["row"].startswith("B") and line[BASELINE_SETTINGS]):
            groups.setdefault((line["row"], line[BASELINE_SETTINGS]), []).append(line)
    head = "| baseline | runs | validation, % | test, % | area under ROC: validation, test |"
    table = [head, "| --- | --- | --- | --- | --- |"]
    for (row, settings), runs in sorted(groups.items()):
        columns = ("validation_acc", "test_acc")
        accuracies = (_figure([100 * float(run[column]) for run in runs], 2) for column in columns)
        areas = ", ".join(_figure([float(run[area]) for run in runs if run[area]], 3) for area in AREAS)
        flags = typed(json.loads(settings or "{}"))
        table.append(f"| {' | '.join([_command(row, flags), str(len(runs)), *accuracies, areas])} |")
    return "\n".join(table)


def _command(row: str, flags: str) -> str:
    return f"`{' '.join(filter(None, ['--rows', row, flags]))}`"


def _figure(values: Sequence[float], digits: int) -> str:
    """``93.33``, ``97.33 ± 0.42``; nothing of none."""
    if not values:
        return "–"
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"
