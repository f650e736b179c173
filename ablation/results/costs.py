"""What a way to fine-tune costs, in training and at inference, as rows have it and as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The names are those of columns. What is counted of a model, and how: ``ablation/methods/costs.py``.

    Attributes:
        total_parameters: of the plain model and its new head.
        trainable_parameters: of the model as it is, whatever of it an execution leaves out.
        added_parameters: that the method put beside the plain model's; they train, too.
        optimizer_bytes: of AdamW's two moments.
        added_multiply_adds: per token at inference, the method merged where it merges.
        unmerged_multiply_adds: the same where nothing is merged.
        added_positions: per message; each is computed like a token's.
        merges: whether what was trained can be had as plain weights.
    """

    total_parameters: int
    trainable_parameters: int
    added_parameters: int
    optimizer_bytes: int
    added_multiply_adds: int
    unmerged_multiply_adds: int
    added_positions: int
    merges: bool


def in_words(costs: Mapping[str, Any]) -> dict[str, str]:
    """Lines for a person, by their titles.

    Args:
        costs: by the names of :class:`Costs`.
    """
    return {
        "parameters": _parameters(costs),
        "optimizer": f"{_size(costs['optimizer_bytes'])} for two moments of each parameter that trains",
        "inference": _inference(costs),
    }


def _size(count: float) -> str:
    """Bytes, in the unit in which they are not nothing."""
    return f"{count / 1e3:,.0f} kB" if count < 1e6 else f"{count / 1e6:,.1f} MB"


def _parameters(costs: Mapping[str, Any]) -> str:
    """How many there are, how many train, and what share of the plain model these are."""
    total, trained, added = costs["total_parameters"], costs["trainable_parameters"], costs["added_parameters"]
    if not added:
        return f"{total:,}, of which {trained:,} train ({trained / total:.2%})"
    return f"{total:,} and {added:,} added; {trained:,} train ({trained / total:.2%})"


def _inference(costs: Mapping[str, Any]) -> str:
    """What the trained model takes more than the base."""
    if not costs["added_parameters"]:
        return "as the base: nothing is added"
    if costs["merges"]:
        return f"as the base once merged; unmerged {costs['unmerged_multiply_adds']:,} multiply-adds a token more"
    more = f"{costs['added_multiply_adds']:,} multiply-adds a token more"
    if positions := costs["added_positions"]:
        more += f", {positions:,} positions a message more"
    return f"{more}; it does not merge"


def merging_in_words(cannot_merge: str) -> str:
    """Whether what was trained can be had as plain weights, and if not, why (see the method's declaration)."""
    return f"no: {cannot_merge}" if cannot_merge else "yes"
