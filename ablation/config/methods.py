"""Ways to adapt a model, as far as a command must know them: their names, options, and from where on they train.

What they do to a model is in ``ablation/methods/``, under the same names. Blocks count from 0 here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Declaration:
    """What follows from a method's name alone.

    Attributes:
        first_block: number of blocks -> the first block in which anything is trained or added; that number itself if
            there is none. All blocks before it are frozen. Where the final norm trains, at most the last block.
        embeddings_train: whether a token or position embedding trains, or positions are added before the first token:
            then nothing can be computed once.
        options: settings that belong to this method (and perhaps to others like it).
        cannot_merge: why the method does not merge into plain weights; empty if it does.
    """

    first_block: Callable[[int], int]
    embeddings_train: bool = False
    options: tuple[str, ...] = ()
    cannot_merge: str = ""


def _last(count: int) -> Callable[[int], int]:
    """The first of the last ``count`` blocks."""
    return lambda n_blocks: max(0, n_blocks - count)


_LORA = Declaration(first_block=lambda n_blocks: 0, options=("lora_rank", "lora_alpha"))

DECLARATIONS: dict[str, Declaration] = {
    "all": Declaration(first_block=lambda n_blocks: 0, embeddings_train=True),
    "last_block": Declaration(first_block=_last(1)),
    "last_two_blocks": Declaration(first_block=_last(2)),
    "last_layer": Declaration(first_block=_last(0)),
    "lora": _LORA,
    "lora_alternative": _LORA,
}
METHOD_OPTIONS = tuple(dict.fromkeys(option for method in DECLARATIONS.values() for option in method.options))
