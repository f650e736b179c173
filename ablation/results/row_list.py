"""The rows of a task as a list for a person: number, published figures, and the flags that a row stands for."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from ablation.config.flags import CommandLine, typed
from ablation.config.settings import CommonSettings, fields_of
from ablation.config.shapes import short_model_size
from ablation.environment import python_command
from ablation.results.task import Task
from ablation.words import in_ranges

TOGETHER = "\N{NO-BREAK SPACE}"  # where no line ends
NOTHING = "–"
# title, alignment and width, how it is read from a row's published figures
Column = tuple[str, str, Callable[[Mapping[str, str]], str]]


def row_list(task: Task, config: CommonSettings) -> str:
    """Every row in the order of the table, no line longer than the terminal is wide, and how to run one.

    Args:
        config: of the command that asks; the one that is suggested has its ``--demo`` and ``--results_dir``.

    Raises:
        ResultsError: the published table is not there.
    """
    columns, published = _columns(task), task.published()
    heading = "".join(f"{title:{alignment}}  " for title, alignment, _ in columns)
    lines = [f"row  {heading}flags that --row stands for (figures as published)"]
    for row in task.rows:
        settings, figures = row_flags(task.command_line, row), published.get(str(row), {})
        short = {name: short_model_size(value) if name == "model_size" else value for name, value in settings.items()}
        start = f"{row:>3}  " + "".join(f"{cell(figures):{alignment}}  " for _, alignment, cell in columns)
        lines.append(start + (typed(short) or "(none: the defaults)"))
    indent = len(f"row  {heading}")
    if sets := task.command_line.row_sets:
        named = ", ".join(f"{name} ({in_ranges(rows)})" for name, rows in sets.items())
        lines.append(f"sets of rows, as --rows of a sweep takes them: {named}")
    lines.append(f"one of them: {python_command()} {task.command} --row 5{carried(config)}")
    return "\n".join(_folded(line, indent) for line in lines)


def _columns(task: Task) -> list[Column]:
    """What is published of the rows."""
    metric, published = task.headline, task.published().values()
    unit, title = (" %", metric.label) if metric.scale == 100 else ("", metric.title)

    def headline(figures: Mapping[str, str]) -> str:
        return f"{figures[metric.name]}{unit}" if metric.name in figures else NOTHING + " " * len(unit)

    columns: list[Column] = [(title, f">{max(8, len(title))}", headline)]
    for name, title, alignment in (("training_minutes", "minutes", ">"), ("name", "published as", "<")):
        cells = [figures[name] for figures in published if name in figures]
        if cells:
            width = max(map(len, (title, *cells)))
            columns.append((title, f"{alignment}{width}", _reader(name)))
    return columns


def _reader(name: str) -> Callable[[Mapping[str, str]], str]:
    return lambda figures: figures.get(name, NOTHING)


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


def _folded(line: str, indent: int) -> str:
    """In lines that fit the terminal, a flag never apart from its value."""
    width, together = shutil.get_terminal_size().columns, re.sub(r"(--\w+) (?=[^-\s])", rf"\1{TOGETHER}", line)
    text = textwrap.fill(
        together, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
    return text.replace(TOGETHER, " ")
