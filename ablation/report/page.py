"""The report as one HTML file that needs nothing else: table, questions, pictures, in light and dark.

Here values are prepared; what stands around them, and that no value can write HTML, is up to ``page.html``.
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
    columns = table_columns(contents.task, contents.rows)
    on_table, on_findings = explanations(contents)
    return TEMPLATES.get_template("page.html").render(
        title=f"{contents.task.title}: results",
        disclaimer=contents.disclaimer,
        summary=f"{plural(contents.runs, 'run')}. {likeness_text(contents)}",
        columns=columns,
        rows=[[_cell(column, row) for column in columns] for row in contents.rows],
        on_table=on_table,
        families=[
            {
                "title": family.title,
                "answered": [_finding(finding) for finding in contents.answered(family)],
                "summary": unanswered_text(unanswered := contents.unanswered(family)),
                "unanswered": [f"{finding.question.text} {how_text(finding)}" for finding in unanswered],
            }
            for family in contents.families
        ],
        on_findings=on_findings,
        pictures=[(name, caption, Markup(svg)) for name, caption, svg in pictures],  # drawn here, its texts escaped
        missing=contents.missing,
        left_out=[*contents.notes, *contents.problems],
    )


def _cell(column: Column, row: TableRow) -> dict[str, Any]:
    """A cell's lines, what it is sorted by, and whether it holds figures, which break where they have parts and nowhere
    else."""
    text, figures = column.text(row), column.title not in WRAPPED
    text = text.replace(" (", "\n(").replace("; ", "\n") if figures else text.replace(" --", "\n--")
    return {"lines": text.split("\n"), "order": _order(column.order(row)), "figures": figures}


def _order(value: float | str) -> str:
    """What a cell is sorted by; empty for no value."""
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else repr(float(value))


def _finding(finding: Finding) -> dict[str, str]:
    cells = {title: text(finding) for title, text in FINDING_COLUMNS}
    shown = (f"{title} {cell}" for title, cell in cells.items() if title not in SHOWN_APART and cell != NOTHING)
    return {
        "question": finding.question.text,
        "compared": finding.question.name,
        "verdict": finding.verdict,
        "figures": "" if finding.difference is None else " · ".join(shown),
        "how": how_text(finding),
    }
