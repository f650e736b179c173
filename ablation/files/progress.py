"""How far a transfer has come: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ablation.files.wanted import Report


@contextmanager
def progress(
    name: str, start: int, total: int | None, report_every: float, report: Report
) -> Iterator[Callable[[int], object]]:
    """Gives a function that counts arriving bytes. `start` of `total` bytes are there; lines come each `report_every`
    seconds."""
    if not sys.stderr.isatty():
        yield _Lines(name, start, total, report_every, report).advance
        return
    from tqdm import tqdm

    with tqdm(
        desc=name, initial=start, total=total, unit="B", unit_scale=True, unit_divisor=1000, file=sys.stderr
    ) as bar:
        yield bar.update


class _Lines:
    def __init__(self, name: str, start: int, total: int | None, report_every: float, report: Report) -> None:
        self.name, self.start, self.total, self.report_every, self.report = name, start, total, report_every, report
        self.have = start
        self.began = self.last = time.monotonic()

    def advance(self, count: int) -> None:
        self.have += count
        now = time.monotonic()
        if now - self.last < self.report_every:
            return
        self.last, rate = now, (self.have - self.start) / max(now - self.began, 1e-9)
        line = f"{self.name}: {self.have / 1e6:.1f} MB"
        if self.total:
            left = max(0, self.total - self.have) / rate
            line += f" of {self.total / 1e6:.1f} MB ({self.have / self.total:.0%}), {left:.0f} s left"
        self.report(f"{line}, {rate / 1e6:.2f} MB/s")
