"""What a person sees of a run that is going on: lines, and a progress bar where the output is a terminal."""

from __future__ import annotations

import sys

from tqdm import tqdm

from ablation.commands import tell
from ablation.listener import Count, Listener, StepLosses

# As tqdm has it, but never seconds per message: one rate can be compared with another.
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"


class Console(Listener):
    """Prints what happens; bars go to standard error and only to a terminal, lines to standard output.

    Args:
        quiet: print nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: tqdm | None = None

    def message(self, line: str) -> None:
        if self._quiet:
            return
        with tqdm.external_write_mode(file=sys.stdout):
            tell(line)

    def work_started(self, what: str, amount: int, unit: str) -> None:
        hidden = True if self._quiet else None  # None: where there is no terminal
        self._bar = tqdm(total=amount, desc=what, unit=f" {unit}", leave=False, disable=hidden, bar_format=BAR)

    def work_advanced(self, amount: int) -> None:
        if self._bar is not None:
            self._bar.update(amount)

    def work_ended(self) -> None:
        self.close()

    def evaluated(self, losses: StepLosses) -> None:
        self.message(
            f"Ep {losses.epoch} (Step {losses.step:06d}): "
            f"Train loss {losses.train_loss:.3f}, Val loss {losses.validation_loss:.3f}"
        )

    def epoch_ended(self, epoch: int, train: Count, validation: Count) -> None:
        self.message(
            f"Ep {epoch} done: training accuracy {train.accuracy:.2%}, validation {validation.accuracy:.2%}"
            f" (of {train.total} and {validation.total})"
        )

    def close(self) -> None:
        """Take away the bar of work that ended, or never will."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
