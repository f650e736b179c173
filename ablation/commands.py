"""What every command shares: exit statuses, one line per error, and an end by a signal like one by Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

FINISHED, FAILED, WRONG_COMMAND, INTERRUPTED = 0, 1, 2, 130


def fail(lines: Iterable[str], status: int = FAILED) -> int:
    """Print each line as an error, and return the exit status."""
    for line in lines:
        say(f"error: {line}", sys.stderr)
    return status


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line, on standard output if not said otherwise; nothing ends for want of somebody who reads it.

    Characters that the stream cannot write are replaced. Where it takes nothing any more (a closed pipe, a full disk),
    this and all later output goes nowhere.
    """
    stream = stream or sys.stdout
    if stream is None:  # closed before the program began
        return
    encoding = stream.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # also what the stream still holds
        os.close(nowhere)


def interrupt_on_signals() -> None:
    """From here on SIGTERM, and SIGHUP unless it is ignored (nohup), raise KeyboardInterrupt, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)


@contextmanager
def interrupts_held(afterwards: str) -> Iterator[None]:
    """Within, what interrupts (Ctrl-C, SIGTERM) waits for the end and interrupts then; a second time it does at once.

    Raises:
        KeyboardInterrupt: there was one; its argument is ``afterwards``, what is then true.
    """
    held: list[int] = []

    def hold(signal_number: int, frame: object) -> None:
        if held:
            raise KeyboardInterrupt("while the row was being appended; the results have it or not")
        held.append(signal_number)

    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    interrupting = (_interrupt, signal.default_int_handler)
    before = {number: signal.signal(number, hold) for number, found in handlers.items() if found in interrupting}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        raise KeyboardInterrupt(afterwards)


def _interrupt(signal_number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
