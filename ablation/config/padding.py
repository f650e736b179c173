"""The settings of padding: on which side pads stand, which end of a message is cut, and what the model sees of pads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ablation.config.options import option

LEFT, RIGHT = "left", "right"
SIDES = (RIGHT, LEFT)
FIRST, LAST, FLEXIBLE = "first", "last", "flexible"
TOKEN_POSITIONS = (FIRST, LAST, FLEXIBLE)


@dataclass(frozen=True, kw_only=True)
class PaddingSettings:
    """How messages of different lengths come to the same one. The defaults are those of the published table."""

    padding_side: str = option(RIGHT, "side of a message on which its pads stand", choices=SIDES)
    truncation_side: str = option(RIGHT, "end at which a message is cut that is too long", choices=SIDES)
    mask_padding: bool = option(
        False, "let no position attend to pads; the positions of the tokens stay what they are (see --shift_positions)"
    )
    shift_positions: bool = option(
        False, "with --padding_side left: count positions from the first real token, not from the first pad"
    )


PADDING = tuple(field.name for field in fields(PaddingSettings))


def _no_padding(config: Any) -> str:
    return "with --no_padding, which pads and cuts nothing" if config.no_padding else ""


def _mask_padding(config: Any) -> str:
    if config.no_padding or config.padding_side == LEFT or config.disable_causal_mask:
        return _no_padding(config)
    if (where := config.trainable_token_pos) == LAST:
        return ""
    return f"with --trainable_token_pos {where}: with the causal mask it sees no pad behind it"


def _shift_positions(config: Any) -> str:
    if config.no_padding or config.padding_side == LEFT:
        return _no_padding(config)
    return "with pads on the right, where positions count from the first real token anyway; add --padding_side left"


def _flexible(config: Any) -> str:
    left = config.padding_side == LEFT and not config.no_padding and not config.average_embeddings
    if config.trainable_token_pos != FLEXIBLE or not left:
        return ""
    return "with --padding_side left, where the last real token is the last position"


# setting -> why it has no effect in a configuration; empty where it has one
WITHOUT_EFFECT: Mapping[str, Callable[[Any], str]] = {
    "padding_side": _no_padding,
    "truncation_side": _no_padding,
    "mask_padding": _mask_padding,
    "shift_positions": _shift_positions,
    "trainable_token_pos": _flexible,
}


def padded_to(tokens: int, padding: PaddingSettings) -> str:
    """What is done to a message, in words, to stand behind "is"."""
    on_the_left = " on the left" if padding.padding_side == LEFT else ""
    at_its_beginning = " at its beginning" if padding.truncation_side == LEFT else ""
    hidden = "; no position attends to pads" if padding.mask_padding else ""
    shifted = "; positions count from its first token" if padding.shift_positions else ""
    return f"padded{on_the_left} or cut{at_its_beginning} to {tokens} tokens{hidden}{shifted}"
