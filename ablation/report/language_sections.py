"""What the page of a language model is made of: sections with pictures and tables, the same for HTML and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup
from matplotlib.figure import Figure

Drawing = Callable[[], tuple[Figure, str] | None]  # with the caption: what the figure shows


@dataclass(frozen=True)
class Marked:
    """A text in pieces, some of them marked."""

    pieces: Sequence[tuple[str, bool]]

    def __html__(self) -> Markup:
        """As the templates show it."""
        mark = Markup("<mark>{}</mark>")
        return Markup("").join(mark.format(text) if marked else text for text, marked in self.pieces)

    def __str__(self) -> str:
        """As Markdown."""
        return "".join(f"**{text}**" if marked else text for text, marked in self.pieces)


Cell = str | Marked


@dataclass(frozen=True)
class CellTable:
    """A table: what it shows, its header, its lines, how to read it, and whether it is folded where that can be."""

    title: str
    header: Sequence[str]
    lines: Sequence[Sequence[Cell]]
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: its id on the page.
        pictures: by file name, how each is drawn.
    """

    anchor: str
    title: str
    intro: str = ""
    pictures: Mapping[str, Drawing] = field(default_factory=dict)
    tables: Sequence[CellTable] = ()
