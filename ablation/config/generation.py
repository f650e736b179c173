"""How a language model is trained on sentences: the settings of the published experiment."""

from __future__ import annotations

from dataclasses import dataclass

from ablation.config.options import option
from ablation.config.values import integer, number

PER_EPOCH, NEVER = "per_epoch", "never"


@dataclass(frozen=True, kw_only=True)
class SentenceTraining:
    """How a language model is trained."""

    num_epochs: int = option(20, "passes over the training sentences at most", integer(1))
    batch_size: int = option(32, "sentences per batch", integer(1))
    learning_rate: float = option(1e-4, "Adam's learning rate; nothing is decayed", number(positive=True))
    max_len: int = option(35, "tokens of a sentence at most; longer ones are cut", integer(1))
    patience: int = option(1, "epochs in a row without a better validation perplexity after which it stops", integer(1))
    shuffle: str = option(
        PER_EPOCH, "a new order of the sentences every epoch, or that of the file", choices=(PER_EPOCH, NEVER)
    )
    seed: int = option(123, "seed of initialisation, order and dropout", integer(0))
