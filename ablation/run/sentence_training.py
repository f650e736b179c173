"""The published training of a language model on sentences: epochs until validation is no longer better.

The order of an epoch's sentences comes from a generator of its own, so that dropout's draws do not change it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ablation.config.generation import PER_EPOCH, LanguageModelConfig
from ablation.execution.sentence_losses import SentenceLosses
from previous_chapters import GPTModel

Sentences = Sequence[Sequence[int]]
Losses = Callable[[GPTModel, Sentences, int, int], SentenceLosses]  # packed_losses, or padded_losses

SENTENCES_AT_ONCE = 64  # where nothing trains; packed, they are some 900 positions


@dataclass(frozen=True)
class Fit:
    """How well a model predicts sentences.

    Attributes:
        loss: the mean over sentences of each one's mean over its tokens, in nats.
        token_loss: the mean over all tokens.
    """

    loss: float
    token_loss: float

    @property
    def perplexity(self) -> float:
        """Of the mean over sentences, as published."""
        return math.exp(self.loss)

    @property
    def token_perplexity(self) -> float:
        """Of the mean over tokens, as usual elsewhere."""
        return math.exp(self.token_loss)


@dataclass
class TrainingRecord:
    """What training leaves behind besides the model, which has the parameters of the best epoch.

    Attributes:
        losses: per epoch, of each batch.
        validation: per epoch.
        best_epoch: counted from 1.
    """

    losses: list[list[float]] = field(default_factory=list)
    validation: list[Fit] = field(default_factory=list)
    best_epoch: int = 0

    @property
    def epochs_since_best(self) -> int:
        return len(self.validation) - self.best_epoch


def order_of_epoch(count: int, epoch: int, config: LanguageModelConfig) -> Tensor:
    """(count,) the sentences in the order of an epoch, counted from 1."""
    if config.shuffle != PER_EPOCH:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(config.effective_order_seed + epoch))


@torch.inference_mode()
def fit_to(model: GPTModel, sentences: Sentences, losses: Losses, max_len: int, end_token: int) -> Fit:
    """How well the model predicts some sentences; each counts alike, whichever batch it is in."""
    model.eval()
    parts = [
        losses(model, sentences[start : start + SENTENCES_AT_ONCE], max_len, end_token)
        for start in range(0, len(sentences), SENTENCES_AT_ONCE)
    ]
    sums = torch.cat([part.sums for part in parts]).double()
    counts = torch.cat([part.counts for part in parts])
    return Fit(float((sums / counts).mean()), float(sums.sum() / counts.sum()))


def train_on_sentences(
    model: GPTModel,
    train: Sentences,
    validation: Sentences,
    losses: Losses,
    config: LanguageModelConfig,
    end_token: int,
) -> TrainingRecord:
    """Train until so many epochs in a row have not been better; the model then has the best epoch's parameters.

    Args:
        train, validation: token ids, without start and end.
        losses: how a batch's losses come about.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
    record, best = TrainingRecord(), [parameter.detach().clone() for parameter in parameters]
    torch.manual_seed(config.seed)  # of dropout
    while len(record.validation) < config.num_epochs and record.epochs_since_best < config.epochs_of_patience:
        model.train()
        record.losses.append([])
        for batch in order_of_epoch(len(train), len(record.losses), config).split(config.batch_size):
            found = losses(model, [train[index] for index in batch.tolist()], config.max_len, end_token).mean
            found.backward()
            optimizer.step()
            optimizer.zero_grad()
            record.losses[-1].append(float(found.detach()))
        record.validation.append(fit_to(model, validation, losses, config.max_len, end_token))
        earlier = record.validation[record.best_epoch - 1].loss if record.best_epoch else math.inf
        if record.validation[-1].loss < earlier:
            record.best_epoch = len(record.validation)
            for kept, parameter in zip(best, parameters, strict=True):
                kept.copy_(parameter.detach())
    with torch.no_grad():
        for kept, parameter in zip(best, parameters, strict=True):
            parameter.copy_(kept)
    model.eval()
    return record
