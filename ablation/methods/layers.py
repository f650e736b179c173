"""Which layers train: rules over the names that parameters have in the plain model, of so many blocks."""

from __future__ import annotations

from torch import nn

NEW_HEAD = "out_head."


def last_layer(name: str, n_blocks: int) -> bool:
    return name.startswith(NEW_HEAD)


def last_block(name: str, n_blocks: int) -> bool:
    return name.startswith((NEW_HEAD, "final_norm.", f"trf_blocks.{n_blocks - 1}."))


def last_two_blocks(name: str, n_blocks: int) -> bool:
    return last_block(name, n_blocks) or name.startswith(f"trf_blocks.{n_blocks - 2}.")


def everything(name: str, n_blocks: int) -> bool:
    return True


def trains(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
