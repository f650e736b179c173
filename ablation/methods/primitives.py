"""The five things that a way of adapting a model is made of. Whatever computes a block knows these, and no method.

* *Select*: which of the parameters that exist train (:class:`ablation.methods.registry.Method`).
* *Linear map*: a layer that is still a linear map, of another weight (:class:`LinearMap`).
* *Wrapper* of a sublayer: what comes in place of its output (:class:`SublayerWrapper`).
* *Extra keys and values* that every query of an attention sees (:class:`ExtraKeysAndValues`).
* *Extra positions* before a message's first token (:class:`ExtraPositions`).

Shapes: B messages, T positions, D width, L extra ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LinearMap(nn.Module):
    """A linear layer whose weight is another than the stored one. (…, in) -> (…, out)

    It computes ``x Wᵀ + b`` with the W and b of :meth:`effective`. A subclass may override ``forward`` where that is
    cheaper (by thin products, say); it must compute the same map.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def effective(self) -> tuple[Tensor, Tensor | None]:
        """The weight (out, in) and the bias (out,) of the map."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, *self.effective())


def effective_weight_and_bias(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """The (out, in) weight and the (out,) bias of the linear map that a layer computes.

    Raises:
        TypeError: the layer is no linear map that is known.
    """
    if not is_linear_map(layer):
        raise TypeError(f"{type(layer).__name__} is not a linear layer: give a Linear or a LinearMap around one")
    if isinstance(layer, LinearMap):
        weight, bias = layer.effective()
    else:
        weight, bias = layer.weight, layer.bias  # type: ignore[assignment]
    return weight, weight.new_zeros(len(weight)) if bias is None else bias


def is_linear_map(layer: nn.Module) -> bool:
    """Whether :func:`effective_weight_and_bias` knows the layer; of a subclass of ``Linear`` it would know nothing."""
    return type(layer) is nn.Linear or isinstance(layer, LinearMap)


@torch.no_grad()
def merge_linear_maps(model: nn.Module) -> None:
    """Replace every linear map below ``model`` by a plain ``Linear`` that computes the same; a second call changes
    nothing. The layers within the maps stay as they are."""
    for name, child in model.named_children():
        if isinstance(child, LinearMap):
            weight, bias = child.effective()
            trains = any(parameter.requires_grad for parameter in child.linear.parameters())
            plain = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
            plain.weight = nn.Parameter(weight, requires_grad=trains)
            if bias is not None:
                plain.bias = nn.Parameter(bias.detach(), requires_grad=trains)
            setattr(model, name, plain)
        else:
            merge_linear_maps(child)


class SublayerWrapper(nn.Module):
    """Stands in the place of a block's attention or feed-forward, before the residual sum. A subclass has its own
    :meth:`combine`; of one that overrides ``forward``, too, nothing is known."""

    def __init__(self, sublayer: nn.Module) -> None:
        super().__init__()
        self.sublayer = sublayer

    def combine(self, x: Tensor, y: Tensor) -> Tensor:
        """What the wrapper gives where the sublayer made y (…, D) of x (…, D), each position by itself."""
        raise NotImplementedError

    def forward(self, x: Tensor, *context: object) -> Tensor:
        return self.combine(x, self.sublayer(x, *context))


def has_hooks(module: nn.Module) -> bool:
    """Whether something is called whenever the module is."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def unwrapped(sublayer: nn.Module) -> tuple[nn.Module, list[SublayerWrapper]]:
    """A sublayer without its wrappers, and these from the innermost on."""
    wrappers: list[SublayerWrapper] = []
    while isinstance(sublayer, SublayerWrapper):
        wrappers.insert(0, sublayer)
        sublayer = sublayer.sublayer
    return sublayer, wrappers


class ExtraKeysAndValues(nn.Module):
    """Keys and values (L, D) before a message's own, in one attention; seen by every query, with or without a mask.

    To be put at ``MultiHeadAttention.extra``. The positions of the message stay 0, 1, …
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values = nn.Parameter(keys), nn.Parameter(values)


class ExtraPositions(nn.Module):
    """Embeddings (L, D) before a message's tokens, whose positions move by L.

    To be put at ``GPTModel.extra``. What reads positions counts a message's own tokens.
    """

    def __init__(self, embeddings: Tensor) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(embeddings)
