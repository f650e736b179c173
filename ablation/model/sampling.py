"""The next token out of its logits: the likeliest, or one drawn by inverse transform from one uniform number.

Sums of probabilities are in float64. Among equally likely tokens the one with the lower id comes first.

Shapes: B sentences, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ablation.config.decoding import GREEDY, RANDOM, TOP_K, TOP_K_TOP_P, TOP_P, Decoding

_ROWS = 32  # sentences at once: so many logits of GPT-2's vocabulary stay in a processor's cache from pass to pass
_GROUP = 256  # tokens whose probabilities are summed first, when any token can be drawn
_SMALLEST_GROUP = 4  # tokens; below, nothing is gained by looking for the largest of each group first
_PREFIX = 64  # so many of the likeliest tokens are looked at first for a nucleus, then eight times as many, …


def uniforms(seed: int, number: int, draws: int) -> NDArray[np.float64]:
    """(draws,) numbers in [0, 1): the t-th depends on the seed, the sentence's number and t alone."""
    stream = np.random.Philox(key=np.array([seed % 2**64, number], dtype=np.uint64))
    return np.random.Generator(stream).random(draws)


def choose_tokens(logits: Tensor, decoding: Decoding, uniform: Tensor) -> Tensor:
    """The next token of each sentence.

    The temperature comes first, then ``top_k``, then ``top_p`` (Holtzman et al. 2020: the fewest likeliest tokens that
    together have at least this probability, of what ``top_k`` left).

    Args:
        logits: (B, V)
        decoding: how to choose.
        uniform: (B,) float64 in [0, 1), one for each sentence; not looked at by greedy.

    Returns:
        (B,) token ids.

    Raises:
        ValueError: a logit is not a number or infinite.
    """
    parts = zip(logits.split(_ROWS), uniform.split(_ROWS), strict=True)
    return torch.cat([_choose(some, decoding, numbers) for some, numbers in parts])


def _choose(logits: Tensor, decoding: Decoding, uniform: Tensor) -> Tensor:
    if not torch.isfinite(logits.amax(-1)).all():
        raise ValueError("the model's logits are not finite, so no token can be drawn: its training has diverged")
    if decoding.name == GREEDY:
        return logits.argmax(-1)  # of several largest, the first
    if decoding.temperature != 1:
        logits = logits / decoding.temperature
    return _DRAWS[decoding.name](logits, decoding, uniform)


def check_decoding(decoding: Decoding) -> None:
    """See that the settings can be sampled by.

    Raises:
        ValueError: which setting is wrong.
    """
    if decoding.name != GREEDY and decoding.name not in _DRAWS:
        raise ValueError(f"decoding {decoding.name!r} is not known: choose from {', '.join([GREEDY, *_DRAWS])}")
    if decoding.temperature <= 0:
        raise ValueError(f"temperature {decoding.temperature:g} is not above 0: for the likeliest token use {GREEDY}")
    if decoding.name in (TOP_K, TOP_K_TOP_P) and (decoding.top_k is None or decoding.top_k < 1):
        raise ValueError(f"{decoding.name} needs top_k of at least 1, not {decoding.top_k}")
    if decoding.name in (TOP_P, TOP_K_TOP_P) and (decoding.top_p is None or not 0 < decoding.top_p <= 1):
        raise ValueError(f"{decoding.name} needs top_p above 0 and at most 1, not {decoding.top_p}")


def _any(logits: Tensor, decoding: Decoding, uniform: Tensor) -> Tensor:
    """Of all tokens, in the order of their ids: first a group of them, then one of the group. No sort, and no float64
    number for each token."""
    weights, vocabulary = (logits - logits.amax(-1, keepdim=True)).exp_(), logits.shape[-1]
    groups = vocabulary // _GROUP
    sums = weights[:, : groups * _GROUP].unflatten(-1, (groups, _GROUP)).sum(-1, dtype=torch.float64)
    rest_of_them = weights[:, groups * _GROUP :].sum(-1, keepdim=True, dtype=torch.float64)  # a last, smaller group
    cumulative = torch.cat([sums, rest_of_them], -1).cumsum(-1)
    target = uniform[:, None] * cumulative[:, -1:]
    group = torch.searchsorted(cumulative, target, right=True)  # the first whose sum is above the target
    before = F.pad(cumulative, (1, 0)).gather(1, group)
    tokens = group * _GROUP + torch.arange(_GROUP, device=group.device)
    there = weights.gather(1, tokens.clamp(max=vocabulary - 1)).to(torch.float64)
    within = there.mul_(tokens < vocabulary).cumsum(-1)
    # A group's two sums may differ in the last digit; a target at its end would find the zeros behind the last token.
    rest = torch.minimum(target - before, torch.nextafter(within[:, -1:], torch.zeros_like(target)))
    return (group * _GROUP + torch.searchsorted(within, rest, right=True))[:, 0]


def _likeliest_k(logits: Tensor, decoding: Decoding, uniform: Tensor) -> Tensor:
    values, ids = likeliest(logits, decoding.top_k or 1)
    cumulative = (values - values[:, :1]).to(torch.float64).exp().cumsum(-1)
    return _pick(ids, cumulative, cumulative[:, -1:], uniform)


def _nucleus(logits: Tensor, decoding: Decoding, uniform: Tensor) -> Tensor:
    """Sorts no more of a sentence's tokens than a prefix in which its nucleus lies."""
    top = logits.amax(-1, keepdim=True)
    total = (logits - top).exp_().sum(-1, keepdim=True, dtype=torch.float64)
    tokens = torch.empty(len(logits), dtype=torch.long, device=logits.device)
    rows, width = torch.arange(len(logits), device=logits.device), _PREFIX
    while len(rows):
        values, ids = likeliest(logits[rows], width)
        cumulative = (values - top[rows]).to(torch.float64).exp().cumsum(-1) / total[rows]
        found = (cumulative[:, -1] >= (decoding.top_p or 1)) | (ids.shape[1] == logits.shape[1])
        here = rows[found]
        tokens[here] = _pick_nucleus(ids[found], cumulative[found], decoding, uniform[here])
        rows, width = rows[~found], width * 8
    return tokens


def _nucleus_of_likeliest_k(logits: Tensor, decoding: Decoding, uniform: Tensor) -> Tensor:
    values, ids = likeliest(logits, decoding.top_k or 1)
    cumulative = (values - values[:, :1]).to(torch.float64).exp().cumsum(-1)
    return _pick_nucleus(ids, cumulative / cumulative[:, -1:], decoding, uniform)


def _pick_nucleus(ids: Tensor, cumulative: Tensor, decoding: Decoding, uniform: Tensor) -> Tensor:
    """One of the tokens up to the first with which ``top_p`` is reached."""
    reached = torch.searchsorted(cumulative, torch.full_like(cumulative[:, :1], decoding.top_p or 1))
    mass = cumulative.gather(1, reached.clamp(max=cumulative.shape[1] - 1))
    return _pick(ids, cumulative, mass, uniform)


def _pick(ids: Tensor, cumulative: Tensor, mass: Tensor, uniform: Tensor) -> Tensor:
    """(B,) of ids (B, K), by their cumulative weights (B, K), of which the first that sum to ``mass`` (B, 1) count."""
    return ids.gather(1, torch.searchsorted(cumulative, uniform[:, None] * mass, right=True))[:, 0]


def likeliest(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest logits (B, K) and their token ids (B, K), the largest first; of equal ones, the lower id first."""
    vocabulary = logits.shape[-1]
    if k >= vocabulary:
        return logits.sort(dim=-1, descending=True, stable=True)
    values, ids = _largest(logits, k + 1)
    tied = values[:, k - 1] == values[:, k]  # then topk may have taken any of the equal ones
    ids = ids[:, :k].sort(dim=-1).values
    values, order = logits.gather(1, ids).sort(dim=-1, descending=True, stable=True)
    ids = ids.gather(1, order)
    if tied.any():
        all_values, all_ids = logits[tied].sort(dim=-1, descending=True, stable=True)
        values[tied], ids[tied] = all_values[:, :k], all_ids[:, :k]
    return values, ids


def _largest(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """As ``topk`` gives them, most of whose time goes to tokens that are far below the largest.

    Tokens are put into groups, the largest of each group is found, and only the ``count`` groups with the largest of
    these are searched: in any other group, no token is above one of theirs that is among the ``count`` largest.
    """
    vocabulary = logits.shape[-1]
    size = math.isqrt(vocabulary // count)  # of a group; then both searches go through about equally many
    if size < _SMALLEST_GROUP:
        return logits.topk(count, dim=-1)
    groups = vocabulary // size
    maxima = logits[:, : size * groups].unflatten(-1, (size, groups)).amax(1)  # a group's tokens lie ``groups`` apart
    steps = groups * torch.arange(size, device=logits.device)
    ids = (maxima.topk(count, dim=-1, sorted=False).indices[:, :, None] + steps).flatten(1)
    ungrouped = torch.arange(size * groups, vocabulary, device=logits.device)
    ids = torch.cat([ids, ungrouped.expand(len(ids), -1)], -1)
    values, places = logits.gather(1, ids).topk(count, dim=-1)
    return values, ids.gather(1, places)


_DRAWS: dict[str, Callable[[Tensor, Decoding, Tensor], Tensor]] = {
    RANDOM: _any, TOP_P: _nucleus, TOP_K: _likeliest_k, TOP_K_TOP_P: _nucleus_of_likeliest_k,
}  # fmt: skip
