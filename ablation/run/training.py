"""The published training loop and its evaluations, over any execution. Knows no flags and no files.

What is computed may be planned in any way that gives the same numbers; the order of draws from PyTorch's global
generator, one or two per pass over a loader, is the published script's and decides which examples share a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from ablation.results.task import Task

EVALUATED = ("train", "validation")  # while training, in this order: each pass draws from the global generator


def make_optimizer(parameters: list[torch.nn.Parameter], config: ExperimentConfig) -> torch.optim.Optimizer:
    """AdamW over everything that trains, biases and norms decayed too; fused where this build of PyTorch has it."""
    adamw = partial(torch.optim.AdamW, parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    try:
        return adamw(fused=True)
    except RuntimeError:
        return adamw()


def loss_of_batches(
    task: Task, logits: Iterable[Tensor], labels: Iterable[Tensor], config: ExperimentConfig
) -> Tensor:
    """The sum of the batches' losses, each divided by ``accumulation_steps``."""
    losses = [task.loss(*pair, config) for pair in zip(logits, labels, strict=True)]
    return torch.stack(losses).sum() / config.accumulation_steps


@torch.inference_mode()
def mean_loss(task: Task, execution: Execution, split: str, loader: DataLoader, config: ExperimentConfig) -> float:
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


def count_correct(
    task: Task, execution: Execution, split: str, loader: DataLoader, max_batches: int | None = None
) -> Count:
    """How many of the examples of those batches are answered correctly."""
    indices, logits = predict(execution, split, loader, max_batches)
    return task.correct(logits, execution.labels(split, indices))


class Updater:
    """One update of the parameters from the batches since the last one."""

    def __init__(
        self, task: Task, execution: Execution, optimizer: torch.optim.Optimizer, config: ExperimentConfig
    ) -> None:
        self._task, self._execution, self._optimizer, self._config = task, execution, optimizer, config

    def __call__(self, batches: list[Tensor]) -> None:
        """Add up the gradients of some batches (B,) of training examples, and let the optimizer step."""
        execution = self._execution
        for group in [batches] if execution.joins_batches else [[batch] for batch in batches]:
            labels = [execution.labels("train", batch) for batch in group]
            loss_of_batches(self._task, execution.logits("train", group), labels, self._config).backward()
        self._optimizer.step()
        self._optimizer.zero_grad()


def train(
    task: Task,
    execution: Execution,
    loaders: dict[str, DataLoader],
    config: ExperimentConfig,
    listener: Listener,
    new_optimizer: Callable[[list[torch.nn.Parameter], ExperimentConfig], torch.optim.Optimizer] = make_optimizer,
    new_updater: Callable[[Task, Any, torch.optim.Optimizer, ExperimentConfig], Updater] = Updater,
) -> History:
    """Train for the configured epochs or exactly ``max_steps`` batches, evaluating as the published script does.

    Steps count batches from 0 over all epochs. The optimizer steps on every ``accumulation_steps``-th batch of an epoch
    and on its last. The gradients of the batches between two updates are computed when the second is due, because the
    parameters do not change in between.
    """
    torch.manual_seed(config.effective_order_seed)
    update = new_updater(task, execution, new_optimizer(execution.trainable_parameters(), config), config)
    history, batches_per_epoch = History(), len(loaders["train"])
    total_steps = min(config.num_epochs * batches_per_epoch, config.max_steps or float("inf"))
    listener.work_started(TRAINING, int(total_steps), "batch")
    for epoch in range(config.num_epochs):
        waiting: list[Tensor] = []
        for number, batch in enumerate(loaders["train"], start=1):
            is_last = number == batches_per_epoch or history.steps + 1 == total_steps
            waiting.append(batch)
            if is_last or number % config.accumulation_steps == 0:
                update(waiting)
                waiting = []
                history.updates += 1
            history.examples_seen += len(batch)
            listener.work_advanced(1)
            if history.steps % config.eval_freq == 0:
                losses = [mean_loss(task, execution, split, loaders[split], config) for split in EVALUATED]
                history.evaluations.append(StepLosses(epoch + 1, history.steps, *losses))
                listener.evaluated(history.evaluations[-1])
            history.steps += 1
            if is_last:
                break
        counts = [count_correct(task, execution, split, loaders[split], config.eval_iter) for split in EVALUATED]
        history.epoch_counts.append((counts[0], counts[1]))
        listener.epoch_ended(epoch + 1, *counts)
        if history.steps == total_steps:
            break
    listener.work_ended()
    return history
