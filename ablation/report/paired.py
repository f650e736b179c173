"""Two configurations over the seeds that both have and the same examples: how the test follows from the number of
seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ablation.config.experiment import PRETRAINED
from ablation.report import significance
from ablation.report.groups import Group
from ablation.results.read import DATA_DIGEST, NO_SEED, FinishedRun
from ablation.results.task import Likeness, Predictions, PredictionsError, Task

RunPair = tuple[FinishedRun, FinishedRun]
ONE_SEED = "of these two runs only: another seed may say otherwise"


@dataclass(frozen=True)
class Comparison:
    """What the results say of two configurations; the difference is the first minus the second, as a fraction.

    Attributes:
        seeds: number of common seeds.
        method: how they were compared, or why they were not.
        means: of both, over the common seeds.
        by_seed: the difference of each.
        p: uncorrected; None where there is no test.
        sign_flip: uncorrected p of the sign-flip test, from ten seeds on.
        smallest: the smallest difference that these data could have shown.
        notes: what a reader must know besides.
    """

    seeds: int
    method: str
    means: tuple[float, float] | None = None
    by_seed: tuple[float, ...] = ()
    interval: tuple[float, float] | None = None
    p: float | None = None
    sign_flip: float | None = None
    smallest: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def difference(self) -> float | None:
        return None if self.means is None else self.means[0] - self.means[1]


def paired_runs(first: Group, second: Group) -> list[RunPair]:
    """Runs with the seeds that both have; a baseline that draws nothing goes with every seed of the other."""
    if NO_SEED in first.runs:
        return [(first.runs[NO_SEED], run) for run in second.runs.values()]
    if NO_SEED in second.runs:
        return [(run, second.runs[NO_SEED]) for run in first.runs.values()]
    return [(first.runs[seeds], second.runs[seeds]) for seeds in first.runs if seeds in second.runs]


def paired_predictions(first: FinishedRun, second: FinishedRun, split: str) -> tuple[Predictions, Predictions]:
    """What both answered to the same examples.

    Raises:
        PredictionsError: there are no such answers, or the two differ in more than a comparison may be about.
    """
    if first[DATA_DIGEST] != second[DATA_DIGEST]:
        raise PredictionsError("the two were trained on different data")
    bases = {run["weights_digest"] for run in (first, second) if run["weights"] == PRETRAINED}
    if len(bases) > 1 and first["model_size"] == second["model_size"]:
        raise PredictionsError("the two started from different weights")
    answers = first.predictions(split), second.predictions(split)
    if not np.array_equal(answers[0].labels, answers[1].labels):
        raise PredictionsError("the two were tested on different labels")
    return answers


def compare(
    task: Task, first: Group, second: Group, likeness: Likeness | None, weights: Mapping[str, float] | None = None
) -> Comparison:
    """Compare a weighted sum of shares of right answers.

    Of one split among ``weights`` the answers to each example are compared; those of training are not kept, so its
    share enters as each run has it, and its examples count as given.

    Args:
        weights: by split; if not given, the share of the last split.
    """
    weights = weights or {task.splits[-1]: 1.0}
    (split,) = (name for name in weights if name in task.splits[1:])
    runs = paired_runs(first, second)
    if not runs:
        return Comparison(0, "the two have no seed in common")
    try:
        pairs = [paired_predictions(a, b, split) for a, b in runs]
    except PredictionsError as error:
        return Comparison(len(runs), f"not compared: {error}")
    correct = [np.array([side.correct for side in column]) for column in zip(*pairs, strict=True)]
    known = first.own(likeness)
    clusters = np.arange(correct[0].shape[1]) if known is None else known.clusters[split]
    if set(weights) == {split} and len(runs) == 1:
        comparison = _one_seed(task, correct[0][0], correct[1][0])
    else:
        given = {name: weight for name, weight in weights.items() if name != split}
        values = [
            weights[split] * side + _given(column, given)
            for side, column in zip(correct, zip(*runs, strict=True), strict=True)
        ]
        comparison = _several_seeds(task, values[0], values[1], clusters)
    return replace(comparison, notes=(*comparison.notes, *unequal_conditions(runs)))


def _given(runs: Iterable[FinishedRun], weights: Mapping[str, float]) -> NDArray[np.float64]:
    """(S, 1) the part of each run's sum that no answers are kept of."""
    sums = [sum(weight * run.counts[split].accuracy for split, weight in weights.items()) for run in runs]
    return np.array(sums, dtype=float)[:, None]


def _one_seed(task: Task, first: NDArray[np.int64], second: NDArray[np.int64]) -> Comparison:
    b, c, count = int((first > second).sum()), int((second > first).sum()), len(first)
    means = float(first.mean()), float(second.mean())
    return Comparison(
        seeds=1,
        method=f"exact McNemar, {b} against {c} {task.examples}",
        means=means,
        by_seed=(means[0] - means[1],),
        interval=significance.paired_interval(b, c, count),
        p=significance.exact_mcnemar(b, c),
        smallest=significance.smallest_mcnemar_difference(b + c, count),
        notes=(ONE_SEED,),
    )


def _several_seeds(
    task: Task, first: NDArray[np.float64], second: NDArray[np.float64], clusters: NDArray[np.int64]
) -> Comparison:
    """Compare values (S, N); one seed of what McNemar does not know gives figures only."""
    by_seed = first.mean(1) - second.mean(1)
    comparison = Comparison(
        seeds=len(first),
        method=f"figures only: a verdict takes {significance.SEEDS_IN_WORDS} common seeds",
        means=(float(first.mean()), float(second.mean())),
        by_seed=tuple(by_seed.tolist()),
    )
    if len(first) == 1:
        return comparison
    estimate = significance.paired_comparison(first, second, clusters)
    low, high = estimate.interval()
    smallest = float(significance.smallest_detectable_difference(estimate))
    comparison = replace(comparison, interval=(float(low), float(high)), smallest=smallest)
    if len(first) < significance.SEEDS_FOR_A_TEST:
        return comparison
    enough = len(first) >= significance.SEEDS_FOR_SIGN_FLIPS
    return replace(
        comparison,
        method=f"seeds and {task.examples} crossed, t with {float(estimate.degrees_of_freedom):.1f} df",
        p=float(estimate.p_value()),
        sign_flip=significance.sign_flip_p_value(by_seed) if enough else None,
    )


def unequal_conditions(runs: Sequence[RunPair]) -> tuple[str, ...]:
    """What differs between the two sides besides the question: device or PyTorch version."""
    notes = []
    for column, words in (("device_name", "devices"), ("torch_version", "versions of PyTorch")):
        values = {run[column] for pair in runs for run in pair if run["torch_version"]}  # words are counted without
        if len(values) > 1:
            notes.append(f"different {words}: {', '.join(sorted(values))}")
    return tuple(notes)


def identical(pairs: Sequence[tuple[Predictions, Predictions]]) -> str:
    """In how many of some pairs all logits are the same, in words."""
    same = sum(np.array_equal(a.logits, b.logits) for a, b in pairs)
    words = f"identical to the last bit in {same} of {len(pairs)} common seeds"
    if same < len(pairs):
        largest = max(float(np.abs(a.logits - b.logits).max()) for a, b in pairs)
        words += f"; largest difference of a logit {largest:.2g}"
    return words
