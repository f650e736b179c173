"""Messages line by line from a file or a pipe, one bad line not standing in the way of the next."""

from __future__ import annotations

import io
import select
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

LONGEST_LINE = 2**22  # bytes; four million, far beyond any message, and all that is ever held of a line
MEMORY = 2**24  # bytes that a group of lines holds, give or take one line
AT_ONCE = 2**16  # bytes asked of a pipe; more than Python's own buffer has, so that nothing stays behind in it


@dataclass(frozen=True)
class InputLine:
    """One message of a file: the number of its line from 1, its text, or why it has none; where the file says so, its
    label."""

    number: int
    text: str
    problem: str = ""
    label: str = ""


class ByteLines(Protocol):
    """Bytes that are read line by line, as of a file opened in binary mode."""

    def readline(self, limit: int = -1, /) -> bytes: ...


class ArrivingLines:
    """The lines of a pipe, and whether the next one is there yet.

    Args:
        stream: ``sys.stdin.buffer``, of which nothing has been read.
    """

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream, self._held, self._ended = stream, bytearray(), False

    def readline(self, limit: int = -1, /) -> bytes:
        """A line with its end, waited for; at most ``limit`` bytes of it; nothing at the end of the stream."""
        while (size := self._size(limit)) is None:
            self._read()
        line = bytes(self._held[:size])
        del self._held[:size]
        return line

    def is_there(self) -> bool:
        """Whether :meth:`readline` would not wait."""
        while self._size(LONGEST_LINE) is None and self._is_readable():
            self._read()
        return self._size(LONGEST_LINE) is not None

    def _size(self, limit: int) -> int | None:
        """Bytes of the next line, or what may be returned of it; None if more has to be read for it."""
        size = self._held.find(b"\n") + 1
        if not size:
            if not self._ended and not 0 <= limit <= len(self._held):
                return None
            size = len(self._held)
        return size if limit < 0 else min(size, limit)

    def _read(self) -> None:
        part = self._stream.read1(AT_ONCE)
        self._ended = not part
        self._held += part

    def _is_readable(self) -> bool:
        try:
            return bool(select.select([self._stream], [], [], 0)[0])
        except (OSError, ValueError):  # Windows cannot say it of a pipe; what is no file at all never waits
            return not hasattr(self._stream, "raw")


def read_lines(stream: ByteLines) -> Iterator[InputLine]:
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


def always() -> bool:
    return True


def groups(
    lines: Iterable[InputLine], count: int, size: int = MEMORY, *, is_there: Callable[[], bool] = always
) -> Iterator[list[InputLine]]:
    """Consecutive lines, at most ``count`` together; a line with which they hold ``size`` bytes of memory is the last
    of its group, and so is one behind which there is none yet, as ``is_there`` says."""
    group, held = list[InputLine](), 0
    for line in lines:
        group.append(line)
        held += sys.getsizeof(line.text)  # a character of a text with emoji takes four bytes
        if len(group) == count or held >= size or not is_there():
            yield group
            group, held = [], 0
    if group:
        yield group
