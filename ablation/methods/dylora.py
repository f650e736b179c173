"""DyLoRA (Valipour et al. 2022): one LoRA term that works at every rank up to its own.

For each update a rank b is drawn from 1 … r; the gradients are those of the term cut to its first b columns of A and
rows of B, with the factor alpha/b, so that the ranks 1 … b train together. Afterwards it can be used at any rank.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from torch import Tensor, nn

from ablation.config.settings import CommonSettings
from ablation.methods.low_rank import wrap_targets
from lora import LinearWithLoRA, LoRATerm


class DynamicTerm(LoRATerm):
    """A term that is used at one of its ranks, at first at its full one.

    Attributes:
        rank: at which it is used.
    """

    def __init__(self, in_features: int, out_features: int, rank: int, alpha: float, *, init: str) -> None:
        super().__init__(in_features, out_features, rank, alpha, init=init)
        self.alpha, self.rank = alpha, rank

    def in_use(self) -> tuple[float, Tensor, Tensor]:
        return self.alpha / self.rank, self.A[:, : self.rank], self.B[: self.rank]


def attach(model: nn.Module, config: CommonSettings) -> None:
    term = partial(DynamicTerm, init=str(config.lora_init))
    wrap_targets(model, config, partial(LinearWithLoRA, rank=config.lora_rank, alpha=config.lora_alpha, term=term))


@contextmanager
def at_rank(model: nn.Module, rank: int) -> Iterator[None]:
    """All terms of a model at this rank, and afterwards at the one they had."""
    terms = [module for module in model.modules() if isinstance(module, DynamicTerm)]
    before = [term.rank for term in terms]
    for term in terms:
        term.rank = rank
    try:
        yield
    finally:
        for term, old in zip(terms, before, strict=True):
            term.rank = old


def updating(model: nn.Module, config: CommonSettings, number: int) -> AbstractContextManager[None]:
    """The rank of an update. Its generator is one of its own (the global one decides the batches), and made anew for
    each update, so that a run that is gone on with draws the same."""
    return at_rank(model, random.Random(f"{config.seed} {number}").randint(1, config.lora_rank))


def uses(model: nn.Module, config: CommonSettings) -> Mapping[str, AbstractContextManager[object] | None]:
    """At every power of two below the rank, and at the rank itself, as the model stands."""
    full = config.lora_rank
    below = (2**power for power in range((full - 1).bit_length()))
    return {**{f"rank {rank}": at_rank(model, rank) for rank in below}, f"rank {full}": None}
