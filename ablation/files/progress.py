"""How far a transfer has come: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ablation.files.wanted import Report


@contextmanager
def progress(
    name: str, start: int, total: int | None, report_every: float, report: Report
) -> Iterator[Callable[[int], object]]:
    """Gives a function that counts arriving bytes. `start` of `total` bytes are there; lines come each `report_every`
    seconds."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        units: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1000}
        with tqdm(desc=name, initial=start, total=total, file=sys.stderr, **units) as bar:
            yield bar.update
        return
    have, began, last = start, time.monotonic(), time.monotonic()

    def advance(count: int) -> None:
        nonlocal have, last
        have += count
        now = time.monotonic()
        if now - last >= report_every:
            last, rate = now, (have - start) / max(now - began, 1e-9)
            line = f"{name}: {have / 1e6:.1f} MB"
            if total:
                line += f" of {total / 1e6:.1f} MB ({have / total:.0%}), {max(0, total - have) / rate:.0f} s left"
            report(f"{line}, {rate / 1e6:.2f} MB/s")

    yield advance
