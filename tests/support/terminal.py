"""A terminal that is none: what a command prints there, and how wide it is."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from unittest.mock import patch


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def a_terminal(columns: int) -> Iterator[io.StringIO]:
    """In place of both outputs, a stream that calls itself a terminal of so many columns."""
    terminal = _Terminal()
    size = {"COLUMNS": str(columns), "LINES": "40"}
    with patch.dict(os.environ, size), redirect_stdout(terminal), redirect_stderr(terminal):
        yield terminal
