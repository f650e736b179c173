"""Which parameters train: a registry of policies, each a rule over parameter names.

A new policy is one function and one entry here, and its name in ``ablation/config/experiment.py``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from lora import LORA_LAYERS, add_lora
from previous_chapters import GPTModel

NEW_HEAD = "out_head."


def _within(name: str, *prefixes: str) -> bool:
    return name.startswith(prefixes)


def last_layer(name: str, n_layers: int) -> bool:
    return _within(name, NEW_HEAD)


def last_block(name: str, n_layers: int) -> bool:
    return _within(name, NEW_HEAD, "final_norm.", f"trf_blocks.{n_layers - 1}.")


def last_two_blocks(name: str, n_layers: int) -> bool:
    return last_block(name, n_layers) or _within(name, f"trf_blocks.{n_layers - 2}.")


def everything(name: str, n_layers: int) -> bool:
    return True


def lora(name: str, n_layers: int) -> bool:
    return name.endswith((".lora.A", ".lora.B")) or _within(name, NEW_HEAD)


# policy name -> does the parameter of this name train, in a model of so many blocks?
TRAINABLE_LAYERS: dict[str, Callable[[str, int], bool]] = {
    "all": everything,
    "last_block": last_block,
    "last_two_blocks": last_two_blocks,
    "last_layer": last_layer,
    "lora": lora,
    "lora_alternative": lora,
}


def apply_policy(model: GPTModel, policy: str, lora_rank: int, lora_alpha: float) -> None:
    """Wrap the layers where the policy is one of LoRA, then let exactly the policy's parameters require gradients.

    The classifier must already be in place: LoRA wraps it too, last.
    """
    if policy in LORA_LAYERS:
        add_lora(model, lora_rank, lora_alpha, LORA_LAYERS[policy])
    trains = TRAINABLE_LAYERS[policy]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trains(name, len(model.trf_blocks)))


def first_trainable_block(model: GPTModel) -> int:
    """Index of the first block with a trainable parameter; the number of blocks if none has one; -1 if the embeddings
    train, which come before all blocks."""

    def trains(module: nn.Module) -> bool:
        return any(parameter.requires_grad for parameter in module.parameters())

    if trains(model.tok_emb) or trains(model.pos_emb):
        return -1
    return next((i for i, block in enumerate(model.trf_blocks) if trains(block)), len(model.trf_blocks))
