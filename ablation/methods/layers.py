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


def biases(name: str, n_blocks: int) -> bool:
    """All biases of the blocks, the norms' shifts included (BitFit, Ben Zaken et al. 2021), and the classifier."""
    return last_layer(name, n_blocks) or (block_of(name) is not None and name.endswith((".bias", ".shift")))


def block_norms(name: str, n_blocks: int) -> bool:
    return last_layer(name, n_blocks) or (block_of(name) is not None and (".norm1." in name or ".norm2." in name))


def block_of(name: str) -> int | None:
    """The block, counted from 0, that a parameter of the plain model belongs to; None if to no block."""
    first, _, rest = name.partition(".")
    return int(rest.partition(".")[0]) if first == "trf_blocks" else None


def trains(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
