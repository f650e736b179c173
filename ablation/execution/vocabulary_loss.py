"""The loss of a vocabulary head, without ever holding the logits of more than a few positions.

With GPT-2's vocabulary the logits of one batch of sentences take ten times the memory of everything else. So they are
made, used and dropped some rows at a time; and because the loss is a weighted sum over rows, whose weights are known
beforehand, the gradients are made in the same pass: no logits are computed twice.

Of row r with scores s, their maximum m, the target y and the weight w, with e_v = exp(s_v - m) and Z = Σ_v e_v:

    loss            = m + log Z - s_y
    ∂(w·loss)/∂s_v  = w/Z · (e_v - Z·[v = y])

so that the table of e need not be scaled: what it is multiplied with is.

Shapes: R rows (positions that predict a token), D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS_OF_LOGITS = 256  # 51 MB with GPT-2's vocabulary
# Scores lie with a row for each token, where a product is as fast over the whole vocabulary as over a piece. But a
# piece of 1 MB is still in the processor's caches when it is gone over again: measured, that takes four fifths of the
# time.
TOKENS_OF_A_PASS = 1024


class _WeightedLoss(torch.autograd.Function):
    """See :func:`weighted_loss`."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_head = ctx.needs_input_grad[:2]
        losses = hidden.new_empty(len(hidden))
        hidden_gradient = torch.empty_like(hidden) if wants_hidden else None
        head_gradient = torch.empty_like(head) if wants_head else None
        room = hidden.new_empty(len(head) * min(ROWS_OF_LOGITS, len(hidden)))  # one for all: pages come but once
        for start in range(0, len(hidden), ROWS_OF_LOGITS):
            rows = slice(start, start + ROWS_OF_LOGITS)
            own, aims = hidden[rows], targets[rows]
            columns = torch.arange(len(own), device=own.device)
            scores = room[: len(head) * len(own)].view(len(head), len(own))
            top = _fill_with_scores(scores, own, head)
            aimed = scores[aims, columns]
            mass = _raise(scores, top)
            losses[rows] = top + mass.log() - aimed
            if hidden_gradient is None and head_gradient is None:
                continue
            scores[aims, columns] -= mass
            factor = (weights[rows] / mass)[:, None]
            if hidden_gradient is not None:
                hidden_gradient[rows] = (scores.t() @ head).mul_(factor)
            if head_gradient is not None:
                torch.addmm(head_gradient, scores, own * factor, beta=float(start > 0), out=head_gradient)
        ctx.gradients = hidden_gradient, head_gradient
        ctx.mark_non_differentiable(losses)
        return losses @ weights, losses

    @staticmethod
    def backward(ctx: Any, *of_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        factor, gradients = of_outputs[0], ctx.gradients
        del ctx.gradients  # they are scaled in place: nobody else may have them
        of_hidden, of_head = (None if gradient is None else gradient.mul_(factor) for gradient in gradients)
        return of_hidden, of_head, None, None


# A piece of the vocabulary at a time, while it is in the processor's caches.


def _fill_with_scores(scores: Tensor, hidden: Tensor, head: Tensor) -> Tensor:
    """Write every token's scores, a column for each row, into (V, R); returns the largest of each row (R,)."""
    largest = []
    for piece, tokens in zip(scores.split(TOKENS_OF_A_PASS), head.split(TOKENS_OF_A_PASS), strict=True):
        torch.mm(tokens, hidden.t(), out=piece)
        largest.append(piece.amax(0))
    return torch.stack(largest).amax(0)


def _raise(scores: Tensor, top: Tensor) -> Tensor:
    """Make e of the scores, in their place; returns the sum Z of each row (R,)."""
    return torch.stack([piece.sub_(top).exp_().sum(0) for piece in scores.split(TOKENS_OF_A_PASS)]).sum(0)


def weighted_loss(hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy under a vocabulary head.

    Args:
        hidden: (R, D) what enters the head.
        head: (V, D) its weight.
        targets: (R,) the tokens that come next.
        weights: (R,) what each row counts; they get no gradient.

    Returns:
        The weighted sum of the rows' losses, of which one backward pass can be made; and the losses (R,) themselves, in
        nats, without gradients.
    """
    if not torch.is_grad_enabled():  # a parameter says that it wants a gradient then, too
        hidden, head = hidden.detach(), head.detach()
    return _WeightedLoss.apply(hidden, head, targets, weights)
