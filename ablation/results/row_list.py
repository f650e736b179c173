"""The rows of a task as a list for a person: number, published figures, and the flags that a row stands for."""

from __future__ import annotations

import re
import shutil
import textwrap
from typing import Any

from ablation.config.flags import CommandLine, typed
from ablation.config.settings import CommonSettings, fields_of
from ablation.config.shapes import short_model_size
from ablation.environment import python_command
from ablation.results.task import Task
from ablation.words import in_ranges

TOGETHER = "\N{NO-BREAK SPACE}"  # where no line ends


def row_list(task: Task, config: CommonSettings) -> str:
    """Every row in the order of the table, no line longer than the terminal is wide, and how to run one.

    Args:
        config: of the command that asks; the one that is suggested has its ``--demo`` and ``--results_dir``.

    Raises:
        ResultsError: the published table is not there.
    """
    metric, published = task.headline, task.published()
    lines = [f"row  {metric.label:>8}  minutes  flags that --row stands for (figures as published)"]
    for row in task.rows:
        settings = row_flags(task.command_line, row)
        figures = {metric.name: "–", "training_minutes": "–", **published.get(str(row), {})}
        short = {name: short_model_size(value) if name == "model_size" else value for name, value in settings.items()}
        percent = " " if figures[metric.name] == "–" else "%"
        start = f"{row:>3}  {figures[metric.name]:>6} {percent}  {figures['training_minutes']:>7}  "
        lines.append(start + (typed(short) or "(none: the defaults)"))
    if sets := task.command_line.row_sets:
        named = ", ".join(f"{name} ({in_ranges(rows)})" for name, rows in sets.items())
        lines.append(f"sets of rows, as --rows of a sweep takes them: {named}")
    lines.append(f"one of them: {python_command()} {task.command} --row 5{carried(config)}")
    return "\n".join(_folded(line) for line in lines)


def row_flags(asked: CommandLine, row: int) -> dict[str, Any]:
    """What a row stands for, the method first, and the learning rate that it brings along."""
    settings = asked.rows[row]
    order = {name: place for place, name in enumerate(fields_of(asked.config_class))}
    if "method" not in settings:
        return {name: settings[name] for name in sorted(settings, key=order.__getitem__)}
    return {**settings, "learning_rate": asked.config_class(**settings).learning_rate}


def carried(config: CommonSettings) -> str:
    """The flags of a command that any other needs, too, to go by the same data and results; a blank before them."""
    demo = " --demo" if config.demo else ""
    usual = type(config)(demo=config.demo).results_dir
    return demo + (f" {typed({'results_dir': config.results_dir})}" if config.results_dir != usual else "")


def _folded(line: str) -> str:
    """In lines that fit the terminal, a flag never apart from its value."""
    width, together = shutil.get_terminal_size().columns, re.sub(r"(--\w+) (?=[^-\s])", rf"\1{TOGETHER}", line)
    text = textwrap.fill(together, width, subsequent_indent=" " * 24, break_long_words=False, break_on_hyphens=False)
    return text.replace(TOGETHER, " ")
