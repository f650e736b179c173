"""The report as one HTML file that needs nothing else: the answer, pictures, table, claims, questions, and a part for
each row, in light and dark. Beside it, on request, the page of a comparison.

What stands around the values is up to the templates; autoescape sees to it that no value can write HTML.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ablation.report import tried
from ablation.report.cells import FINDING_COLUMNS, NOTHING, Column, how_text, percent, table_columns
from ablation.report.claims import ClaimFinding
from ablation.report.compare import Comparison
from ablation.report.compare_text import difference_line
from ablation.report.contents import Contents
from ablation.report.details import anchor_of, details_of, seed_columns
from ablation.report.findings import Finding
from ablation.report.judgement import STATUSES
from ablation.report.learning_curves import PICTURE
from ablation.report.markdown import (
    BESIDE,
    FINDING_SIGNS,
    TABLE_SIGNS,
    chapter_intro,
    explanations,
    likeness_text,
    some_signs,
    unanswered_text,
)
from ablation.report.methods_chapter import TITLE, Table, without_empty_columns
from ablation.report.signs import signs
from ablation.report.table import TableRow
from ablation.results.questions import Family
from ablation.words import plural

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
WRAPPED = {"Row": "", "Setting": "setting", "Device": ""}  # columns of words, with their styles
SHOWN_APART = ("Question", "Compared", "Verdict", "How, and what to know")
MISTAKES = 20  # of a row, before the rest is folded


def report_page(
    contents: Contents,
    pictures: Sequence[tuple[str, str, str]],
    compare_command: str = "python report.py --compare",
    beside: str = "",
) -> str:
    """The page.

    Args:
        pictures: (name, caption, SVG) of each.
        compare_command: what puts two rows of these results side by side, without the rows.
        beside: the file with the page of language models, if there is one.
    """
    on_table, on_findings = explanations(contents)
    drawn = [(name, caption, Markup(svg)) for name, caption, svg in pictures]  # drawn here, its texts escaped
    curve_pictures = [picture for picture in drawn if picture[0] == PICTURE]
    places = [(contents.chapter.place_of(picture[0]), picture) for picture in drawn if picture not in curve_pictures]
    return TEMPLATES.get_template("page.html").render(
        contents=contents,
        summary=f"{plural(contents.runs, 'run')}. {likeness_text(contents)}",
        columns=table_columns(contents.task, contents.rows),
        reference_columns=table_columns(contents.task, contents.reference_rows),
        claims=claims_by_status(contents.claims),
        claims_summary=claims_summary(contents.claims),
        details=[
            details_of(contents.task, group, row, contents.likeness)
            for group, row in zip(contents.groups, contents.rows, strict=True)
        ],
        anchors={group.name: anchor_of(group.name) for group in contents.groups},
        seed_columns=seed_columns(contents.task),
        compare_command=compare_command,
        beside=beside,
        beside_title=BESIDE,
        SHOWN=MISTAKES,
        cell=_cell,
        spread=spread,
        area=area,
        percent=percent,
        figures_text=_figures_text,
        how_text=how_text,
        findings_table=lambda family: findings_table(contents, family),
        unanswered_text=unanswered_text,
        on_table=on_table,
        on_findings=on_findings,
        table_signs=some_signs(contents, TABLE_SIGNS),
        finding_signs=some_signs(contents, FINDING_SIGNS),
        status_signs=signs(contents.task),
        tried_title=tried.TITLE,
        tried_rule=tried.RULE,
        pictures=[picture for place, picture in places if place is None],
        chapter_pictures=[picture for _, picture in sorted(one for one in places if one[0] is not None)],
        curve_pictures=curve_pictures,
        chapter_title=TITLE,
        chapter_intro=chapter_intro(contents),
    )


def comparison_page(comparison: Comparison) -> str:
    """Two rows side by side, as a page of its own."""
    paired = comparison.paired
    return TEMPLATES.get_template("compare.html").render(
        comparison=comparison,
        difference=difference_line(comparison),
        how="; ".join([paired.method, *paired.notes]),
        percent=percent,
    )


def claims_by_status(claims: Sequence[ClaimFinding]) -> list[tuple[str, list[ClaimFinding]]]:
    """The claims of each verdict that any has."""
    found = [(str(status), [claim for claim in claims if claim.status == status]) for status in STATUSES]
    return [(status, some) for status, some in found if some]


def claims_summary(claims: Sequence[ClaimFinding]) -> str:
    """``3 held, 1 failed, 40 not run``."""
    return ", ".join(f"{len(found)} {status}" for status, found in claims_by_status(claims))


def spread(values: Sequence[float]) -> str:
    """Fractions over seeds as percent: ``97.1``, or ``97.1 ± 0.4``."""
    mean = f"{100 * statistics.fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * statistics.stdev(values):.1f}"


def area(values: Sequence[float]) -> str:
    """Areas under the ROC curve over seeds: ``0.981``, or ``0.981 ± 0.004``."""
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


def findings_table(contents: Contents, family: Family) -> Table:
    """The answered questions of a family, a line each: for families of more questions than have room as cards."""
    lines = [[text(finding) for _, text in FINDING_COLUMNS] for finding in contents.answered(family)]
    return without_empty_columns(Table(family.title, [title for title, _ in FINDING_COLUMNS], lines))


def _cell(column: Column, row: TableRow) -> dict[str, Any]:
    """A cell's lines, its styles, and what it is sorted by; figures break where they have parts and nowhere else."""
    text, figures, order = column.text(row), column.title not in WRAPPED, column.order(row)
    text = text.replace(" (", "\n(").replace("; ", "\n") if figures else text.replace(" --", "\n--")
    if not isinstance(order, str):
        order = "" if math.isnan(order) else repr(float(order))  # no value: empty
    styles = ["figures" if figures else WRAPPED[column.title], "" if column.narrow else "wide"]
    return {"lines": text.split("\n"), "order": order, "styles": " ".join(filter(None, styles))}


def _figures_text(finding: Finding) -> str:
    """The findings' columns that hold figures, where this one has any."""
    cells = [(title, text(finding)) for title, text in FINDING_COLUMNS if title not in SHOWN_APART]
    return "" if finding.difference is None else " · ".join(f"{t} {cell}" for t, cell in cells if cell != NOTHING)
