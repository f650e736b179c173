"""What a person sees of a run: lines, and a progress bar where the output is a terminal."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ablation.commands import say
from ablation.config.own_data import records_own_data
from ablation.data.demo import disclaimer
from ablation.listener import Count, Listener, StepLosses
from ablation.results.runs import as_record
from ablation.results.task import Metric, Task


class Console(Listener):
    """Prints what happens; bars go to standard error and only to a terminal, lines to standard output."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def message(self, line: str) -> None:
        with tqdm.external_write_mode(file=sys.stdout):
            say(line)

    def work_started(self, what: str, amount: int, unit: str) -> None:
        self._bar = tqdm(total=amount, desc=what, unit=unit, unit_scale=amount > 100_000, leave=False, disable=None)

    def work_advanced(self, amount: int) -> None:
        if self._bar is not None:
            self._bar.update(amount)

    def work_ended(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def evaluated(self, losses: StepLosses) -> None:
        self.message(
            f"Ep {losses.epoch} (Step {losses.step:06d}): "
            f"Train loss {losses.train_loss:.3f}, Val loss {losses.validation_loss:.3f}"
        )

    def epoch_ended(self, epoch: int, train: Count, validation: Count) -> None:
        self.message(
            f"Ep {epoch} done: training accuracy {train.accuracy:.2%}, validation accuracy {validation.accuracy:.2%}"
            f" (over {train.total} and {validation.total} messages)"
        )


def summary(task: Task, rows: Sequence[Mapping[str, Any]], results_csv: Path) -> str:
    """The rows of a run as appended, as a person reads them, published figures beside them where there are any."""
    first, record = rows[0], as_record(rows)
    evaluations = record.pop("evaluations", [{}])
    wrap = textwrap.TextWrapper(110, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    is_published = bool(first["row"]) and not first["demo"]
    published = task.published().get(str(first["row"])) if is_published else None
    appended = "row" if len(rows) == 1 else f"{len(rows)} rows"
    lines = [f"{appended} appended to {results_csv}:", wrap.fill(_settings(record))]
    for row, evaluation in zip(rows, evaluations, strict=True):
        own = _settings({name: evaluation[name] for name in task.evaluation_columns if name in evaluation})
        lines += ["", f"{own:24}{'this run':>18}" + (f"{'published':>12}" if published else "")]
        lines += [_metric_line(metric, row, published) for metric in task.metrics]
    line = f"{'training time':24}{first['training_minutes']:>16.2f} min"
    lines.append(
        line + (f"{float(published['training_minutes']):>8.2f} min ({published['device']})" if published else "")
    )
    if first["demo"]:
        lines.append(disclaimer(records_own_data(first)).long)
    return "\n".join(lines)


def _settings(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={'' if value is None else value}" for name, value in values.items())


def _metric_line(metric: Metric, row: Mapping[str, Any], published: Mapping[str, str] | None) -> str:
    if metric.split is None:
        return f"{metric.title:24}{row[metric.name]:>18.4f}" + (f"{published[metric.name]:>12}" if published else "")
    counts = f"({row[f'{metric.split}_correct']}/{row[f'{metric.split}_total']})"
    line = f"{metric.title:24}{row[metric.name]:>8.2%} {counts:>11}"
    return line + (f"{float(published[metric.name]):>10.2f} %" if published else "")
