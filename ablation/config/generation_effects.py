"""Which settings of a language model have no effect, and why: beside what ``effects.py`` knows of all experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ablation.config.decoding import GREEDY
from ablation.config.effects import reason_if

NOTHING_GENERATED = "with --n_samples 0, which generates nothing"


def _data(config: Any) -> str:
    if config.own_data:
        return "with sentences of your own"
    return "with --demo, which has messages of its own" if config.demo else ""


def _order_seed(config: Any) -> str:
    if config.order_seed == config.seed:
        return "where it is that of --seed"
    return "with --shuffle never" if config.shuffle == "never" else ""


def _cut(name: str) -> Callable[[Any], str]:
    """Of a setting of those ways of decoding that have it in their names."""

    def reason(config: Any) -> str:
        if not config.n_samples:
            return NOTHING_GENERATED
        return "" if name in config.decoding else f"with --decoding {config.decoding}, which cuts otherwise"

    return reason


def _temperature(config: Any) -> str:
    if not config.n_samples:
        return NOTHING_GENERATED
    return "with --decoding greedy, which has none" if config.decoding == GREEDY else ""


# setting -> why it has no effect in a configuration; empty where it has one
GENERATION_REASONS: Mapping[str, Callable[[Any], str]] = {
    "data": _data,
    "order_seed": _order_seed,
    "patience": reason_if(
        lambda config: config.num_epochs < 3, "with fewer than three epochs: none can end it earlier"
    ),
    "validation_bleu": reason_if(lambda config: config.select_by == "bleu", "with --select_by bleu, which measures it"),
    "decoding": reason_if(lambda config: not config.n_samples, NOTHING_GENERATED),
    "temperature": _temperature,
    "top_k": _cut("top_k"),
    "top_p": _cut("top_p"),
}
