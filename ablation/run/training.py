"""The published training loop and its evaluations, over any execution. Knows no flags and no files.

What is computed may be planned in any way that gives the same numbers; the order of draws from PyTorch's global
generator, one or two per pass over a loader, is the published script's and decides which examples share a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ablation.config.experiment import ExperimentConfig
from ablation.execution.base import Execution
from ablation.listener import TRAINING, Count, Listener, StepLosses
from ablation.results.result import History
from ablation.results.task import ClassifierTask
from ablation.run.checkpoint import Checkpoint, Progress
from ablation.run.finite import FiniteGuard

EVALUATED = ("train", "validation")  # while training, in this order


def make_optimizer(groups: list[dict[str, Any]], config: ExperimentConfig) -> torch.optim.Optimizer:
    """AdamW over everything that trains, each group with its decay; fused where this build of PyTorch has it."""
    adamw = partial(torch.optim.AdamW, groups, lr=config.learning_rate)
    try:
        return adamw(fused=True)
    except RuntimeError:
        return adamw()


def backward(
    task: ClassifierTask, logits: Iterable[Tensor], labels: Iterable[Tensor], config: ExperimentConfig
) -> Tensor:
    """Add the gradients of some batches' losses, each divided by ``accumulation_steps``; returns the losses (k,)."""
    losses = torch.stack([task.loss(*pair, config) for pair in zip(logits, labels, strict=True)])
    (losses.sum() / config.accumulation_steps).backward()
    return losses.detach()


@contextmanager
def stepping_in_backward(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Within it a backward pass updates each parameter once its gradient is complete, and drops the gradient.

    AdamW works parameter by parameter, so that the numbers are those of one step afterwards. State and settings stay
    the optimizer's: it is shown one parameter at a time, in a group with the settings of its own.
    """
    groups = optimizer.param_groups

    def step(parameter: torch.Tensor, group: dict[str, Any]) -> None:
        optimizer.param_groups = [{**group, "params": [parameter]}]
        optimizer.step()
        parameter.grad = None

    hooks = [
        parameter.register_post_accumulate_grad_hook(partial(step, group=group))
        for group in groups
        for parameter in group["params"]
    ]
    try:
        yield
    finally:
        optimizer.param_groups = groups
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def mean_loss(
    task: ClassifierTask, execution: Execution, split: str, loader: DataLoader, config: ExperimentConfig
) -> float:
    """Mean of the batch losses over the first ``eval_iter`` batches of one pass (fewer if there are fewer)."""
    batches = list(islice(loader, config.eval_iter))
    losses = [
        task.loss(logits, execution.labels(split, batch), config)
        for logits, batch in zip(execution.logits(split, batches), batches, strict=True)
    ]
    return float(torch.stack(losses).double().mean())


@torch.inference_mode()
def predict(
    execution: Execution, split: str, loader: DataLoader, max_batches: int | None = None
) -> tuple[Tensor, Tensor]:
    """The first ``max_batches`` batches of one pass (all by default): example indices (N,) and their logits (N, C)."""
    batches = list(islice(loader, max_batches))
    return torch.cat(batches), torch.cat(execution.logits(split, batches))


@dataclass(frozen=True)
class Evaluator:
    """The evaluations of a run under training; each pass draws from the global generator, the training split first."""

    task: ClassifierTask
    execution: Execution
    loaders: dict[str, DataLoader]
    config: ExperimentConfig
    guard: FiniteGuard

    def losses(self, epoch: int, step: int) -> StepLosses:
        """Of the first ``eval_iter`` batches of each split, after a step.

        Raises:
            RunError: one of them, or one before, is not finite.
        """
        self.guard.read()  # evaluating waits for the device anyway
        found = [mean_loss(self.task, self.execution, split, self.loaders[split], self.config) for split in EVALUATED]
        return self.guard.checked(StepLosses(epoch, step, *found))

    def counts(self) -> tuple[Count, Count]:
        """Right answers among the first ``eval_iter`` batches of each split.

        Raises:
            RunError: the logits are not finite, or a loss before was not.
        """
        train, validation = map(self._count, EVALUATED)
        return train, validation

    def _count(self, split: str) -> Count:
        indices, logits = predict(self.execution, split, self.loaders[split], self.config.eval_iter)
        self.guard.check_logits(split, logits)
        return self.task.correct(logits, self.execution.labels(split, indices))


class Updater:
    """One update of the parameters from the batches since the last one."""

    def __init__(
        self, task: ClassifierTask, execution: Execution, optimizer: torch.optim.Optimizer, config: ExperimentConfig
    ) -> None:
        self._task, self._execution, self._optimizer, self._config = task, execution, optimizer, config

    def __call__(self, batches: list[Tensor]) -> list[Tensor]:
        """Add up the gradients of some batches (B,) of training examples, and let the optimizer step.

        Returns:
            The losses of the batches in their order, as vectors on the device; nothing has waited for them.
        """
        *first, last = [batches] if self._execution.joins_batches else [[batch] for batch in batches]
        losses = [self._backward(group) for group in first]
        early = self._execution.plan.thrift.updates_early
        with stepping_in_backward(self._optimizer) if early else nullcontext():
            losses.append(self._backward(last))
        self._optimizer.step()  # of what has not been updated yet
        self._optimizer.zero_grad()
        return losses

    def _backward(self, batches: list[Tensor]) -> Tensor:
        labels = [self._execution.labels("train", batch) for batch in batches]
        return backward(self._task, self._execution.logits("train", batches), labels, self._config)


@dataclass(frozen=True)
class Loop:
    """What the training loop works with."""

    update: Updater
    evaluator: Evaluator
    listener: Listener
    progress: Progress
    keep: Callable[[], None]

    @property
    def total_steps(self) -> int:
        config = self.evaluator.config
        whole = config.num_epochs * len(self.evaluator.loaders["train"])
        return whole if config.max_steps is None else min(whole, config.max_steps)

    def run(self) -> History:
        """The epochs that are left."""
        history = self.progress.history
        self.listener.work_started(TRAINING, self.total_steps, "batches")
        if history.steps:
            self.listener.work_advanced(history.steps)  # in an earlier process
        while history.steps < self.total_steps:
            self._rest_of_epoch()
            history.epoch_counts.append(self.evaluator.counts())
            self.listener.epoch_ended(self.progress.epoch + 1, *history.epoch_counts[-1])
            self.progress.epoch_ended()
            self.keep()
        self.listener.work_ended()
        return history

    def _rest_of_epoch(self) -> None:
        progress, history, config = self.progress, self.progress.history, self.evaluator.config
        batches = self.evaluator.loaders["train"]
        waiting: list[Tensor] = []
        for batch in progress.batches(batches):
            progress.batch += 1
            is_last = progress.batch == len(batches) or history.steps + 1 == self.total_steps
            waiting.append(batch)
            if is_last or progress.batch % config.accumulation_steps == 0:
                with self.evaluator.execution.updating(history.updates):
                    self.evaluator.guard.note(self.update(waiting))
                waiting = []
                history.updates += 1
            history.examples_seen += len(batch)
            self.listener.work_advanced(1)
            if history.steps % config.eval_freq == 0:
                history.evaluations.append(self.evaluator.losses(progress.epoch + 1, history.steps))
                self.listener.evaluated(history.evaluations[-1])
            history.steps += 1
            if is_last:
                return
            if not waiting:
                self.keep()


def train(
    task: ClassifierTask,
    execution: Execution,
    loaders: dict[str, DataLoader],
    config: ExperimentConfig,
    listener: Listener,
    new_optimizer: Callable[[list[dict[str, Any]], ExperimentConfig], torch.optim.Optimizer] = make_optimizer,
    new_updater: Callable[[ClassifierTask, Any, torch.optim.Optimizer, ExperimentConfig], Updater] = Updater,
    guard: FiniteGuard | None = None,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train for the configured epochs or exactly ``max_steps`` batches, evaluating as the published script does.

    Steps count batches from 0 over all epochs. The optimizer steps on every ``accumulation_steps``-th batch of an epoch
    and on its last. The gradients of the batches between two updates are computed when the second is due, because the
    parameters do not change in between.

    Args:
        checkpoint: what is gone on from, if it holds anything, and where this training is kept now and then.

    Raises:
        RunError: a loss or a logit is not finite.
    """
    torch.manual_seed(config.effective_order_seed)
    parameters, guard = execution.trainable_parameters(), guard or FiniteGuard(config)
    optimizer = new_optimizer(execution.parameter_groups(), config)
    progress = Progress() if checkpoint is None else checkpoint.restore(parameters, optimizer)
    guard.go_on_from(progress.history.steps)

    def keep() -> None:
        if checkpoint is not None and checkpoint.is_due:
            guard.read()  # what has failed is not kept
            checkpoint.keep(progress, parameters, optimizer)

    update = new_updater(task, execution, optimizer, config)
    return Loop(update, Evaluator(task, execution, loaders, config, guard), listener, progress, keep).run()
