"""How long a run takes, and each part of it, over all the processes that it went on in."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

TOTAL = "total"


class Stopwatch:
    """Seconds since it was made, and per part; waits for what the device was asked to compute before it is read."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._started = device, time.perf_counter()
        self._earlier: Mapping[str, float] = {}
        self._ended: dict[str, float] = {}
        self._began: dict[str, float] = {}  # of parts that go on

    def go_on_from(self, spent: Mapping[str, float]) -> None:
        """Count what an earlier process has spent, too; of several accounts of it the longest."""
        if spent[TOTAL] > self._earlier.get(TOTAL, 0.0):
            self._earlier = spent

    def spent(self) -> dict[str, float]:
        """Seconds in all and per part, up to now."""
        now = self._now()
        spent = {**self._earlier}
        here = [(TOTAL, now), *self._ended.items(), *((part, now - began) for part, began in self._began.items())]
        for part, seconds in here:
            spent[part] = spent.get(part, 0.0) + seconds
        return spent

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is done within belongs to a part, which may have several pieces."""
        began = self._began[name] = self._now()
        try:
            yield
        finally:
            del self._began[name]
        self._ended[name] = self._ended.get(name, 0.0) + self._now() - began

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() - self._started
