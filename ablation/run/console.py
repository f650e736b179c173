"""What a person sees of a run: lines, and a progress bar where the output is a terminal."""

from __future__ import annotations

import csv
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ablation.data.demo import DISCLAIMER
from ablation.environment import PROJECT
from ablation.listener import Count, Evaluation, Listener

PUBLISHED_TABLE = PROJECT / "data" / "published_table.csv"


class Console(Listener):
    """Prints what happens; bars go to standard error and only to a terminal, lines to standard output."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def message(self, line: str) -> None:
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def work_started(self, what: str, amount: int, unit: str) -> None:
        self._bar = tqdm(total=amount, desc=what, unit=unit, unit_scale=amount > 100_000, leave=False, disable=None)

    def work_advanced(self, amount: int) -> None:
        if self._bar is not None:
            self._bar.update(amount)

    def work_ended(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def evaluated(self, evaluation: Evaluation) -> None:
        self.message(
            f"Ep {evaluation.epoch} (Step {evaluation.step:06d}): "
            f"Train loss {evaluation.train_loss:.3f}, Val loss {evaluation.validation_loss:.3f}"
        )

    def epoch_ended(self, epoch: int, train: Count, validation: Count) -> None:
        self.message(
            f"Ep {epoch} done: training accuracy {train.accuracy:.2%}, validation accuracy {validation.accuracy:.2%}"
            f" (over {train.total} and {validation.total} messages)"
        )


def published_row(row: int) -> dict[str, str] | None:
    """The published figures of one row, by the column names of ``data/published_table.csv``; None of a row that was
    added since."""
    with PUBLISHED_TABLE.open(encoding="utf-8", newline="") as file:
        return next((line for line in csv.DictReader(file) if line["row"] == str(row)), None)


def summary(row: Mapping[str, Any], results_csv: Path) -> str:
    """The row as appended, as a person reads it, the published figures beside it where there are any."""
    published = published_row(row["row"]) if row["row"] and not row["demo"] else None
    settings = " ".join(f"{name}={'' if value is None else value}" for name, value in row.items())
    settings = textwrap.fill(settings, 110, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    lines = [f"row appended to {results_csv}:", settings, ""]
    lines += [f"{'':24}{'this run':>18}" + (f"{'published':>12}" if published else "")]
    for label, split, column in (
        ("training accuracy", "train", "training_acc"),
        ("validation accuracy", "validation", "validation_acc"),
        ("test accuracy", "test", "test_acc"),
    ):
        counts = f"({row[f'{split}_correct']}/{row[f'{split}_total']})"
        line = f"{label:24}{row[column]:>8.2%} {counts:>11}"
        lines.append(line + (f"{float(published[column]):>10.2f} %" if published else ""))
    line = f"{'training time':24}{row['training_minutes']:>16.2f} min"
    lines.append(
        line + (f"{float(published['training_minutes']):>8.2f} min ({published['device']})" if published else "")
    )
    if row["demo"]:
        lines.append(DISCLAIMER)
    return "\n".join(lines)
