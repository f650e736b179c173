"""The model that a baseline looks at: GPT-2 with a new head, frozen, or another pretrained one in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ablation.baselines.baseline import Asked
from ablation.config.baseline import HEAD, is_local
from ablation.data.encode import make_loaders
from ablation.environment import environment_stamp
from ablation.execution.base import Execution
from ablation.run.experiment import (
    EVALUATION_STAGE,
    TRAINING_STAGE,
    load_inputs,
    make_execution,
    open_feature_cache,
)
from ablation.run.frame import running
from ablation.run.stopwatch import Stopwatch


class Vectors(Protocol):
    def vectors(self, split: str) -> Tensor: ...


@dataclass(frozen=True)
class Opened:
    """A model, ready to answer.

    Attributes:
        execution: its logits, and as ``frozen`` the vectors that its head reads.
        sizes: of each split.
        columns: what a row says of it, by column name.
    """

    execution: Execution
    frozen: Vectors
    sizes: dict[str, int]
    columns: dict[str, Any]
    watch: Stopwatch

    def labels(self, split: str) -> Tensor:
        return self.execution.labels(split, self.everything(split))

    def everything(self, split: str) -> Tensor:
        """(N,) the numbers of all messages of a split, in its order."""
        return torch.arange(self.sizes[split])

    def loaders(self, batch_size: int) -> dict[str, DataLoader]:
        """Over the messages of each split, in the published order."""
        return make_loaders({split: range(size) for split, size in self.sizes.items()}, batch_size)


@contextmanager
def open_model(asked: Asked) -> Iterator[Opened]:
    """The model that the configuration names; the process is afterwards as it was.

    Raises:
        HubError, RunError, WeightsError, DownloadError, DataError: it cannot be had or used.
    """
    opened = _open_gpt2 if asked.config.hf_model is None else _open_hub_model
    with opened(asked) as model:
        yield model


@contextmanager
def _open_gpt2(asked: Asked) -> Iterator[Opened]:
    """All of its blocks are frozen, so that each message goes through them once, or comes from the feature cache."""
    config = replace(asked.config, trainable_layers=HEAD)
    with running(config) as (device, watch), open_feature_cache(config, asked.listener) as cache:
        with watch.part("load"):
            setup, inputs = load_inputs(asked.task, config, device, asked.listener)
            execution: Any = make_execution(setup, cache, inputs.facts.weights_digest)
        with watch.part("features"):
            for stage in (TRAINING_STAGE, EVALUATION_STAGE):
                execution.prepare(stage, asked.listener)
        columns = {
            **environment_stamp(str(device)),
            "effective_context_length": inputs.facts.effective_context_length,
            "total_parameters": inputs.facts.total_parameters,
            "weights_digest": inputs.facts.weights_digest,
            "base": inputs.facts.base,
            "features": execution.features,
            "feature_seconds": round(watch.spent()["features"], 3),
        }
        sizes = {name: len(split) for name, split in inputs.splits.items()}
        yield Opened(execution, execution, sizes, columns, watch)


@contextmanager
def _open_hub_model(asked: Asked) -> Iterator[Opened]:
    from ablation.baselines.hf_models import load_classifier
    from ablation.baselines.hub_execution import HubExecution

    config, splits = asked.config, asked.splits
    fetched = "" if config.offline or is_local(str(config.hf_model)) else ", fetched by the hub's own means if missing"
    asked.listener.message(f"model: {config.hf_model}{fetched}")
    with running(config) as (device, watch):
        with watch.part("load"):
            classes = len(asked.task.labels(config))
            loaded = load_classifier(str(config.hf_model), classes, config.seed, offline=config.offline)
            texts = {name: split["Text"].tolist() for name, split in splits.items()}
            labels = {name: torch.tensor(split["Label"].to_numpy()) for name, split in splits.items()}
            execution = HubExecution(loaded, texts, labels, config, device)
        execution.tell_what_is_cut(asked.listener)
        columns = {
            **environment_stamp(str(device)),
            "total_parameters": execution.count_parameters()[0],
            "weights_digest": loaded.digest,
        }
        yield Opened(execution, execution, {name: len(split) for name, split in splits.items()}, columns, watch)
