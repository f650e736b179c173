"""Where messages come from: a file, a pipe, or somebody who types them."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from ablation.data.lines import ArrivingLines, InputLine, always
from ablation.data.message_table import Columns, read_messages

STANDARD_INPUT = "-"


@contextmanager
def open_messages(name: str, columns: Columns) -> Iterator[tuple[Iterator[InputLine], Callable[[], bool]]]:
    """The messages of a file, or of standard input for ``-``, as they are asked for; and whether the next one can be
    had without waiting.

    Raises:
        OSError: the file cannot be read.
        TableError: it is a table of which the column of messages is not clear; of standard input at its first message.
    """
    if name != STANDARD_INPUT:
        with Path(name).open("rb") as file:
            yield read_messages(file, name, columns), always
        return
    arriving = ArrivingLines(cast(io.BufferedIOBase, sys.stdin.buffer))

    def messages() -> Iterator[InputLine]:  # reads nothing before it is asked
        yield from read_messages(arriving, "standard input", columns)

    yield messages(), arriving.is_there


def stdin_is_piped() -> bool:
    """Whether somebody sends something: a pipe or a file, but no terminal, and not nothing (``/dev/null``)."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)
