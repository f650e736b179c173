"""Rows, seeds and shards as people write them, and as they are written for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

MOST_NUMBERS = 10_000  # of a range; more seeds than anybody runs, and more runs than a plan can show


def parse_numbers(text: str, allowed: range | None = None) -> list[int]:
    """The numbers in ``1,3,16-19``, each once, in the order given.

    Raises:
        ValueError: a part is no number or range, runs backwards, is far too long, or leaves ``allowed``.
    """
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if match is None:
            raise ValueError(f"{part.strip()!r} is no number or range; write 1,3,16-19")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"{part.strip()} runs backwards; write {last}-{first}")
        if allowed is not None and not (first in allowed and last in allowed):
            wrong = first if first not in allowed else last
            raise ValueError(f"there is no {wrong}; give {allowed[0]} to {allowed[-1]}")
        if last - first >= MOST_NUMBERS:
            raise ValueError(f"{part.strip()} is {last - first + 1:,} numbers; give at most {MOST_NUMBERS:,}")
        numbers += range(first, last + 1)
    return list(dict.fromkeys(numbers))


def parse_rows(text: str, rows: Sequence[int], sets: Mapping[str, Sequence[int]]) -> list[int]:
    """:func:`parse_numbers` of the rows that there are, or of sets of them that have a name; ``all`` is each row
    if no set is called so.

    Raises:
        ValueError: as there.
    """
    named = {"all": rows, **sets}
    allowed = range(min(rows), max(rows) + 1)
    parts = [named.get(part.strip()) or _row_numbers(part, allowed, named) for part in text.split(",")]
    return list(dict.fromkeys(row for part in parts for row in part))


def _row_numbers(text: str, allowed: range, named: Iterable[str]) -> list[int]:
    try:
        return parse_numbers(text, allowed)
    except ValueError as error:
        raise ValueError(f"{error}, or {', '.join(named)}") from None


def write_numbers(numbers: Iterable[int]) -> str:
    """Numbers in ascending order as :func:`parse_numbers` reads them: ``1,3,16-19``."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    return ",".join("-".join(map(str, span)) for span in spans)


def write_rows(rows: Iterable[int]) -> str:
    """``row 1``; ``rows 1,3,16-19``."""
    rows = set(rows)
    return f"row{'s' * (len(rows) > 1)} {write_numbers(rows)}"


def parse_shard(text: str) -> tuple[int, int]:
    """``2/5`` as (2, 5).

    Raises:
        ValueError: it is none, or out of range.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None:
        raise ValueError("write which part of how many, as 2/5")
    part, parts = int(match[1]), int(match[2])
    if not 1 <= part <= parts:
        raise ValueError(f"there are parts 1 to {parts}; give one of them")
    return part, parts
