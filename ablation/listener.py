"""What a run tells whoever watches it; the console and the tests listen in their own ways."""

from __future__ import annotations

from dataclasses import dataclass

# The pieces of work that people wait for, by the names under which they are announced.
FROZEN_PASS, TRAINING = "frozen pass", "training"
EPOCH = "epoch"  # and its number, where each is announced by itself


def is_epoch(work: str) -> bool:
    """Whether a piece of work is an epoch of training."""
    return work.startswith(f"{EPOCH} ")


@dataclass(frozen=True)
class StepLosses:
    """Mean batch losses over the first batches of the training and the validation loader after one step."""

    epoch: int
    step: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True)
class Count:
    """How many of how many examples were answered correctly."""

    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.total


class Listener:
    """Told how the run goes on; every method may be overridden, none must be."""

    def message(self, line: str) -> None:
        """Something worth a line has happened or begins."""

    def work_started(self, what: str, amount: int, unit: str) -> None:
        """A piece of work of known size begins; the unit is a word such as ``messages``."""

    def work_advanced(self, amount: int) -> None:
        """So much more of it is done."""

    def work_ended(self) -> None:
        """It is done."""

    def evaluated(self, losses: StepLosses) -> None:
        """The losses were evaluated during training."""

    def epoch_ended(self, epoch: int, train: Count, validation: Count) -> None:
        """An epoch (from 1) has ended; the counts are over the first batches of each loader."""


class Listeners(Listener):
    """Several, each told everything."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def message(self, line: str) -> None:
        for listener in self._listeners:
            listener.message(line)

    def work_started(self, what: str, amount: int, unit: str) -> None:
        for listener in self._listeners:
            listener.work_started(what, amount, unit)

    def work_advanced(self, amount: int) -> None:
        for listener in self._listeners:
            listener.work_advanced(amount)

    def work_ended(self) -> None:
        for listener in self._listeners:
            listener.work_ended()

    def evaluated(self, losses: StepLosses) -> None:
        for listener in self._listeners:
            listener.evaluated(losses)

    def epoch_ended(self, epoch: int, train: Count, validation: Count) -> None:
        for listener in self._listeners:
            listener.epoch_ended(epoch, train, validation)
