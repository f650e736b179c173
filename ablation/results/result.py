"""What a finished run found out, in parts; :mod:`ablation.results.run_folder` makes files of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.config.experiment import ExperimentConfig
from ablation.listener import Count, StepLosses
from ablation.results.costs import Costs
from ablation.results.task import Evaluation

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class History:
    """What training left behind besides the parameters."""

    evaluations: list[StepLosses] = field(default_factory=list)
    epoch_counts: list[tuple[Count, Count]] = field(default_factory=list)  # (training, validation) after each epoch
    steps: int = 0
    updates: int = 0
    examples_seen: int = 0


@dataclass(frozen=True)
class Timings:
    """Seconds of a run's parts. ``features``, 0 where none are kept, are part of training and evaluation."""

    load: float
    training: float
    features: float
    total: float


@dataclass(frozen=True, kw_only=True)
class Facts(Costs):
    """What was trained on what, at which costs; the names are those of columns.

    Attributes:
        effective_context_length: tokens that every example was padded or cut to; None without padding.
        base: how the language model was trained that the weights are from, as
            :attr:`ablation.config.base_run.BaseRun.settings` has it; None for other weights.
    """

    effective_context_length: int | None
    weights_digest: str
    data_digest: str
    base: str | None = None


@dataclass(frozen=True)
class Answers:
    """What the trained model says.

    Attributes:
        counts: per split, over one last pass.
        logits, labels: per split but training, (N, C) and (N,) on the CPU, in the split's order.
        majority: per split, what the label that most training examples have would get as the answer to all.
    """

    counts: Mapping[str, Count]
    logits: Mapping[str, Tensor]
    labels: Mapping[str, Tensor]
    majority: Mapping[str, Count]


@dataclass(frozen=True)
class Forgetting:
    """What the model knew of text that no training has seen, under the base's own vocabulary head.

    Attributes:
        before, after: perplexity per token, of the base and of the trained model; None if it is no finite number.
        source: of the text.
        texts: how many.
        tokens: that were predicted.
        sha256: of the texts' tokens; perplexities can be compared where it is the same.
        seconds: that it took.
    """

    before: float | None
    after: float | None
    source: str
    texts: int
    tokens: int
    sha256: str
    seconds: float


@dataclass(frozen=True)
class ExperimentResult:
    """A finished run.

    Attributes:
        foreign: digests of base weights and data as far as they are not the published ones.
        environment: what it ran on, by column name.
        features: computed, reused or none.
        evaluations: the rows that it ends in.
        trained_parameters: by name, on the CPU; only with ``save_model``.
        forgetting: only with ``measure_forgetting``.
        uses: right answers per split of each way to use the model, by its name, where its method has several.
        resumed: how often it was gone on with after it had been cut off.
        checkpoint: the folder of what it was or could be gone on from; of no use once the result is kept.
    """

    config: ExperimentConfig
    foreign: Mapping[str, str]
    environment: Mapping[str, Any]
    facts: Facts
    timings: Timings
    history: History
    answers: Answers
    features: str
    evaluations: tuple[Evaluation, ...]
    trained_parameters: Mapping[str, Tensor]
    forgetting: Forgetting | None = None
    uses: Mapping[str, Mapping[str, Count]] = field(default_factory=dict)
    resumed: int = 0
    checkpoint: Path | None = None
