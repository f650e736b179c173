"""The rows of a task as a list for a person: number, published figures, and the flags that a row stands for."""

from __future__ import annotations

import shutil
import textwrap

from ablation.config.flags import typed
from ablation.config.settings import CommonSettings
from ablation.config.shapes import short_model_size
from ablation.environment import python_command
from ablation.results.task import Task


def row_list(task: Task, config: CommonSettings) -> str:
    """Every row in the order of the table, no line longer than the terminal is wide, and how to run one.

    Args:
        config: of the command that asks; the one that is suggested has its ``--demo`` and ``--results_dir``.

    Raises:
        ResultsError: the published table is not there.
    """
    metric, published = task.headline, task.published()
    lines = [f"row  {metric.label:>8}  minutes  flags that --row stands for (figures as published)"]
    for row, settings in task.rows.items():
        figures = {metric.name: "–", "training_minutes": "–", **published.get(str(row), {})}
        short = {name: short_model_size(value) if name == "model_size" else value for name, value in settings.items()}
        percent = " " if figures[metric.name] == "–" else "%"
        start = f"{row:>3}  {figures[metric.name]:>6} {percent}  {figures['training_minutes']:>7}  "
        lines.append(start + (typed(short) or "(none: the defaults)"))
    lines.append(f"one of them: {python_command()} {task.command} --row 5{carried(config)}")
    return "\n".join(_folded(line) for line in lines)


def carried(config: CommonSettings) -> str:
    """The flags of a command that any other needs, too, to go by the same data and results; a blank before them."""
    demo = " --demo" if config.demo else ""
    usual = type(config)(demo=config.demo).results_dir
    return demo + (f" {typed({'results_dir': config.results_dir})}" if config.results_dir != usual else "")


def _folded(line: str) -> str:
    width = shutil.get_terminal_size().columns
    return textwrap.fill(line, width, subsequent_indent=" " * 24, break_long_words=False, break_on_hyphens=False)
