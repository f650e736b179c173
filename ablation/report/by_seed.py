"""Two sides of a claim compared seed by seed: how far their figures differ, and how much of that is chance.

Student's t over the differences of the common seeds. The examples count as given: runs keep no answers to each of them.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ablation.report import significance
from ablation.report.cells import number_in
from ablation.report.findings import row_key
from ablation.report.groups import Group
from ablation.report.paired import RunPair, unequal_conditions
from ablation.results.claims import Claim
from ablation.results.language_model_record import EPOCHS_CSV
from ablation.results.quantities import BestEpochs, BySeed, Curve, Figure, LossJump
from ablation.results.questions import Family, Side, evaluation_of
from ablation.results.read import FinishedRun, Seeds, variant_key
from ablation.results.task import Task

Runs = Mapping[Seeds, FinishedRun]
Compared = tuple[float, float, float]  # of one seed: both sides' figures, and how far apart they are
LEAST_PER_SEED = significance.SEEDS_FOR_A_TEST


@dataclass(frozen=True)
class BySeedComparison:
    """What the common seeds say of two sides.

    Attributes:
        values: of each seed that has both figures.
        lacking: common seeds without a figure of both.
        notes: what a reader must know besides.
        interval: 95 %, of the mean of how far they are apart; None of fewer than two seeds, or of what has no test.
        p: uncorrected: that they are not apart at all, or for a curve, not by the claim's margin; None where there is
            no test.
    """

    values: tuple[Compared, ...]
    lacking: int = 0
    notes: tuple[str, ...] = ()
    interval: tuple[float, float] | None = None
    p: float | None = None

    @property
    def seeds(self) -> int:
        return len(self.values)

    @property
    def apart(self) -> list[float]:
        return [apart for _, _, apart in self.values]

    @property
    def enough(self) -> bool:
        """Whether there are as many seeds as a verdict takes, and none is left out for want of a figure."""
        return self.seeds >= LEAST_PER_SEED and not self.lacking


def runs_of(task: Task, family: Family, side: Side, groups: Iterable[Group]) -> Runs:
    """A side's runs by seed. Where no evaluation is meant any row of a run will do: what is looked at is the same in
    all of them."""
    key, evaluation = row_key(task, family, side), evaluation_of(side, family)
    runs: dict[Seeds, FinishedRun] = {}
    for group in groups:
        if group.first.is_baseline or key != (group.key if evaluation else variant_key(group.first.settings)):
            continue
        for seeds, run in group.runs.items():
            if seeds not in runs or run["timestamp_utc"] > runs[seeds]["timestamp_utc"]:
                runs[seeds] = run
    return dict(sorted(runs.items(), key=lambda item: item[0][0] or 0))


def compare_by_seed(part: Claim, first: Runs, second: Runs) -> BySeedComparison:
    """Compare the two sides of a claim on one pair."""
    assert isinstance(part.quantity, BySeed)
    pairs = [(first[seeds], second[seeds]) for seeds in first if seeds in second]
    unlike = [_unlike(part.quantity, pair) for pair in pairs]
    alike = [pair for pair, column in zip(pairs, unlike, strict=True) if not column]
    found = [APART[type(part.quantity)](part.quantity, *pair) for pair in alike]
    values = tuple(one for one in found if one is not None)
    notes = [*unequal_conditions(alike)]
    if columns := dict.fromkeys(filter(None, unlike)):
        notes.append(f"left out: seeds whose runs differ in {', '.join(columns)}")
    comparison = BySeedComparison(values, len(found) - len(values), tuple(notes))
    return comparison if isinstance(part.quantity, BestEpochs) else _tested(part, comparison)


def _unlike(quantity: BySeed, pair: RunPair) -> str:
    """The first column in which two runs have to agree, and do not; empty if there is none."""
    columns = quantity.alike if isinstance(quantity, Figure) else ()
    return next((column for column in columns if pair[0][column] != pair[1][column]), "")


def _tested(part: Claim, found: BySeedComparison) -> BySeedComparison:
    if found.seeds < 2:
        return found
    # A figure that is known to a grain only is off by up to half of it, each side's evenly (variance grain²/12).
    grain = part.quantity.grain if isinstance(part.quantity, Figure) else 0.0
    variance = statistics.variance(found.apart) + grain**2 / 6
    error, mean = np.sqrt(variance / found.seeds), np.float64(statistics.fmean(found.apart))
    estimate = significance.Estimate(mean, error, found.seeds - 1)
    low, high = (float(bound) for bound in estimate.interval())
    if found.seeds < LEAST_PER_SEED:
        return replace(found, interval=(low, high))
    none = part.margin if isinstance(part.quantity, Curve) else 0.0  # a distance is never nothing
    return replace(found, interval=(low, high), p=float(replace(estimate, mean=mean - none).p_value()))


# ---- how far two runs are apart, by kind of quantity -----------------------------------------------------------------


def _figures(quantity: Figure, first: FinishedRun, second: FinishedRun) -> Compared | None:
    return _difference(number_in(first[quantity.column]), number_in(second[quantity.column]))


def _curves(quantity: Curve, first: FinishedRun, second: FinishedRun) -> Compared | None:
    tables = [run.table(EPOCHS_CSV, ["epoch", quantity.column]) for run in (first, second)]
    finals = _difference(*(number_in(run[quantity.final]) for run in (first, second)))
    if finals is None or any(table is None for table in tables):
        return None
    one, other = (table.set_index("epoch")[quantity.column] for table in tables if table is not None)
    apart = float((one - other).abs().mean())  # of epochs that only one has there is no difference
    return (*finals[:2], apart) if math.isfinite(apart) else None


def _jumps(quantity: LossJump, first: FinishedRun, second: FinishedRun) -> Compared | None:
    return _difference(*(_jump(run, quantity.batches) for run in (first, second)))


def _jump(run: FinishedRun, batches: int) -> float | None:
    """By how much the training loss of a run jumps where an epoch begins; None of one epoch, or without losses."""
    losses = run.losses()
    if losses is None:
        return None
    epochs = [epoch["train_loss"] for _, epoch in losses.groupby("epoch")]
    jumps = [
        float(epoch.head(batches).mean() - before.tail(batches).mean()) for before, epoch in itertools.pairwise(epochs)
    ]
    return statistics.fmean(jumps) if jumps else None


def _best_epochs(quantity: BestEpochs, first: FinishedRun, second: FinishedRun) -> Compared | None:
    table = first.table(EPOCHS_CSV, ["epoch", quantity.lowest, quantity.highest])
    if table is None or table.isna().any(axis=None):
        return None
    best = table[quantity.lowest].argmin(), table[quantity.highest].argmax()
    lowest, highest = (float(table["epoch"].iloc[place]) for place in best)
    return _difference(lowest, highest)


APART: Mapping[type, Callable[[Any, FinishedRun, FinishedRun], Compared | None]] = {
    Figure: _figures,
    Curve: _curves,
    LossJump: _jumps,
    BestEpochs: _best_epochs,
}


def _difference(first: float | None, second: float | None) -> Compared | None:
    return None if first is None or second is None else (first, second, first - second)
