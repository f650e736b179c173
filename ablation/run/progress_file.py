"""How far a run is, for whoever started it: a small file, written anew now and then."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ablation.listener import TRAINING, Listener, StepLosses, is_epoch

INTERVAL = 1.0  # seconds between two writings


@dataclass(frozen=True)
class RunProgress:
    """Where a run stands.

    Attributes:
        work: the piece of work that is under way, as listeners are told it; empty between two.
        done: of ``amount``, in its own unit (steps where the work is the training).
        seconds: since the piece of work began.
        loss: the last training loss that was evaluated.
        trained: training is over, or an epoch of it where each is a piece of work.
    """

    work: str = ""
    done: int = 0
    amount: int = 0
    seconds: float = 0.0
    loss: float | None = None
    trained: bool = False

    @property
    def seconds_left(self) -> float | None:
        """Of this piece of work, at the pace so far; None before any of it is done."""
        return self.seconds / self.done * (self.amount - self.done) if self.work and self.done else None


class ProgressFile(Listener):
    """Keeps the file up to date; what cannot be written is left out, since no run depends on it."""

    def __init__(self, path: Path) -> None:
        self._path, self._now = path, RunProgress()
        self._done, self._began, self._written = 0, time.monotonic(), 0.0

    def work_started(self, what: str, amount: int, unit: str) -> None:
        self._done, self._began = 0, time.monotonic()
        self._now = replace(self._now, work=what, amount=amount)
        self._write()

    def work_advanced(self, amount: int) -> None:
        self._done += amount
        if time.monotonic() - self._written >= INTERVAL:
            self._write()

    def work_ended(self) -> None:
        trains = self._now.work == TRAINING or is_epoch(self._now.work)
        self._now = replace(self._now, work="", trained=self._now.trained or trains)
        self._write()

    def evaluated(self, losses: StepLosses) -> None:
        self._now = replace(self._now, loss=losses.train_loss)

    def _write(self) -> None:
        self._written = time.monotonic()
        now = replace(self._now, done=self._done, seconds=self._written - self._began)
        unfinished = self._path.with_suffix(".tmp")
        with contextlib.suppress(OSError):
            unfinished.write_text(json.dumps(asdict(now)), encoding="utf-8")
            unfinished.replace(self._path)  # whoever reads finds the old text or the new one


@contextlib.contextmanager
def progress_told(path: str | None) -> Iterator[Listener]:
    """A listener that keeps the file, if there is to be one; a run that breaks off takes it away. (Of one that goes
    well it stays, since its results are still to be written; whoever asked for it removes it.)"""
    if path is None:
        yield Listener()
        return
    try:
        yield ProgressFile(Path(path))
    except BaseException:
        with contextlib.suppress(OSError):
            Path(path).unlink(missing_ok=True)
        raise


def read_progress(path: Path) -> RunProgress | None:
    """What the file says; None if there is none, or it says nothing that a run would."""
    try:
        told = RunProgress(**json.loads(path.read_text(encoding="utf-8")))
        numbers = told.done, told.amount, told.seconds, told.loss or 0.0
        return told if isinstance(told.work, str) and all(map(math.isfinite, numbers)) else None
    except (OSError, ValueError, TypeError, OverflowError):
        return None
