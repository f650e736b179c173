"""Where the training of a language model stands, kept now and then so that the same run can go on from it, to the bit.

Kept are parameters and moments, the best epoch's parameters, the generators that dropout draws from, and all losses so
far. (An epoch's order of sentences follows from its number.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from ablation.results.language_model import Epoch, Fit, SentenceHistory, SpokenBleu
from ablation.run.checkpoint import (
    TRAINING_SNAPSHOT,
    Checkpoint,
    generator_states,
    load_training_tensors,
    training_tensors,
)

NOW, BEST = "now", "best."


@dataclass
class SentenceProgress:
    """Where training stands.

    Attributes:
        losses: of this epoch's batches so far.
        batch: how many of them are done.
        best: the best epoch's parameters; those it began with until there is one.
    """

    best: list[Tensor]
    history: SentenceHistory = field(default_factory=SentenceHistory)
    losses: list[float] = field(default_factory=list)
    batch: int = 0


@dataclass(frozen=True)
class SentenceState:
    """What trains, and where it is kept now and then, if anywhere."""

    parameters: list[nn.Parameter]
    optimizer: Optimizer
    checkpoint: Checkpoint | None = None

    def keep_if_due(self, progress: SentenceProgress) -> None:
        """Write down where training stands, if it is time; no gradients may be waiting."""
        if self.checkpoint is not None and self.checkpoint.is_due:
            self._keep(self.checkpoint, progress)

    def keep_the_end(self, progress: SentenceProgress) -> None:
        """Write down that training is over, however short ago something was written: what comes after it can take long,
        and whoever is cut off there need not train again."""
        if self.checkpoint is not None and self.checkpoint.has_begun:
            self._keep(self.checkpoint, progress)

    def _keep(self, checkpoint: Checkpoint, progress: SentenceProgress) -> None:
        tensors = training_tensors(self.parameters, self.optimizer, {NOW: generator_states()})
        tensors |= {f"{BEST}{number}": value for number, value in enumerate(progress.best)}
        place = {"losses": progress.losses, "batch": progress.batch, "history": asdict(progress.history)}
        checkpoint.write(TRAINING_SNAPSHOT, tensors, place)

    def restore(self) -> SentenceProgress:
        """Where training stood, parameters, moments and generators being as they were then; its beginning if nothing
        was kept."""
        kept = None if self.checkpoint is None else self.checkpoint.read(TRAINING_SNAPSHOT)
        if kept is None:
            return SentenceProgress([parameter.detach().clone() for parameter in self.parameters])
        load_training_tensors(kept.tensors, self.parameters, self.optimizer)
        best = [
            kept.tensors[f"{BEST}{number}"].clone().to(parameter.device)
            for number, parameter in enumerate(self.parameters)
        ]
        return SentenceProgress(
            best, _history(kept.facts["history"]), list(kept.facts["losses"]), int(kept.facts["batch"])
        )


def _history(facts: Mapping[str, Any]) -> SentenceHistory:
    epochs = [
        Epoch(
            tuple(epoch["losses"]),
            Fit(**epoch["validation"]),
            None if epoch["bleu"] is None else SpokenBleu(**epoch["bleu"]),
        )
        for epoch in facts["epochs"]
    ]
    return SentenceHistory(**{**facts, "epochs": epochs})
