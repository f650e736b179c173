"""A task's CSV as it lies on the disk, line by line: what is sound, and what is damaged."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # what spreadsheets put before UTF-8
HEADER_COLUMN = "run_id"  # no file of results is without it
HASH_LENGTH = 64  # config_hash stands last and has a fixed length, so that a row cut short is recognised


@dataclass(frozen=True)
class Damage:
    """A line that is no row.

    Attributes:
        line: its number, from 1.
        words: what stands in it between commas, as far as it can be read.
        droppable: nothing is lost with it: cut short, so that whoever was writing it never returned, or a header.
    """

    line: int
    reason: str
    words: frozenset[str] = frozenset()
    droppable: bool = False

    def names(self, run_ids: Set[str]) -> bool:
        return not self.words.isdisjoint(run_ids)


@dataclass(frozen=True)
class Table:
    """What a file holds. A file that is missing or empty has no columns.

    Attributes:
        odd_line_ends: some are carriage returns alone.
    """

    columns: list[str]
    rows: list[dict[str, str]] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    odd_line_ends: bool = False

    def is_damaged(self, run_id: str) -> bool:
        """Whether a damaged line names the run, so that its rows are not all here."""
        return any(damage.names({run_id}) for damage in self.damage)


def cells_of(line: bytes) -> list[str]:
    """The values of one line.

    Raises:
        ValueError: it is damaged; the message says how.
    """
    try:
        return next(csv.reader([line.decode()], strict=True), [])
    except UnicodeDecodeError:
        raise ValueError("bytes that are not UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"not readable as CSV ({error})") from None


def header_problem(found: Sequence[str], columns: Sequence[str]) -> str:
    """What is wrong with the columns of a file, or an empty text; an older version's are fewer, a newer one's more."""
    if HEADER_COLUMN not in found:
        return "no results header"
    if len(set(found)) < len(found):
        return "a column stands twice in the header"
    unknown, lacking = [c for c in found if c not in columns], [c for c in columns if c not in found]
    if unknown and lacking:
        return f"column {unknown[0]!r} is unknown while {lacking[0]!r} is missing: renamed?"
    return ""


def read_table(path: Path, columns: Sequence[str]) -> Table:
    """The file at ``path``.

    Args:
        columns: of this version.

    Raises:
        OSError: it cannot be read.
    """
    data = path.read_bytes().removeprefix(BYTE_ORDER_MARK) if path.exists() else b""
    header, *lines = data.splitlines() or [b""]
    if not header and not lines:
        return Table([])
    try:
        found = cells_of(header)
        problem = header_problem(found, columns)
    except ValueError as error:
        found, problem = [], str(error)
    odd_line_ends = b"\r" in data.replace(b"\r\n", b"")
    rows, damage = [], []
    if problem:
        ours = HEADER_COLUMN in found or any(line.strip() for line in lines)
        damage.append(Damage(1, problem, droppable=ours))
    ended = data.endswith((b"\n", b"\r"))
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        if problem:
            damage.append(Damage(1, problem, _words(line)))
            continue
        is_cut = number == len(lines) + 1 and not ended
        row = _read_row(line, found, number, columns[-1], is_cut=is_cut)
        damage.append(row) if isinstance(row, Damage) else rows.append(row)
    return Table([] if problem else found, rows, damage, odd_line_ends)


def _read_row(line: bytes, columns: list[str], number: int, last: str, *, is_cut: bool) -> dict[str, str] | Damage:
    """A line of the file.

    Args:
        last: the last column of this version's files.
        is_cut: it has no line end.
    """
    try:
        cells = cells_of(line)
        if len(cells) != len(columns):
            raise ValueError(f"{len(cells)} values for {len(columns)} columns")
        if is_cut and columns[-1] == last and len(cells[-1]) != HASH_LENGTH:
            raise ValueError("cut short")
    except ValueError as error:
        return Damage(number, str(error), _words(line), droppable=is_cut)
    if is_cut and columns[-1] != last:
        return Damage(number, "no line end, so its last value may be cut short", _words(line))
    return dict(zip(columns, cells, strict=True))


def _words(line: bytes) -> frozenset[str]:
    return frozenset(re.split(r"[,\"\s]", line.decode(errors="replace")))
