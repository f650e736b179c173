"""Messages line by line from a file or a pipe, one bad line not standing in the way of the next."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

LONGEST_LINE = 2**22  # bytes; four million, far beyond any message, and all that is ever held of a line
MEMORY = 2**24  # bytes that a group of lines holds, give or take one line


@dataclass(frozen=True)
class InputLine:
    """One line: its number from 1, its text, or why it has none."""

    number: int
    text: str
    problem: str = ""


def read_lines(stream: BinaryIO) -> Iterator[InputLine]:
    """The lines of a stream of bytes, read as they are asked for. A byte-order mark and Windows line ends are
    no part of a message."""
    number = 0
    while raw := stream.readline(LONGEST_LINE):
        number += 1
        if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield InputLine(number, "", f"the line has more than {LONGEST_LINE:,} bytes; a message is one short line")
            continue
        raw = raw.rstrip(b"\r\n")
        try:
            yield InputLine(number, raw.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            yield InputLine(number, "", f"not UTF-8 text (byte {error.start + 1} of the line)")


def groups(lines: Iterable[InputLine], count: int, size: int = MEMORY) -> Iterator[list[InputLine]]:
    """Consecutive lines, at most ``count`` together; a line with which they hold ``size`` bytes of memory is the last
    of its group."""
    group, held = list[InputLine](), 0
    for line in lines:
        group.append(line)
        held += sys.getsizeof(line.text)  # a character of a text with emoji takes four bytes
        if len(group) == count or held >= size:
            yield group
            group, held = [], 0
    if group:
        yield group
