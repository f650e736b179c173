"""What every command shares: exit statuses, one line per error, lines that fit the terminal, and an end by a signal
like one by Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

FINISHED, FAILED, WRONG_COMMAND, INTERRUPTED = 0, 1, 2, 130


def fail(lines: Iterable[str], status: int = FAILED) -> int:
    """Print each line as an error, and return the exit status."""
    for line in lines:
        tell(f"error: {line}", sys.stderr)
    return status


def warn(line: str) -> None:
    """Print a line as a warning."""
    tell(f"warning: {line}", sys.stderr)


def tell(text: str, stream: TextIO | None = None) -> None:
    """:func:`say`; on a terminal folded to its width (see :func:`fold`). Elsewhere a line stays a line."""
    stream = stream or sys.stdout
    width = terminal_width(stream)
    say(text if width is None else fold(text, width), stream)


def terminal_width(stream: TextIO | None) -> int | None:
    """The columns of the terminal that a stream writes to; None if it does not."""
    return shutil.get_terminal_size().columns if stream is not None and stream.isatty() else None


def fold(text: str, width: int) -> str:
    """The text in lines of at most ``width`` characters, cut between words: a word or path that is longer stands alone.

    What belongs to a line is indented; where the line has columns (two spaces or more between them), to the second one.
    Lines that are indented themselves, such as commands to copy, stay as they are.
    """
    return "\n".join(_fold_line(line, width) for line in text.split("\n"))


def _fold_line(line: str, width: int) -> str:
    if len(line) <= width or line.startswith(" "):
        return line
    column = re.match(r"\S.*?\s{2,}", line)
    indent = column.end() if column and column.end() < width // 2 else 2
    return textwrap.fill(
        line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


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
