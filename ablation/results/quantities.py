"""What claims are about: the kinds of figures that runs have, each compared in its own way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Shares:
    """A sum of shares of right answers, each split's with its weight; tested over seeds and examples.

    Attributes:
        title: with the unit in which figures are shown.
        weights: by split; one of them is a split of which runs keep their answers to each example.
        margin: a difference up to this (a fraction) serves a reader equally well.
    """

    title: str
    weights: Mapping[str, float] = dataclasses.field(hash=False)
    margin: float


@dataclass(frozen=True)
class Measured:
    """A column of the results such as a time; compared by medians of runs under the same conditions.

    Attributes:
        title: with the unit.
        digits: shown after the decimal point.
        margin: by how much of itself it differs from run to run at best.
        of_host: it is about the machine's processor and memory, so that a run on a GPU does not tell it.
    """

    title: str
    column: str
    digits: int
    margin: float
    of_host: bool = False


@dataclass(frozen=True)
class EveryShare:
    """All shares of right answers, seed by seed; they are equal or not."""

    title: str


@dataclass(frozen=True)
class Figure:
    """A column of the results such as a perplexity; compared seed by seed.

    Attributes:
        title: with the unit.
        digits: shown after the decimal point.
        margin: a difference up to this, in its own unit, serves a reader equally well.
        alike: columns that two runs have to agree in, so that the figure can be compared.
        grain: the figure is known only to so much, such as the steps of an epoch; 0 if it is known exactly.
    """

    title: str
    column: str
    digits: int
    margin: float
    alike: tuple[str, ...] = ()
    grain: float = 0.0


@dataclass(frozen=True)
class Curve:
    """A column of the epochs: two runs are as far apart as they are on average over the epochs that both trained, up or
    down. Shown is the column of the results under ``final``."""

    title: str
    column: str
    final: str
    digits: int
    margin: float


@dataclass(frozen=True)
class LossJump:
    """By how much the training loss jumps where an epoch begins: the mean of its first ``batches`` less that of the
    last ones before, on average over all epochs but the first; compared seed by seed."""

    title: str
    digits: int
    margin: float
    batches: int


@dataclass(frozen=True)
class BestEpochs:
    """The epoch in which one column of the epochs is lowest, and that in which another is highest: they differ or not.

    Compared within each run.
    """

    title: str
    lowest: str
    highest: str


BySeed = Figure | Curve | LossJump | BestEpochs
Quantity = Shares | Measured | EveryShare | BySeed
