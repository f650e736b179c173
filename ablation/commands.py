"""What every command shares: exit statuses, one line per error, and an end by a signal like one by Ctrl-C."""

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


def interrupt_on_signals() -> None:
    """From here on SIGTERM, and SIGHUP unless it is ignored (nohup), raise KeyboardInterrupt, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)


def _interrupt(signal_number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
