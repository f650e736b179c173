"""What every command shares: exit statuses, one line per error, and an end by SIGTERM like one by Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from typing import NoReturn

FINISHED, FAILED, WRONG_COMMAND, INTERRUPTED = 0, 1, 2, 130


def fail(lines: Iterable[str], status: int = FAILED) -> int:
    """Print each line as an error, and return the exit status."""
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
    return status


def interrupt_on_sigterm() -> None:
    """From here on SIGTERM raises KeyboardInterrupt, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(signal_number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
