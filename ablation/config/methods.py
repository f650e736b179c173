"""Ways to adapt a model, as far as a command must know them: their names, options, and from where on they train.

What they do to a model is in ``ablation/methods/``, under the same names. Blocks count from 0 here, but in the values
of flags from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Declaration:
    """What follows from a method's name alone.

    Attributes:
        first_block: number of blocks -> the first block in which anything is trained or added; that number itself if
            there is none. All blocks before it are frozen. Where the final norm trains, at most the last block.
            (``--from_block`` may move it up.)
        embeddings_train: whether a token or position embedding trains, or positions are added before the first token:
            then nothing can be computed once.
        options: settings with one default for all that belong to this method (and perhaps to others like it).
        defaults: the learning rate that its literature uses, and its further settings, each with its default. None for
            what ``--method`` does not take.
        layers: whether ``--trainable_layers`` takes it.
        cannot_merge: why the method does not merge into plain weights; empty if it does.
    """

    first_block: Callable[[int], int]
    embeddings_train: bool = False
    options: tuple[str, ...] = ()
    defaults: Mapping[str, Any] | None = None
    layers: bool = True
    cannot_merge: str = ""

    def takes(self, setting: str) -> bool:
        """Whether a setting is this method's own."""
        return setting in self.options or setting in (self.defaults or {})


def _last(count: int) -> Callable[[int], int]:
    """The first of the last ``count`` blocks."""
    return lambda n_blocks: max(0, n_blocks - count)


def _literature(learning_rate: float, *, blocks: bool = True, options: tuple[str, ...] = (),
                cannot_merge: str = "", layers: bool = False, **defaults: Any) -> Declaration:  # fmt: skip
    """A method of parameter-efficient fine-tuning.

    Args:
        blocks: whether it adapts blocks, from any one on; else it adds positions before the first token.
    """
    everywhere: dict[str, Any] = {"decayed": "classifier"}
    if blocks:
        everywhere["from_block"] = 1
    return Declaration(
        first_block=_last(10**6) if blocks else _last(0),
        embeddings_train=not blocks,
        options=options,
        defaults={"learning_rate": learning_rate, **defaults, **everywhere},
        layers=layers,
        cannot_merge=cannot_merge,
    )


LINEAR_MAPS = ("query", "key", "value", "out", "ff_in", "ff_out")  # of a block, in the order of its draws
HEAD = "head"
_LOW_RANK = ("lora_rank", "lora_alpha")
_SIX_MAPS = "+".join(LINEAR_MAPS)
_TERM: dict[str, Any] = {"lora_targets": _SIX_MAPS, "lora_init": "uniform_inputs", "lora_head": "trained"}
_NOT_LINEAR = "an adapter is no linear map: its own products stay"
_EXTRA_KEYS = "a prefix is keys and values beside the weights: it stays"

DECLARATIONS: dict[str, Declaration] = {
    "all": Declaration(first_block=lambda n_blocks: 0, embeddings_train=True),
    "last_block": Declaration(first_block=_last(1)),
    "last_two_blocks": Declaration(first_block=_last(2)),
    "last_layer": Declaration(first_block=_last(0)),
    "lora": _literature(2e-4, options=_LOW_RANK, layers=True, lora_scaling="alpha_over_rank", **_TERM),
    "lora_alternative": Declaration(first_block=lambda n_blocks: 0, options=_LOW_RANK),
    "dora": _literature(2e-4, options=_LOW_RANK, lora_scaling="alpha_over_rank", **_TERM),
    "dylora": _literature(4e-4, options=_LOW_RANK, **_TERM),
    "serial_adapter": _literature(3e-4, bottleneck=64, adapter_after="both", cannot_merge=_NOT_LINEAR),
    "parallel_adapter": _literature(1e-4, bottleneck=512, adapter_scale=4.0, cannot_merge=_NOT_LINEAR),
    "hybrid": _literature(
        1e-4, bottleneck=512, adapter_scale=4.0, prefix_length=30, cannot_merge=f"{_NOT_LINEAR}; {_EXTRA_KEYS}"
    ),
    "prefix_tuning": _literature(1e-2, prefix_length=30, cannot_merge=_EXTRA_KEYS),
    "soft_prompt": _literature(
        3e-2, blocks=False, prompt_length=20, cannot_merge="a soft prompt is positions before the message: they stay"
    ),
    "ia3": _literature(3e-3),
    "bitfit": _literature(1e-3),
    "norms": _literature(1e-3),
}
METHOD_OPTIONS = tuple(dict.fromkeys(option for method in DECLARATIONS.values() for option in method.options))


def methods() -> tuple[str, ...]:
    """What ``--method`` takes."""
    return tuple(name for name, method in DECLARATIONS.items() if method.defaults is not None)


def trainable_layers() -> tuple[str, ...]:
    """What ``--trainable_layers`` takes."""
    return tuple(name for name, method in DECLARATIONS.items() if method.layers)


def own_settings() -> tuple[str, ...]:
    """Settings that belong to some methods alone, and have no value with others."""
    settings = (name for method in DECLARATIONS.values() for name in method.defaults or ())
    return tuple(name for name in dict.fromkeys(settings) if name != "learning_rate")
