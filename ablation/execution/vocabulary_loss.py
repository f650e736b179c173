"""The loss of a vocabulary head, without ever holding the logits of more than a few positions.

With GPT-2's vocabulary the logits of one batch of sentences take ten times the memory of everything else. So they are
made, used and dropped some rows at a time; and because the loss is a weighted sum over rows, whose weights are known
beforehand, the gradients are made in the same pass: no logits are computed twice.

Shapes: R rows (positions that predict a token), D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS_OF_LOGITS = 256  # 51 MB with GPT-2's vocabulary


class _WeightedLoss(torch.autograd.Function):
    """See :func:`weighted_loss`."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_head = ctx.needs_input_grad[:2]
        losses = hidden.new_empty(len(hidden))
        hidden_gradient = torch.empty_like(hidden) if wants_hidden else None
        head_gradient = torch.zeros_like(head) if wants_head else None
        for start in range(0, len(hidden), ROWS_OF_LOGITS):
            rows = slice(start, start + ROWS_OF_LOGITS)
            own, aims = hidden[rows], targets[rows, None]
            scores = F.linear(own, head)
            total = scores.logsumexp(-1, keepdim=True)
            losses[rows] = (total - scores.gather(-1, aims)).squeeze(-1)
            if hidden_gradient is None and head_gradient is None:
                continue
            # of the sum of weight · (logsumexp - score of the target), by the scores: weight · (softmax - one-hot)
            slope = scores.sub_(total).exp_().mul_(weights[rows, None])
            slope.scatter_add_(-1, aims, -weights[rows, None])
            if hidden_gradient is not None:
                torch.mm(slope, head, out=hidden_gradient[rows])
            if head_gradient is not None:
                head_gradient.addmm_(slope.t(), own)
        ctx.gradients = hidden_gradient, head_gradient
        ctx.mark_non_differentiable(losses)
        return losses @ weights, losses

    @staticmethod
    def backward(ctx: Any, *of_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        factor, gradients = of_outputs[0], ctx.gradients
        del ctx.gradients  # they are scaled in place: nobody else may have them
        of_hidden, of_head = (None if gradient is None else gradient.mul_(factor) for gradient in gradients)
        return of_hidden, of_head, None, None


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
    return _WeightedLoss.apply(hidden, head, targets, weights)
