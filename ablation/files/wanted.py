"""The terms of fetching: which file, with how much patience, and what may go wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from ablation.commands import tell

LARGEST = 16 << 30  # bytes; GPT-2 XL has 6 GiB
Report = Callable[[str], None]  # where lines for people go


class DownloadError(Exception):
    """A file cannot be had; one line: what, which value, what to do."""


@dataclass(frozen=True)
class WantedFile:
    """Manifest entry of one file.

    `title` is what people call it, where its name says nothing. `size` is in bytes; where it was computed rather than
    seen (`size_is_exact=False`) it serves the free-space check and the ceiling only. `sha256` is lower-case
    hexadecimal.
    """

    name: str
    addresses: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    size_is_exact: bool = True
    title: str = ""

    @property
    def called(self) -> str:
        return self.title or self.name

    @property
    def exact_size(self) -> int | None:
        return self.size if self.size_is_exact else None

    @property
    def ceiling(self) -> int:
        """Bytes beyond which nothing is taken: the exact size, twice a computed one, or what no published file has."""
        if self.size is None:
            return LARGEST
        return self.size if self.size_is_exact else 2 * self.size


@dataclass(frozen=True)
class Patience:
    """How long to put up with a bad connection; everything in seconds but `attempts` and `slowest`."""

    attempts: int = 6  # failures in a row, each with less than a second's `slowest` of new bytes, before giving up
    attempts_to_connect: int = 2  # the same for an address that never answered: who is offline waits in vain
    first_wait: float = 1.0  # doubles with each failure
    longest_wait: float = 60.0
    longest_retry_after: float = 300.0
    connect_timeout: float = 15.0
    stall_timeout: float = 30.0  # without a single byte
    slowest: float = 4096.0  # bytes a second; fewer over `slowest_over` seconds, and the next address is tried
    slowest_over: float = 60.0
    lock_poll: float = 1.0
    lock_timeout: float = 900.0  # waiting for another process whose .part does not change
    report_every: float = 5.0  # between progress lines where there is no terminal


def to_stderr(line: str) -> None:
    tell(line, sys.stderr)
