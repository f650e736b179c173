"""The memory that a process cannot give back without swapping: anonymous plus shared, sampled while it runs.

Pages of mapped files are counted apart: the system may drop them at any time and read them again.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType


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


def resident_memory(pid: int) -> tuple[int, int]:
    """What a process has in memory now: (anonymous plus shared, pages of mapped files), in bytes."""
    fields = memory_fields(pid)
    return fields["RssAnon"] + fields["RssShmem"], fields["RssFile"]


class MemorySampler:
    """A context manager that looks at a process every ``interval`` seconds, from a thread of its own.

    Attributes:
        peaks: by phase, which the owner sets; in the order in which they came.
    """

    def __init__(self, pid: int | None = None, interval: float = 0.02) -> None:
        self._pid = os.getpid() if pid is None else pid
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.phase = "start"
        self.peaks: dict[str, Peak] = {}

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
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
