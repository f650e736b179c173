"""What a finished run of the language model found out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.config.decoding import Decoding
from ablation.config.generation import LanguageModelConfig
from ablation.results.costs import Costs
from ablation.results.result import Timings
from ablation.texts.quality import Quality

if TYPE_CHECKING:
    from torch import Tensor


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
        return _exp(self.loss)

    @property
    def token_perplexity(self) -> float:
        """Of the mean over tokens, as usual elsewhere."""
        return _exp(self.token_loss)


def _exp(loss: float) -> float:
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class SpokenBleu:
    """BLEU of generated sentences and some references, both ways, and the harmonic mean of the two."""

    forward: float
    backward: float
    harmonic: float


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Attributes:
        losses: of each batch, before its update.
        validation: after the epoch.
        bleu: of sentences generated then, against the validation split; None where that was not measured.
    """

    losses: Sequence[float]
    validation: Fit
    bleu: SpokenBleu | None = None

    @property
    def train_loss(self) -> float:
        """The mean over batches; a short last one counts as one."""
        return math.fsum(self.losses) / len(self.losses)


@dataclass
class SentenceHistory:
    """What training left behind besides the model.

    Attributes:
        steps: batches, which are updates, too.
        best_epoch: counted from 1, whose parameters the model has.
        stopped: because validation was no longer better.
    """

    epochs: list[Epoch] = field(default_factory=list)
    steps: int = 0
    best_epoch: int = 0
    stopped: bool = False

    def steps_to(self, perplexity: float) -> int | None:
        """Batches until the end of the first epoch whose validation perplexity is no higher; None if there is none."""
        steps = 0
        for epoch in self.epochs:
            steps += len(epoch.losses)
            if epoch.validation.perplexity <= perplexity:
                return steps
        return None

    @property
    def best(self) -> Epoch:
        return self.epochs[self.best_epoch - 1]


@dataclass(frozen=True)
class Spoken:
    """Sentences generated in one way, and what is said of them.

    Attributes:
        texts: sentence n at place n.
        seconds: that generating them took.
    """

    decoding: Decoding
    texts: tuple[str, ...]
    quality: Quality
    seconds: float


@dataclass(frozen=True, kw_only=True)
class LanguageModelFacts(Costs):
    """What was trained on what; the names are those of columns."""

    weights_digest: str
    data_digest: str
    train_sentences: int
    validation_sentences: int
    test_sentences: int


@dataclass(frozen=True)
class LanguageModelResult:
    """A finished run.

    Attributes:
        foreign: digests of base weights and data as far as they are not the published ones.
        environment: what it ran on, by column name.
        test: of the best epoch's parameters.
        spoken: by way of decoding.
        tensors: all values of the trained model, as a plain one; only with ``save_model``.
        resumed: how often it was gone on with after it had been cut off.
        checkpoint: the folder of what it was or could be gone on from; of no use once the result is kept.
    """

    config: LanguageModelConfig
    foreign: Mapping[str, str]
    environment: Mapping[str, Any]
    facts: LanguageModelFacts
    timings: Timings
    history: SentenceHistory
    test: Fit
    spoken: tuple[Spoken, ...]
    tensors: Mapping[str, Tensor]
    resumed: int = 0
    checkpoint: Path | None = None
