"""What an unfinished run has computed, kept in a folder so that the same run can go on from it: named snapshots.

A snapshot is written beside and renamed; the one before it stays until then, and one more generation is kept: should
the newer one turn out damaged, the older is used.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ablation.files.sealed import UnusableError, append, encode_header, open_checked
from ablation.files.storage import beside, rename_into_place, sync

MARK = b"GPT2SNAP"
ENDING, PREVIOUS, UNFINISHED = ".snapshot", ".previous", ".part"
ALIGNMENT = 64  # bytes; where each tensor begins in its file
SHARE = 0.02  # of a run's time, at most, goes into writing snapshots


@dataclass(frozen=True)
class Snapshot:
    """Tensors on the CPU by name, and facts that JSON can hold."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


class Snapshots:
    """The snapshots of one run.

    Args:
        folder: made when the first is written.
        key: what the snapshots depend on; one made for another key is named and not used.
        every: seconds between two; longer where writing one takes more than ``SHARE`` of that.
        report: told what cannot be used or written, and why. Neither ends the run.
        clock: seconds.

    Attributes:
        written: how many.
        seconds: that writing took.
    """

    def __init__(
        self,
        folder: Path,
        key: Mapping[str, Any],
        every: float,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self._key, self._every, self._report, self._clock = folder, dict(key), every, report, clock
        self._started = self._last = clock()
        self._pause = every
        self.written, self.seconds = 0, 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next."""
        return self._clock() - self._last >= self._pause

    @property
    def has_begun(self) -> bool:
        """Whether the run is old enough for any."""
        return self._clock() - self._started >= self._every

    def write(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Keep a snapshot in place of the one of this name. Whatever prevents it is said; the older one stays."""
        before = self._clock()
        path = self._path(name)
        unfinished = beside(path, UNFINISHED)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(unfinished, tensors, facts)
            if path.exists():
                rename_into_place(path, beside(path, PREVIOUS))
            rename_into_place(unfinished, path)
            sync(self.folder)
            self.written += 1
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            self._report(f"checkpoint: not written ({error.strerror or error}: {self.folder}); the run goes on")
        self._last = self._clock()
        self.seconds += self._last - before
        self._pause = max(self._every, (self._last - before) / SHARE)

    def _write(self, path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        layout, checksum = {}, 0
        with path.open("wb") as file:
            for name, tensor in tensors.items():
                checksum = append(file, [memoryview(bytes(-file.tell() % ALIGNMENT))], checksum)
                layout[name] = [file.tell(), str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
                checksum = append(file, [bytes_of(tensor)], checksum)
            header = {"key": self._key, "crc32c": checksum, "tensors": layout, "facts": facts}
            file.write(encode_header(header, MARK))
        sync(path)

    def read(self, name: str) -> Snapshot | None:
        """The newest snapshot of this name that is whole and made for this key; None if there is none."""
        for path in (self._path(name), beside(self._path(name), PREVIOUS)):
            try:
                header, mapping, _ = open_checked(path, self._key, MARK)
            except FileNotFoundError:
                continue
            except (OSError, UnusableError, ValueError) as error:
                self._report(f"checkpoint: {path} is not used: {error}")
                continue
            tensors = {tensor: _view(mapping, *where) for tensor, where in header["tensors"].items()}
            return Snapshot(tensors, header["facts"])
        return None

    def exists(self) -> bool:
        """Whether there is any."""
        return any(self.folder.glob(f"*{ENDING}"))

    def remove(self) -> None:
        """Delete all of them, as far as that is possible."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{ENDING}"


def bytes_of(tensor: Tensor) -> memoryview:
    """A tensor's values; without a copy if it is contiguous and on the CPU."""
    return memoryview(tensor.detach().contiguous().cpu().view(-1).view(torch.uint8).numpy().data)


def _view(mapping: mmap.mmap, start: int, dtype: str, shape: list[int]) -> Tensor:
    kind, count = getattr(torch, dtype), math.prod(shape)
    if count == 0:  # which frombuffer refuses
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(mapping, dtype=kind, count=count, offset=start).view(shape)
