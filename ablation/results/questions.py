"""What a task asks its results: comparisons of two configurations, declared before any result."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablation.config.base_words import base_words
from ablation.config.flags import typed

BEST_BASELINE = "baseline"


@dataclass(frozen=True)
class Family:
    """Questions that are corrected together for being many, answered or not.

    Attributes:
        title: above their answers.
        margin: a difference up to this (a fraction) serves a reader equally well.
        overrides: what all their rows are run with besides their own settings.
        evaluation: which evaluation of their runs is compared, where these have several, by column name.
        suffix: what follows the names of their rows, so that a reader sees the overrides.
        chapter: the chapter of the report that they are asked in, where it has enough runs to say anything; empty for
            those that every report asks.
    """

    title: str
    margin: float
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    evaluation: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    suffix: str = ""
    chapter: str = ""


@dataclass(frozen=True)
class Variant:
    """A row with settings of its own on top, or on a language model that was trained first, or one of its evaluations.

    Attributes:
        settings: what it sets besides; on a language model the weights and the shape, as rows record them.
        evaluation: which of its evaluations, by column name, where the family's is not meant.
        evaluated: what follows its name, so that a reader sees the evaluation.
        base: in what the training of that language model differs from row 1 of its table; None where there is none.
            By this a base is known in questions, which are declared before it has a digest.
    """

    row: str
    settings: Mapping[str, Any] = dataclasses.field(hash=False)
    evaluation: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    evaluated: str = ""
    base: Mapping[str, Any] | None = dataclasses.field(default=None, hash=False)


Side = str | Variant


@dataclass(frozen=True)
class Question:
    """One comparison, in words: the second minus the first, in the task's headline metric.

    Attributes:
        first, second: numbers of rows, or variants of such; ``BEST_BASELINE`` stands for the baseline best on the
            split that chooses.
        identity: the two must give the same predictions; no test, and not part of the family.
    """

    first: Side
    second: Side
    text: str
    family: Family
    identity: bool = False

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.first, self.second

    @property
    def name(self) -> str:
        return " and ".join(side_name(side) for side in self.sides) + self.family.suffix


def side_name(side: Side) -> str:
    """``row 5``, ``row 20 with --lora_targets query+key``, ``row 1 on a language model …``, or ``baseline``."""
    if isinstance(side, Variant):
        return f"row {side.row}{beside_row(side)}" + (f", {side.evaluated}" if side.evaluated else "")
    return side if side == BEST_BASELINE else f"row {side}"


def beside_row(side: Side) -> str:
    """What follows a row's number where it is a variant of the row that is run; empty where it is the row itself."""
    if (base := base_of_side(side)) is not None:
        return f" on a language model {base_words(base)}"
    settings = row_and_settings(side)[1]
    return f" with {typed(settings)}" if settings else ""


def base_of_side(side: Side) -> Mapping[str, Any] | None:
    """How the language model was trained that a side starts from; None where it starts from none."""
    return side.base if isinstance(side, Variant) else None


def row_and_settings(side: Side) -> tuple[str, Mapping[str, Any]]:
    """A row's number, and what a side sets besides."""
    return (side.row, side.settings) if isinstance(side, Variant) else (side, {})


def evaluation_of(side: Side, family: Family) -> Mapping[str, str]:
    """Which evaluation of its runs a side means in a family; empty where they have one."""
    return (side.evaluation if isinstance(side, Variant) else {}) or family.evaluation
