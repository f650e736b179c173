"""GPT-2's loss on sentences: each a mean over its own tokens and its end, and over sentences the mean of these.

A sentence is read from a start token on, which is the end token, too. Predicted are its tokens and the end behind the
last, as far as a sentence of the greatest length goes: one that was cut there has no end. Padding predicts nothing.

Two ways to the same numbers: *packed*, where only positions that predict are computed; and *padded*, through
``GPTModel.forward`` at all positions, as published. With dropout they differ in which entries are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from ablation.execution.vocabulary_loss import weighted_loss
from previous_chapters import GPTModel, Runs, drop

NOTHING_PREDICTED = -100


@dataclass(frozen=True)
class SentenceLosses:
    """Of some sentences.

    Attributes:
        mean: over the sentences, of each one's mean over its predicted tokens; its gradients may be asked for.
        sums: (B,) over the predicted tokens of each sentence, in the order of the sentences.
        counts: (B,) how many these are.
    """

    mean: Tensor
    sums: Tensor
    counts: Tensor


def predicted(sentence: Sequence[int], max_len: int, end_token: int) -> tuple[list[int], list[int]]:
    """What is read and what is to be predicted from it, token by token, of one sentence."""
    tokens = list(sentence[:max_len])
    return [end_token, *tokens][:max_len], [*tokens, end_token][:max_len]


def packed_losses(model: GPTModel, sentences: Sequence[Sequence[int]], max_len: int, end_token: int) -> SentenceLosses:
    """The losses of a batch from the positions that predict something, one behind the other.

    Args:
        model: with a plain vocabulary head.
        sentences: token ids, without start and end.
        max_len: tokens of a sentence at most.
    """
    order = sorted(range(len(sentences)), key=lambda index: -len(sentences[index]))
    pairs = [predicted(sentences[index], max_len, end_token) for index in order]
    device = model.pos_emb.weight.device
    lengths = torch.tensor([len(read) for read, _ in pairs])
    tokens, targets = (torch.tensor([token for pair in pairs for token in pair[part]]).to(device) for part in (0, 1))
    places = torch.cat([model.positions(length, device) for length in lengths.tolist()])
    states = drop(model.tok_emb(tokens) + model.pos_emb(places), model)  # (R, D)
    runs: Runs = [(len(list(alike)), length) for length, alike in groupby(lengths.tolist())]
    for block in model.trf_blocks:
        states = block(states, runs)
    weights = (1 / (len(sentences) * lengths.double())).repeat_interleave(lengths).to(states)
    mean, losses = weighted_loss(model.final_norm(states), model.out_head.weight, targets, weights)  # type: ignore[arg-type]
    sums = torch.empty(len(sentences), dtype=losses.dtype)
    sums[torch.tensor(order)] = torch.stack([own.sum() for own in losses.cpu().split(lengths.tolist())])
    counts = torch.empty(len(sentences), dtype=torch.long)
    counts[torch.tensor(order)] = lengths
    return SentenceLosses(mean, sums, counts)


def padded(sentences: Sequence[Sequence[int]], max_len: int, end_token: int) -> tuple[Tensor, Tensor]:
    """What is read, filled up with end tokens, and what is to be predicted, filled up with ``NOTHING_PREDICTED``: both
    (B, max_len)."""
    tokens = torch.full((len(sentences), max_len), end_token)
    targets = torch.full_like(tokens, NOTHING_PREDICTED)
    for row, sentence in enumerate(sentences):
        read, aims = predicted(sentence, max_len, end_token)
        tokens[row, : len(read)] = torch.tensor(read)
        targets[row, : len(aims)] = torch.tensor(aims)
    return tokens, targets


def losses_of_logits(logits: Tensor, targets: Tensor) -> SentenceLosses:
    """From the logits (B, T, V) at all positions, and what they are to predict (B, T)."""
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=NOTHING_PREDICTED, reduction="none")
    sums = losses.unflatten(0, targets.shape).sum(-1)
    counts = (targets != NOTHING_PREDICTED).sum(-1)
    return SentenceLosses((sums / counts.to(sums)).mean(), sums.detach().cpu(), counts.cpu())


def padded_losses(model: GPTModel, sentences: Sequence[Sequence[int]], max_len: int, end_token: int) -> SentenceLosses:
    """As :func:`packed_losses`, from all positions of all sentences, each filled up with end tokens."""
    device = model.pos_emb.weight.device
    tokens, targets = (part.to(device) for part in padded(sentences, max_len, end_token))
    return losses_of_logits(model(tokens), targets)
