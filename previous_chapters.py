"""GPT-2, with the parameter names of the book "Build a Large Language Model (From Scratch)", and text generation.

Shapes in comments: B messages, T positions, D width, H heads, V vocabulary, L extra positions or keys.

A block takes messages of one length as a batch (B, T, D). It also takes *packed* ones, of different lengths and without
padding: their positions one behind the other (N, D), with ``runs`` that say whose they are. Only attention has to know.
So it is with ``hidden``, (B, T) or packed (N,): True where a pad stands that no position attends to.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablation.config.shapes import ModelShape
from ablation.methods.primitives import ExtraKeysAndValues, ExtraPositions, has_hooks

LAYER_NORM_EPS = 1e-5

Runs = Sequence[tuple[int, int]]  # messages of one length that lie one behind the other: (how many, their length)


class LayerNorm(nn.Module):
    """Normalise each position to mean 0 and (biased) variance 1, then scale and shift. (…, D) -> (…, D)"""

    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.scale, self.shift, LAYER_NORM_EPS)


class FeedForward(nn.Module):
    """Two linear layers, the inner one four times as wide, with the tanh form of GELU between. (…, D) -> (…, D)"""

    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(emb_dim, 4 * emb_dim), nn.GELU(approximate="tanh"), nn.Linear(4 * emb_dim, emb_dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        expand, activation, *rest = self.layers
        if type(expand) is not nn.Linear or type(activation) is not nn.GELU or any(map(has_hooks, self.layers)):
            return self.layers(x)
        inner = expand(x)
        if inner.requires_grad:
            inner = activation(inner)
        else:  # nobody else has it: in place, GELU spares a copy 4 times as wide
            inner = torch.ops.aten.gelu_(inner, approximate=activation.approximate)
        for layer in rest:
            inner = layer(inner)
        return inner


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention over H heads; ``causal`` hides later positions. (B, T, D) -> (B, T, D)

    Attributes:
        extra: keys and values (L, D) that stand before a message's own and are never hidden; usually none.
        dropout: probability with which training drops an attention weight.
    """

    def __init__(self, emb_dim: int, n_heads: int, causal: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.causal = causal
        self.dropout = dropout
        self.W_query = nn.Linear(emb_dim, emb_dim)
        self.W_key = nn.Linear(emb_dim, emb_dim)
        self.W_value = nn.Linear(emb_dim, emb_dim)
        self.out_proj = nn.Linear(emb_dim, emb_dim)
        self.extra: ExtraKeysAndValues | None = None

    def projections(self) -> tuple[nn.Module, ...]:
        return self.W_query, self.W_key, self.W_value, self.out_proj

    def split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(-3, -2)  # (…, T, D) -> (…, H, T, D/H)

    def seen(self, hidden: Tensor | None, length: int, n_extra: int, device: torch.device) -> Tensor:
        """Which of L extra and T own keys each of T positions attends to: (T, L + T), or (B, 1, T, L + T) with
        ``hidden``. A pad that has nothing to attend to attends to itself."""
        seen = torch.ones(length, n_extra + length, dtype=torch.bool, device=device)
        itself = seen.tril(n_extra).triu(n_extra)
        if self.causal:
            seen = seen.tril(n_extra)
        if hidden is None:
            return seen
        seen = seen & ~F.pad(hidden, (n_extra, 0))[:, None, None, :]
        return seen | (itself & ~seen.any(-1, keepdim=True))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None = None) -> Tensor:
        """What lies between the projections: for each position the mean of the values, each (B, T, D), per head."""
        query, key, value = (self.split_heads(x) for x in (query, key, value))
        n_extra = 0
        if self.extra is not None:
            n_extra = len(self.extra.keys)
            key, value = (
                torch.cat([self.split_heads(extra).expand(len(own), -1, -1, -1).to(own.dtype), own], dim=2)
                for extra, own in ((self.extra.keys, key), (self.extra.values, value))
            )  # (B, H, L + T, D/H)
        # The flag alone would count the extra keys among the positions, and knows nothing of pads.
        needs_mask = hidden is not None or (self.causal and self.extra is not None)
        mask = self.seen(hidden, query.shape[2], n_extra, query.device) if needs_mask else None
        is_causal = self.causal and mask is None
        dropped = self.dropout if self.training else 0.0
        context = F.scaled_dot_product_attention(query, key, value, mask, dropped, is_causal)  # (B, H, T, D/H)
        return context.transpose(1, 2).flatten(2)  # (B, T, D)

    def forward(self, x: Tensor, runs: Runs | None = None, hidden: Tensor | None = None) -> Tensor:
        tables = [self.W_query(x), self.W_key(x), self.W_value(x)]
        if hidden is not None:
            tables.append(hidden)
        if runs is None:
            return self.out_proj(self.attend(*tables))
        sizes = [count * length for count, length in runs]
        parts = zip(runs, *(table.split(sizes) for table in tables), strict=True)
        context = [self.attend(*(rows.unflatten(0, run) for rows in part)).flatten(0, 1) for run, *part in parts]
        return self.out_proj(torch.cat(context))


def drop(x: Tensor, module: TransformerBlock | GPTModel) -> Tensor:
    """Dropout with the module's probability while it is trained; else, and with 0, what was given."""
    return F.dropout(x, module.dropout, module.training) if module.dropout else x


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each on a normalised input and added to it.

    (B, T, D) -> (B, T, D), or packed (N, D) -> (N, D) with the ``runs`` that its N rows are.

    Attributes:
        dropout: probability with which training drops an entry of what a sublayer adds.
    """

    def __init__(self, shape: ModelShape, causal: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.att = MultiHeadAttention(shape.emb_dim, shape.n_heads, causal, dropout)
        self.ff = FeedForward(shape.emb_dim)
        self.norm1 = LayerNorm(shape.emb_dim)
        self.norm2 = LayerNorm(shape.emb_dim)

    def forward(self, x: Tensor, runs: Runs | None = None, hidden: Tensor | None = None) -> Tensor:
        # An attention of one's own need not know of packed messages, or of pads that are not attended to.
        context = (runs, hidden) if hidden is not None else () if runs is None else (runs,)
        x = x + drop(self.att(self.norm1(x), *context), self)
        return x + drop(self.ff(self.norm2(x)), self)


class Blocks(nn.Sequential):
    """Blocks, one after the other. (B, T, D) -> (B, T, D)"""

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        for block in self:
            x = block(x) if hidden is None else block(x, None, hidden)
        return x


class GPTModel(nn.Module):
    """GPT-2. Modules are made in the book's order, so that one seed draws the same random weights.

    Args:
        shape: dimensions of the model.
        causal: whether a position is kept from attending to later ones.
        dropout: probability with which training drops entries of embeddings, attention weights and what sublayers add;
            0 for the classifier, whose frozen blocks are computed once.

    Attributes:
        extra: embeddings (L, D) that stand before a message's tokens; usually none.
    """

    def __init__(self, shape: ModelShape, causal: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.tok_emb = nn.Embedding(shape.vocab_size, shape.emb_dim)
        self.pos_emb = nn.Embedding(shape.context_length, shape.emb_dim)
        self.trf_blocks = Blocks(*(TransformerBlock(shape, causal, dropout) for _ in range(shape.n_layers)))
        self.final_norm = LayerNorm(shape.emb_dim)
        self.out_head: nn.Module = nn.Linear(shape.emb_dim, shape.vocab_size, bias=False)

        self.extra: ExtraPositions | None = None

    @property
    def n_extra(self) -> int:
        """Positions before a message's first token."""
        return 0 if self.extra is None else len(self.extra.embeddings)

    def positions(self, length: int, device: torch.device | None = None) -> Tensor:
        """(length,) rows of the position embedding at which a message's tokens stand."""
        return torch.arange(length, device=device)

    def embed(self, token_ids: Tensor, positions: Tensor | None = None) -> Tensor:
        """What enters the first block: (B, T) -> (B, L + T, D), with the extra positions before the tokens.

        Args:
            positions: (B, T) at which the tokens stand, where they are not 0, 1, …
        """
        x = self.tok_emb(token_ids)  # (B, T) -> (B, T, D)
        if self.extra is not None:
            x = torch.cat([self.extra.embeddings.expand(len(x), -1, -1), x], dim=1)  # (B, L + T, D)
        places = self.positions(x.shape[1], x.device)
        if positions is not None:
            extra = places[: self.n_extra].expand(len(positions), -1)
            places = torch.cat([extra, positions + self.n_extra], dim=1)
        return drop(x + self.pos_emb(places), self)

    def with_extra(self, hidden: Tensor) -> Tensor:
        """(B, T) -> (B, L + T): the extra positions are no pads."""
        return F.pad(hidden, (self.n_extra, 0))

    def forward(
        self, token_ids: Tensor, positions: Tensor | None = None, hidden: Tensor | None = None
    ) -> Tensor:
        """Token ids (B, T) -> the output head's values at every token (B, T, V), or (B, T, 2) for a classifier.

        Args:
            positions: (B, T) at which the tokens stand, where they are not 0, 1, …
            hidden: (B, T) True at pads that no position attends to.
        """
        x = self.embed(token_ids, positions)
        x = self.trf_blocks(x) if hidden is None else self.trf_blocks(x, self.with_extra(hidden))
        return self.out_head(self.final_norm(x)[:, self.n_extra :])


@torch.no_grad()
def generate(
    model: GPTModel,
    token_ids: Sequence[int],
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    end_token: int | None = None,
    generator: torch.Generator | None = None,
) -> list[int]:
    """Continue a text with a model that has its vocabulary head.

    Args:
        token_ids: the beginning, at least one token.
        max_new_tokens: how many tokens to add at most.
        temperature: 0 takes the likeliest token each time; above 0 the logits are divided by it and a token is drawn.
        top_k: draw among this many likeliest tokens only.
        end_token: stop when this token is drawn; it is not returned.

    Returns:
        The beginning and its continuation. When the text outgrows the model's context, the earliest tokens are left
        out of what the model reads.

    Raises:
        ValueError: the beginning is empty.
    """
    if not token_ids:
        raise ValueError("token_ids is empty: give at least one token to continue")
    ids = list(token_ids)
    context_length = model.pos_emb.num_embeddings
    for _ in range(max_new_tokens):
        read = torch.tensor([ids[-context_length:]], device=model.pos_emb.weight.device)
        logits = model(read)[0, -1]  # (V,)
        if top_k is not None:
            lowest_kept = logits.topk(min(top_k, len(logits))).values[-1]
            logits = logits.masked_fill(logits < lowest_kept, -torch.inf)
        if temperature > 0:
            token = int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))
        else:
            token = int(logits.argmax())
        if token == end_token:
            break
        ids.append(token)
    return ids
