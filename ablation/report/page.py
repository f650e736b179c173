"""The report as one HTML file that needs nothing else: table, questions, pictures, in light and dark.

What stands around the values is up to ``page.html``; autoescape sees to it that no value can write HTML.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ablation.report.cells import FINDING_COLUMNS, NOTHING, Column, how_text, table_columns
from ablation.report.contents import Contents
from ablation.report.findings import Finding
from ablation.report.markdown import explanations, likeness_text, unanswered_text
from ablation.report.table import TableRow
from ablation.words import plural

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
WRAPPED = ("Row", "Setting", "Device")
SHOWN_APART = ("Question", "Compared", "Verdict", "How, and what to know")


def report_page(contents: Contents, pictures: Sequence[tuple[str, str, str]]) -> str:
    """The page; ``pictures`` are (name, caption, SVG)."""
    on_table, on_findings = explanations(contents)
    return TEMPLATES.get_template("page.html").render(
        contents=contents,
        summary=f"{plural(contents.runs, 'run')}. {likeness_text(contents)}",
        columns=table_columns(contents.task, contents.rows),
        cell=_cell,
        figures_text=_figures_text,
        how_text=how_text,
        unanswered_text=unanswered_text,
        on_table=on_table,
        on_findings=on_findings,
        pictures=[(name, caption, Markup(svg)) for name, caption, svg in pictures],  # drawn here, its texts escaped
    )


def _cell(column: Column, row: TableRow) -> dict[str, Any]:
    """A cell's lines, what it is sorted by, and whether it holds figures, which break where they have parts and nowhere
    else."""
    text, figures, order = column.text(row), column.title not in WRAPPED, column.order(row)
    text = text.replace(" (", "\n(").replace("; ", "\n") if figures else text.replace(" --", "\n--")
    if not isinstance(order, str):
        order = "" if math.isnan(order) else repr(float(order))  # no value: empty
    return {"lines": text.split("\n"), "order": order, "figures": figures}


def _figures_text(finding: Finding) -> str:
    """The findings' columns that hold figures, where this one has any."""
    cells = [(title, text(finding)) for title, text in FINDING_COLUMNS if title not in SHOWN_APART]
    return "" if finding.difference is None else " · ".join(f"{t} {cell}" for t, cell in cells if cell != NOTHING)
