"""The page of a language model as files: HTML that needs nothing else, Markdown, and the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ablation.report.language_chapter import LanguageContents
from ablation.report.language_sections import Drawing
from ablation.report.markdown import markdown_table, plain
from ablation.report.page import TEMPLATES
from ablation.report.pictures import draw_pictures

PAGE, MARKDOWN = "language_model.html", "language_model.md"
PREFIX = "language_"  # of its pictures' names

Drawn = Sequence[tuple[str, str, str]]  # name, caption, SVG


def write_language_page(contents: LanguageContents, folder: Path, beside: str = "") -> Path:
    """Write the page's files into a folder; pictures of an earlier one that are no more go.

    Args:
        beside: the file of the report that stands in the same folder, to be linked.

    Returns:
        Where the page is.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        section.anchor: draw_pictures(
            contents, folder, {name: _of_all(draw) for name, draw in section.pictures.items()}
        )
        for section in contents.sections
    }
    kept = {name for pictures in drawn.values() for name, *_ in pictures}
    for file in [*folder.glob(f"{PREFIX}*.png"), *folder.glob(f"{PREFIX}*.svg")]:
        if file.stem not in kept:
            file.unlink()
    (folder / MARKDOWN).write_text(language_markdown(contents, drawn), encoding="utf-8")
    (folder / PAGE).write_text(language_html(contents, drawn, beside), encoding="utf-8")
    return folder / PAGE


def _of_all(draw: Drawing) -> Callable[[Any], Any]:
    """A drawing that knows what it is of, called like one that does not."""
    return lambda _: draw()


def language_html(contents: LanguageContents, drawn: Mapping[str, Drawn], beside: str) -> str:
    """The page; ``drawn``: the pictures of each section, by its anchor."""
    pictures = {
        anchor: [(name, caption, Markup(svg)) for name, caption, svg in found] for anchor, found in drawn.items()
    }
    template = TEMPLATES.get_template(PAGE)
    return template.render(contents=contents, pictures=pictures, beside=beside)


def language_markdown(contents: LanguageContents, drawn: Mapping[str, Drawn]) -> str:
    """The same, with the pictures as files beside it."""
    parts = [f"# {contents.title}", contents.disclaimer, *map(plain, contents.answer), plain(contents.summary)]
    for section in contents.sections:
        parts += [f"## {section.title}", plain(section.intro)]
        parts += [f"![{plain(text)}]({name}.png)\n\n{plain(text)}" for name, text, _ in drawn[section.anchor]]
        for table in section.tables:
            lines = [[str(cell) for cell in line] for line in table.lines]
            parts += [f"### {table.title}"] if table.title != section.title else []
            parts += [markdown_table(table.header, lines), plain(table.note)]
    if contents.notes:
        parts += ["## Left out, and to know", "\n".join(f"* {plain(note)}" for note in contents.notes)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"
