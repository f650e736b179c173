"""Experiments small enough for a test: made-up messages, a few narrow blocks, no files."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ablation.config.experiment import ExperimentConfig
from ablation.config.shapes import ModelShape
from ablation.data.demo import read_demo_messages
from ablation.data.encode import EncodedMessages, encode_messages
from ablation.execution.features import FeatureOptions
from ablation.execution.naive import NaiveExecution
from ablation.execution.plan import Thrift
from ablation.execution.planned import PlannedExecution
from ablation.execution.setup import make_setup
from ablation.listener import Listener
from ablation.model.classifier import RandomWeights, WeightSource
from ablation.run.experiment import feature_stages

SHAPE = ModelShape(vocab_size=61, context_length=24, emb_dim=16, n_layers=3, n_heads=4)
PAD = 60
CPU = torch.device("cpu")


class DoubleWeights:
    """Another source's weights in float64."""

    def __init__(self, weights: WeightSource) -> None:
        self._weights = weights
        self.shape = weights.shape

    def tensor(self, name: str) -> Tensor:
        return self._weights.tensor(name).double()

    def tensors(self, names: Iterable[str]) -> dict[str, Tensor]:
        return {name: tensor.double() for name, tensor in self._weights.tensors(names).items()}

    def digest(self) -> str:
        return self._weights.digest()


def make_messages(
    config: ExperimentConfig, counts: tuple[int, int, int] = (40, 12, 14), longest: int = 12, seed: int = 0
) -> dict[str, EncodedMessages]:
    """Messages of 1 to ``longest`` random tokens, labelled by them; some stand twice, some hold the pad token."""
    draw = random.Random(seed)
    messages = {}
    for name, count in zip(("train", "validation", "test"), counts, strict=True):
        lists = [[draw.randrange(SHAPE.vocab_size - 10) for _ in range(draw.randint(1, longest))] for _ in range(count)]
        lists[-1] = lists[0]
        lists[1] = [5, PAD, 7, PAD]
        labels = [sum(tokens) % 2 for tokens in lists]
        width = config.context_length if isinstance(config.context_length, int) else longest
        padded = not config.no_padding
        messages[name] = encode_messages(lists, labels, width, PAD, padded=padded, padding=config)
    return messages


def make_execution(
    config: ExperimentConfig,
    messages: dict[str, EncodedMessages],
    kind: str,
    dtype: torch.dtype = torch.float64,
    memory: int = 10**9,
    weights: WeightSource | None = None,
    shape: ModelShape = SHAPE,
    thrift: Thrift = Thrift.NONE,
) -> NaiveExecution | PlannedExecution:
    """An execution over random weights, ready for every split."""
    weights = weights or RandomWeights(shape, config.seed)
    if dtype == torch.float64:
        weights = DoubleWeights(weights)
    setup = make_setup(config, weights, messages, CPU, dtype, thrift)
    if kind == "naive":
        return NaiveExecution(setup)
    execution = PlannedExecution(setup, FeatureOptions(feature_stages(messages, config), memory))
    for stage in (0, 1):
        execution.prepare(stage, Listener())
    return execution


def few_demo_messages() -> pd.DataFrame:
    """Enough of the embedded messages for a split of 84, 12 and 24."""
    return read_demo_messages().groupby("Label").head(60)


def tiny_config(**overrides: Any) -> ExperimentConfig:
    return ExperimentConfig(**{"weights": "random", "eval_freq": 5, "eval_iter": 2, **overrides})
