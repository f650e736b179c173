"""What a process has in memory, how many operations a second the machine does at best, and how many are needed.

Memory is sampled while the process runs, as what cannot be given back without swapping: anonymous plus shared. Pages
of mapped files are counted apart: the system may drop them at any time and read them again.
"""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def seconds_of(cpu_time: bool) -> Callable[[], float]:
    """A clock: of the time that passes; or, where others are at work on the machine, of this process's own time on the
    processor, with a single thread from now on."""
    if not cpu_time:
        return time.perf_counter
    import torch

    torch.set_num_threads(1)  # more would wait for each other by turning in circles, which counts
    return time.process_time


@dataclass
class Peak:
    """The largest values seen, each by itself, in bytes."""

    own: int = 0  # anonymous plus shared
    files: int = 0  # resident pages of mapped files
    samples: int = 0

    def add(self, own: int, files: int) -> None:
        self.own, self.files, self.samples = max(self.own, own), max(self.files, files), self.samples + 1


def memory_fields(pid: int | str = "self") -> dict[str, int]:
    """Bytes under each name that Linux gives them (proc(5)): VmHWM, RssAnon, RssShmem, RssFile and others.

    Raises:
        OSError: the process has ended.
    """
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    fields = {name: 1024 * int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", status, flags=re.MULTILINE)}
    if not fields:
        raise ProcessLookupError(f"process {pid} has ended")  # a zombie still has a status, without these lines
    return fields


def resident_memory(pid: int | str) -> tuple[int, int]:
    """What a process has in memory now: (anonymous plus shared, pages of mapped files), in bytes."""
    fields = memory_fields(pid)
    return fields["RssAnon"] + fields["RssShmem"], fields["RssFile"]


class MemorySampler:
    """A context manager that looks at a process every ``interval`` seconds, from a thread of its own.

    Attributes:
        peaks: by phase, which the owner sets; in the order in which they came.
    """

    def __init__(self, pid: int | str = "self", interval: float = 0.02) -> None:
        self._pid = pid
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.phase = "start"
        self.peaks: dict[str, Peak] = {}

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def peak(self) -> Peak:
        """Over all phases."""
        total = Peak()
        for peak in self.peaks.values():
            total = Peak(max(total.own, peak.own), max(total.files, peak.files), total.samples + peak.samples)
        return total

    def _sample(self) -> None:
        while True:
            try:
                own, files = resident_memory(self._pid)
            except OSError:
                return
            self.peaks.setdefault(self.phase, Peak()).add(own, files)
            if self._stop.wait(self._interval):
                return


def sgemm_rate(size: int = 2048, repeats: int = 9) -> float:
    """GFLOP/s of a square float32 product, median."""
    import torch

    left, right = torch.randn(size, size), torch.randn(size, size)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(seconds) / 1e9


def block_rate(width: int, positions: int) -> float:
    """GFLOP/s of the products that a frozen block needs in training, at the shapes it has them in: its linear layers
    forward, and the gradient back to their inputs."""
    import torch
    import torch.nn.functional as F

    shapes = [(width, width)] * 4 + [(width, 4 * width), (4 * width, width)]
    layers = [(torch.randn(positions, inputs), torch.randn(outputs, inputs)) for inputs, outputs in shapes]
    start = time.perf_counter()
    for x, weight in layers:
        F.linear(x, weight) @ weight
    seconds = time.perf_counter() - start
    return sum(4 * x.numel() * len(weight) for x, weight in layers) / seconds / 1e9


def blocks_gflop(lengths: Tensor, n_blocks: int, width: int, *, causal: bool) -> float:
    """GFLOP of taking messages of the given lengths (N,) forward through whole transformer blocks.

    Per position and block 24 D² for the linear layers, and 4 D for each position attended to.
    """
    lengths = lengths.double()
    attended = (lengths + 1) / 2 if causal else lengths
    return float((lengths * (24 * width**2 + 4 * width * attended)).sum()) * n_blocks / 1e9
