"""Where the embeddings train: only the rows that occur need gradients and moments.

Adam works element by element, so that leaving the other rows out changes nothing for these. A row that occurs in no
example has a zero gradient at every step: its moments stay zero, and each update only decays it by the same factor. So
its value is known without computing it.

A classifier reads known messages alone: they are renumbered, and all rows are filled in when the parameters are asked
for. (A row that occurs only in validation or test decays too, and matters: it counts as occurring.) A language model
decays nothing, and may be asked about any token while it trains: the other rows stay beside, as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablation.config.experiment import ExperimentConfig
from ablation.data.encode import EncodedMessages
from ablation.model.classifier import WeightSource
from previous_chapters import GPTModel


@dataclass(frozen=True)
class OccurringRows:
    """Rows (sorted) of the token and the position embedding that any message touches."""

    tokens: Tensor
    positions: Tensor

    def renumber(self, messages: dict[str, EncodedMessages]) -> dict[str, EncodedMessages]:
        """The messages with each token id replaced by its row's place among the occurring ones."""
        return {
            name: replace(split, tokens=torch.searchsorted(self.tokens, split.tokens))
            for name, split in messages.items()
        }


def occurring_rows(messages: dict[str, EncodedMessages], model: GPTModel) -> OccurringRows:
    """All token ids in the messages, pads included, and all positions up to the last one."""
    tokens = torch.cat([split.tokens.flatten() for split in messages.values()]).unique()
    places = [int(split.placement.table(*split.tokens.shape)[0].max()) for split in messages.values()]
    width = model.n_extra + max(places) + 1
    return OccurringRows(tokens, torch.arange(int(model.positions(width).max()) + 1))


def keep_occurring(model: GPTModel, weights: WeightSource, rows: OccurringRows, device: torch.device) -> None:
    """Replace the model's embeddings by the rows that occur, each as trainable or frozen as it was."""
    for name, wanted in (("tok_emb", rows.tokens), ("pos_emb", rows.positions)):
        parameter = getattr(model, name).weight
        kept = weights.tensor(f"{name}.weight")[wanted].to(device, parameter.dtype)
        setattr(model, name, nn.Embedding.from_pretrained(kept, freeze=not parameter.requires_grad))


def whole_embeddings(
    trained: dict[str, Tensor], weights: WeightSource, rows: OccurringRows, config: ExperimentConfig, updates: int
) -> dict[str, Tensor]:
    """The trained embeddings with all rows: those that occur as trained, the others decayed as often as updated.

    Args:
        trained: trained parameters by name, the embeddings with their occurring rows only.
        updates: how often the optimizer has stepped.

    Returns:
        Those of ``tok_emb.weight`` and ``pos_emb.weight`` that were trained, in full.
    """
    decay = (1 - config.learning_rate * config.weight_decay) ** updates
    whole = {}
    for name, occurring in (("tok_emb.weight", rows.tokens), ("pos_emb.weight", rows.positions)):
        if name not in trained:
            continue
        whole[name] = weights.tensor(name) * decay
        whole[name][occurring] = trained[name].to(whole[name].dtype)
    return whole


class OccurringTokens(nn.Module):
    """A token embedding of which the rows of some tokens train; the others are read as they were. (…) -> (…, D)

    Attributes:
        weight: (K, D) these rows, in the order of their tokens; the module's one parameter.
    """

    def __init__(self, whole: nn.Embedding, tokens: Tensor) -> None:
        """``tokens``: (K,) sorted, each once."""
        super().__init__()
        self.weight = nn.Parameter(whole.weight.detach()[tokens])
        self._tokens, self._others = tokens, whole.weight.detach()

    def forward(self, token_ids: Tensor) -> Tensor:
        rows = torch.searchsorted(self._tokens, token_ids).clamp_(max=len(self._tokens) - 1)
        occurring = F.embedding(rows, self.weight)
        own = self._tokens[rows] == token_ids
        return occurring if own.all() else torch.where(own[..., None], occurring, self._others[token_ids])


@contextmanager
def occurring_tokens(model: GPTModel, sentences: Iterable[Iterable[int]], end_token: int) -> Iterator[None]:
    """Let the model's token embedding be :class:`OccurringTokens` of the sentences and the end token for a while, in
    which an optimizer without decay may train it; afterwards it is the whole one again, with the rows as trained.

    One that does not train, or that is the vocabulary head, too, stays as it is.
    """
    whole = model.tok_emb
    if not whole.weight.requires_grad or getattr(model.out_head, "weight", None) is whole.weight:
        yield
        return
    occurring = {end_token}.union(*sentences)
    tokens = torch.tensor(sorted(occurring), device=whole.weight.device)
    own = OccurringTokens(whole, tokens).train(model.training)
    setattr(model, "tok_emb", own)  # noqa: B010  (to the type checker it is an nn.Embedding)
    try:
        yield
    finally:
        with torch.no_grad():
            whole.weight[tokens] = own.weight
        model.tok_emb = whole
