"""The results as other documents show them: a short block for the README, the whole table for a page of the docs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ablation.report.contents import Contents
from ablation.report.documents import replace_block
from ablation.report.markdown import likeness_text, plain, results_table, table_of

BRIEF, WHOLE = "results", "results_table"  # names of the blocks
MOST_ROWS = 6  # of the short one, which is to stay within twelve lines


def brief_block(contents: Contents, command: str) -> str:
    """The answer and the best rows, and the command that renews them."""
    headline = contents.task.headline
    titles = (
        "Row",
        "Setting",
        "Runs",
        f"{headline.label.capitalize()} %",
        f"{headline.label.capitalize()}, 95 %",
        "Minutes",
    )
    sign = -1 if headline.more_is_better else 1
    whole = contents.on_all_examples()
    best = sorted(whole.rows, key=lambda row: sign * row.figures[headline.name].mean)[:MOST_ROWS]
    shown = [row for row in whole.rows if row in best]
    table = table_of(contents.task, shown, titles) if shown else "No results yet."
    return _joined(f"<!-- written by: {command} -->", plain(" ".join(contents.answer)), table)


def whole_block(contents: Contents, command: str) -> str:
    """The whole table and the verdicts."""
    verdicts = [f"* {f.question.text} ({f.question.name}) {f.verdict}." for f in contents.findings if f.verdict]
    table = results_table(contents) if contents.rows else "No results yet."
    return _joined(f"<!-- written by: {command} -->", likeness_text(contents), table, "\n".join(verdicts))


def _joined(*parts: str) -> str:
    return "\n\n".join(part.strip() for part in parts if part.strip())


def blocks_of(contents: Contents, command: str) -> dict[str, str]:
    """The blocks by name; ``command`` is what renews them."""
    return {BRIEF: brief_block(contents, command), WHOLE: whole_block(contents, command)}


def update_document(path: Path, blocks: Mapping[str, str]) -> None:
    """Replace what stands between ``<!-- results:begin -->`` and ``<!-- results:end -->``, and likewise for each block
    whose marker the document has.

    Raises:
        ValueError: no block's markers are there, once each and in order.
        OSError: the file cannot be read or written.
    """
    text = path.read_text(encoding="utf-8")
    there = [name for name in blocks if f"<!-- {name}:begin -->" in text] or [BRIEF]
    try:
        for name in there:
            text = replace_block(text, name, blocks[name])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    path.write_text(text, encoding="utf-8")
