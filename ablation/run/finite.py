"""A loss or a logit that is not finite ends its run: whatever is trained or counted from it on says nothing."""

from __future__ import annotations

import math
from typing import NoReturn

import torch
from torch import Tensor

from ablation.config.settings import CommonSettings
from ablation.listener import StepLosses
from ablation.run.inputs import RunError


class NotFiniteError(RunError):
    """A loss or a logit is not finite; to go on from an earlier step would come to the same."""


class FiniteGuard:
    """Looks at the loss of every training batch, at every evaluated loss, and at logits that are counted.

    To read a number from a device is to wait for all that it was asked to compute, at every step most of a step's time.
    So losses are read at once on a CPU alone; elsewhere they stay on the device until the loop waits for it anyway.
    """

    def __init__(self, config: CommonSettings) -> None:
        self._config = config
        self._unread: list[Tensor] = []
        self._step, self._last = 0, "there was none before"

    def go_on_from(self, step: int) -> None:
        """The next losses are those from this step on; those before were finite."""
        self._step = step
        if step:
            self._last = f"before step {step}, in an earlier process"

    def note(self, losses: list[Tensor]) -> None:
        """Take the losses of the next batches, as vectors in the order of their steps, on any device.

        Raises:
            RunError: as :meth:`read`, on a CPU.
        """
        self._unread += losses
        if all(some.device.type == "cpu" for some in losses):
            self.read()

    def read(self) -> None:
        """Read what was noted.

        Raises:
            RunError: a loss is not finite; the message has its step (from 0) and the last finite loss.
        """
        unread, self._unread = self._unread, []
        for loss in torch.cat(unread).tolist() if unread else []:
            if not math.isfinite(loss):
                self._fail(f"the training loss of step {self._step} is {loss}")
            self._last = f"{loss:.4g}, of step {self._step}"
            self._step += 1

    def checked(self, losses: StepLosses) -> StepLosses:
        """The same losses, evaluated after a step.

        Raises:
            RunError: one of them is not finite.
        """
        for split, loss in (("training", losses.train_loss), ("validation", losses.validation_loss)):
            if not math.isfinite(loss):
                self._fail(f"the {split} loss evaluated after step {losses.step} is {loss}")
        return losses

    def check_perplexity(self, split: str, perplexity: float) -> None:
        """Look at the perplexity of a split under the model as it is now; a loss so large that there is none is as bad
        as one that is not finite.

        Raises:
            RunError: it is not finite.
        """
        self.read()
        if not math.isfinite(perplexity):
            self._fail(f"the {split} perplexity after step {self._step - 1} is {perplexity}")

    def check_logits(self, split: str, logits: Tensor) -> None:
        """Look at logits (N, C) of the model as it is now.

        Raises:
            RunError: one of them is not finite.
        """
        self.read()
        if not bool(torch.isfinite(logits).all()):
            self._fail(f"not all logits of the {split} split are finite after step {self._step - 1}")

    def _fail(self, what: str) -> NoReturn:
        rate, precision = self._config.learning_rate, self._config.precision
        other = "" if precision == "fp32" else f", or --precision fp32 in place of {precision}"
        raise NotFiniteError(
            f"{what}; the last finite training loss: {self._last}; the run has failed and appends nothing to the"
            f" results; give a smaller --learning_rate than {rate:g}{other}"
        )
