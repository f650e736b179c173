"""The report as one HTML file that needs nothing else: table, questions, pictures, in light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ablation.report.answers import Answer
from ablation.report.cells import ANSWER_COLUMNS, NOTHING, Column, filled_columns, how_text
from ablation.report.contents import Contents
from ablation.report.markdown import EXPLANATION, FAMILIES, messages_text, unanswered_text
from ablation.report.table import Line
from ablation.words import plural

TEMPLATE = Path(__file__).with_name("page.html")
WRAPPED = ("Row", "Setting", "Device")
SHOWN_APART = ("Question", "Compared", "Verdict", "How, and what to know")


def report_page(contents: Contents, pictures: Sequence[tuple[str, str, str]]) -> str:
    """The page; ``pictures`` are (name, caption, SVG)."""
    parts = ["<h1>Spam-classifier ablations: results</h1>"]
    if contents.disclaimer:
        parts.append(f"<p><strong>{escape(contents.disclaimer)}</strong></p>")
    parts.append(f"<p>{plural(contents.runs, 'run')}. {escape(messages_text(contents))}</p>")
    parts += ["<h2>Table</h2>", _table(contents.lines) if contents.lines else "<p>No results yet.</p>"]
    parts.append(f'<p class="quiet">{escape(EXPLANATION[0])}</p>')
    for family, title in FAMILIES.items():
        parts.append(f"<h2>{escape(title)}</h2>")
        parts += [_question(answer) for answer in contents.answered(family)]
        if unanswered := contents.unanswered(family):
            items = (f"{escape(answer.question.text)} {escape(how_text(answer))}" for answer in unanswered)
            parts.append(f"<details><summary>{escape(unanswered_text(unanswered))}</summary>{_items(items)}</details>")
    parts.append(f'<p class="quiet">{escape(EXPLANATION[1])}</p>')
    if pictures:
        parts.append("<h2>Pictures</h2>")
        parts += [_picture(*picture) for picture in pictures]
    if contents.missing:
        items = (f"{escape(what)}: <code>{escape(command)}</code>" for what, command in contents.missing)
        parts += ["<h2>Missing</h2>", _items(items)]
    if contents.notes or contents.problems:
        parts += ["<h2>Left out</h2>", _items(escape(note) for note in [*contents.notes, *contents.problems])]
    return TEMPLATE.read_text(encoding="utf-8").replace("{{body}}", "\n".join(parts))


def _items(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def _table(lines: Sequence[Line]) -> str:
    columns = filled_columns(lines)
    header = "".join(
        f'<th scope="col"><button type="button" title="{escape(column.meaning)}">{escape(column.title)}</button></th>'
        for column in columns
    )
    rows = "".join(f"<tr>{''.join(_cell(column, line) for column in columns)}</tr>\n" for line in lines)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of results"><table class="sortable">'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>"
    )


def _cell(column: Column, line: Line) -> str:
    text = escape(column.text(line))
    if column.title not in WRAPPED:  # figures break where they have parts, and nowhere else
        text = text.replace(" (", "<br>(").replace("; ", "<br>")
        return f'<td class="figures" data-order="{_order(column.order(line))}">{text}</td>'
    return f'<td data-order="{_order(column.order(line))}">{text.replace(" --", "<br>--")}</td>'


def _order(value: float | str) -> str:
    """What a cell is sorted by; empty for no value."""
    if isinstance(value, str):
        return escape(value)
    return "" if math.isnan(value) else repr(float(value))


def _question(answer: Answer) -> str:
    cells = {title: text(answer) for title, text in ANSWER_COLUMNS}
    shown = ((title, cell) for title, cell in cells.items() if title not in SHOWN_APART and cell != NOTHING)
    figures = " · ".join(f"{title} {cell}" for title, cell in shown)
    parts = [f"<h3>{escape(cells['Question'])}</h3>", f"<p class='quiet'>{escape(cells['Compared'])}</p>"]
    if answer.verdict:
        parts.append(f"<p class='verdict'>{escape(answer.verdict)}</p>")
    if answer.difference is not None:
        parts.append(f"<p>{escape(figures)}</p>")
    parts.append(f"<p class='quiet'>{escape(cells['How, and what to know'])}</p>")
    return f"<div class='question'>{''.join(parts)}</div>"


def _picture(name: str, caption: str, svg: str) -> str:
    label = escape(caption)
    return (
        f'<figure id="{escape(name)}"><div class="scroll" tabindex="0" role="region" aria-label="{label}">{svg}</div>'
        f"<figcaption class='quiet'>{label}</figcaption></figure>"
    )
