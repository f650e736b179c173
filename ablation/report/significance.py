"""How much of an accuracy, or of a difference between two, is noise: pure functions over counts and arrays.

Accuracies and differences are fractions. ``correct`` arrays have the shape (..., S, N): S runs that differ only in
their seed, N test messages in the same order, 1 where the run was right. Leading dimensions are independent data
sets, so that a simulation needs no loop. ``clusters`` (N,) says which messages belong together: messages of the same
letters are one observation, not several.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from ablation.results.interval import LEVEL as LEVEL
from ablation.results.interval import wilson_interval as wilson_interval

POWER = 0.8
UPPER_TAIL = 1 - (1 - LEVEL) / 2
SEEDS_FOR_A_TEST, SEEDS_IN_WORDS = 6, "six"
SEEDS_FOR_SIGN_FLIPS = 10
MOST_SEEDS_ENUMERATED = 16  # 2^16 sign patterns; beyond that they are drawn
FEWEST_ONE_SIDED = 6  # exact McNemar: five disagreements, all one way, still give p = 0.0625

FloatArray = NDArray[np.float64]


# ---- one run ---------------------------------------------------------------------------------------------------------


def exact_mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p-value that two classifiers err equally often, from the examples that only one of them got right.

    Under no difference each such example is a fair coin, so the count is binomial (McNemar 1947 with the exact tail).
    """
    disagreements = only_first + only_second
    return float(stats.binomtest(only_first, disagreements).pvalue) if disagreements else 1.0


def paired_interval(only_first: int, only_second: int, total: int) -> tuple[float, float]:
    """Interval of the difference, first minus second, of two proportions over the same messages.

    Wald's interval with half an observation added to each of the four cells (Agresti and Min, Statistics in Medicine
    24, 2005, p. 729), which keeps its level with few disagreements, where Wald's own fails.
    """
    b, c, n = only_first + 0.5, only_second + 0.5, total + 2
    centre = (b - c) / n
    half = special.ndtri(UPPER_TAIL) * np.sqrt(b + c - (b - c) ** 2 / n) / n
    return float(max(-1.0, centre - half)), float(min(1.0, centre + half))


def smallest_mcnemar_difference(disagreements: int, total: int) -> float:
    """The smallest difference that exact McNemar calls significant with this many disagreements among ``total``.

    With fewer than six none is; then it is the six one-sided disagreements that would have been needed.
    """
    if disagreements < FEWEST_ONE_SIDED:
        return FEWEST_ONE_SIDED / total
    minority = np.arange(disagreements // 2 + 1)
    significant = 2 * stats.binom.cdf(minority, disagreements, 0.5) <= 1 - LEVEL
    return float(disagreements - 2 * minority[significant].max()) / total


# ---- several questions -----------------------------------------------------------------------------------------------


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given (Scandinavian Journal of Statistics 6, 1979, p. 65)."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


# ---- several seeds ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and messages, with what is needed for intervals and tests.

    Attributes:
        mean, standard_error, degrees_of_freedom: (...) arrays, or scalars for one data set.
    """

    mean: Any
    standard_error: Any
    degrees_of_freedom: Any

    def interval(self) -> tuple[Any, Any]:
        half = stats.t.ppf(UPPER_TAIL, self.degrees_of_freedom) * self.standard_error
        return self.mean - half, self.mean + half

    def p_value(self) -> Any:
        """Two-sided, for the mean being 0; 1 where mean and error are both 0, that is, where nothing differs."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(self.mean) / self.standard_error
        return np.where(np.isnan(t), 1.0, 2 * stats.t.sf(np.nan_to_num(t, nan=0.0), self.degrees_of_freedom))[()]


def crossed_mean(values: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Mean of S × N crossed values, its standard error over new seeds *and* new messages.

    The model is ``value[s, i] = mean + seed[s] + cluster[c(i)] + residual[s, c(i)]``, all three random. With the
    variances of the overall mean as seen between seeds, V_s, between clusters, V_c, and in their interaction, V_r
    (each a mean square over the size of the design; Searle, Casella and McCulloch, Variance Components, 1992, ch. 4),
    the expectations are

        V_s: seed + residual,  V_c: cluster + residual,  V_r: residual,

    so V_s + V_c − V_r is unbiased. A component that comes out negative is taken as 0, which keeps the sum from
    vanishing when a few seeds happen to agree. Between clusters of unequal sizes V_c is the cluster-robust variance
    (Liang and Zeger 1986, with C / (C − 1)); its degrees of freedom are those of the effective number of clusters,
    (Σ n²)² / Σ n⁴ (in the spirit of Carter, Schnepel and Steigerwald, Rev. Econ. Stat. 99, 2017). The degrees of
    freedom of the sum are Satterthwaite's (Biometrics Bulletin 2, 1946, p. 110) over those mean squares that are left
    in it, and never fewer than the seeds alone would give. (It is long because its terms are one derivation.)

    Args:
        values: (..., S, N), S at least 2.
        clusters: (N,) label of each message's cluster, at least 2 different ones.

    Raises:
        ValueError: fewer than two seeds or clusters.
    """
    array = np.asarray(values, dtype=float)
    if array.ndim < 2 or array.shape[-2] < 2:
        raise ValueError(f"values of shape {array.shape}: give at least 2 seeds, (..., S, N)")
    sums, sizes = _cluster_sums(array, clusters)
    seeds, count, messages = array.shape[-2], len(sizes), array.shape[-1]

    seed_means = sums.sum(-1) / messages  # (..., S)
    mean = seed_means.mean(-1)  # (...)
    cluster_means = sums.mean(-2) - mean[..., None] * sizes  # (..., C), deviations of cluster sums
    residuals = sums - sums.mean(-2, keepdims=True) - (seed_means - mean[..., None])[..., None] * sizes
    correction = count / (count - 1) / messages**2
    between_seeds = ((seed_means - mean[..., None]) ** 2).sum(-1) / (seeds - 1) / seeds
    between_clusters = (cluster_means**2).sum(-1) * correction
    interaction = (residuals**2).sum((-1, -2)) * correction / seeds / (seeds - 1)

    free_seeds, free_clusters = seeds - 1.0, _effective_count(sizes) - 1
    has_seed, has_cluster = between_seeds > interaction, between_clusters > interaction
    variance = np.maximum(between_seeds, interaction) + np.maximum(between_clusters, interaction) - interaction
    with np.errstate(divide="ignore", invalid="ignore"):
        satterthwaite = variance**2 / (
            between_seeds**2 / free_seeds
            + between_clusters**2 / free_clusters
            + interaction**2 / (free_seeds * free_clusters)
        )
    freedom = np.select(
        [has_seed & has_cluster, has_seed, has_cluster],
        [satterthwaite, np.full_like(variance, free_seeds), np.full_like(variance, free_clusters)],
        free_seeds * free_clusters,
    )
    low, high = min(free_seeds, free_clusters), max(free_seeds, free_clusters)
    return Estimate(mean[()], np.sqrt(variance)[()], np.clip(freedom, low, high)[()])


def _cluster_sums(array: FloatArray, clusters: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Sums over each cluster's messages (..., S, C), and the clusters' sizes (C,)."""
    labels = np.asarray(clusters)
    if labels.shape != array.shape[-1:]:
        raise ValueError(f"clusters of shape {labels.shape}: give one label for each of {array.shape[-1]} messages")
    order = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    if len(sizes) < 2:
        raise ValueError(f"{len(sizes)} cluster of messages: give at least 2")
    sums = array if len(sizes) == len(labels) else np.add.reduceat(array[..., order], starts, axis=-1)
    return sums, sizes.astype(float)


def _effective_count(sizes: FloatArray) -> float:
    """How many clusters of equal size would tell their variance as well as these: (Σ n²)² / Σ n⁴."""
    return float((sizes**2).sum() ** 2 / (sizes**4).sum())


def accuracy_interval(correct: ArrayLike, clusters: ArrayLike) -> tuple[Any, Any]:
    """Interval of one configuration's accuracy over new seeds and new messages.

    The variance of :func:`crossed_mean` is put as an effective number of messages, n = p (1 − p) / V (Korn and
    Graubard, Survey Methodology 24, 1998, p. 193), and the interval is taken on the logit scale, where accuracies near
    1 are least skewed, with Anscombe's half observation added to right and wrong, and t in place of the normal
    quantile. Without any error n is that of the clusters alone.

    It holds its level for seeds that differ by a few points. Where single seeds collapse, so that accuracies are far
    from symmetric even as logits, no interval from six seeds does.
    """
    estimate = crossed_mean(correct, clusters)
    p, variance = np.asarray(estimate.mean), np.asarray(estimate.standard_error) ** 2
    sizes = np.unique(np.asarray(clusters), return_counts=True)[1].astype(float)
    without_error = sizes.sum() ** 2 / (sizes**2).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.where(variance > 0, p * (1 - p) / variance, without_error)
    shrunk = (p * effective + 0.5) / (effective + 1)
    freedom = np.where(variance > 0, estimate.degrees_of_freedom, _effective_count(sizes) - 1)
    half = stats.t.ppf(UPPER_TAIL, freedom) / np.sqrt(effective * shrunk * (1 - shrunk))
    centre = special.logit(shrunk)
    low, high = special.expit(centre - half), special.expit(centre + half)
    return np.where(p == 0, 0.0, low)[()], np.where(p == 1, 1.0, high)[()]


def paired_comparison(first: ArrayLike, second: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Difference of mean accuracies, first minus second, over the same seeds and messages.

    Args:
        first, second: ``correct`` (..., S, N), or (..., 1, N) for a model that has no seed.
    """
    return crossed_mean(np.asarray(first, dtype=float) - np.asarray(second, dtype=float), clusters)


def smallest_detectable_difference(estimate: Estimate) -> Any:
    """The difference that a test at 1 − ``LEVEL`` finds with probability ``POWER``, given this standard error.

    ``(t_level + t_power) · SE`` (Bloom, Evaluation Review 19, 1995, p. 547: the minimum detectable effect).
    """
    t = stats.t(estimate.degrees_of_freedom)
    return (t.ppf(UPPER_TAIL) + t.ppf(POWER)) * estimate.standard_error


def sign_flip_p_value(differences: ArrayLike) -> float:
    """Two-sided p-value that the seeds' differences (S,) are symmetric about 0: Fisher's randomisation test.

    All 2^S patterns of signs up to sixteen seeds, so that the smallest possible p is 2 / 2^S; beyond that as
    many random ones, always the same, the observed pattern counted among them. The messages are taken as given: it
    answers for these messages only.
    """
    d = np.asarray(differences, dtype=float)
    if len(d) <= MOST_SEEDS_ENUMERATED:
        signs = np.array(list(itertools.product((1, -1), repeat=len(d))))
    else:
        random = np.random.default_rng(0)
        signs = np.vstack([np.ones(len(d)), random.choice((1, -1), size=(2**MOST_SEEDS_ENUMERATED - 1, len(d)))])
    flipped = np.abs(signs @ d)
    return float(np.mean(flipped >= abs(d.sum()) - 1e-12))


# ---- in words --------------------------------------------------------------------------------------------------------


def verdict(interval: tuple[float, float], adjusted_p: float, *, first: str, second: str, margin: float) -> str:
    """What a comparison says, in words and percentage points.

    Args:
        interval: of the difference, first minus second, as fractions.
        adjusted_p: corrected for all questions.
        first, second: the configurations' names.
        margin: a difference up to this does not matter (a fraction); only if the whole interval lies within it is
            "no difference" said.
    """
    low, high = (100 * bound for bound in interval)
    if adjusted_p <= 1 - LEVEL and low * high > 0:
        better, worse = (first, second) if low > 0 else (second, first)
        a, b = sorted((abs(low), abs(high)))
        return f"{better} is better than {worse} by {a:.1f} to {b:.1f} points"
    largest = max(abs(low), abs(high))
    if largest <= 100 * margin:
        return f"no difference larger than {largest:.1f} points"
    return f"cannot tell: anything from {low:+.1f} to {high:+.1f} points is possible"


def few_seeds(by_seed: Sequence[float], *, first: str, second: str) -> str:
    """What seeds that are too few for a test say, with the caution that is due.

    Args:
        by_seed: the difference of each, first minus second, as fractions.
    """
    mean, count = 100 * sum(by_seed) / len(by_seed), len(by_seed)
    seeds = f"{count} seed{'' if count == 1 else 's'}"
    caution = "so few seeds say little of others"
    if abs(mean) < 1e-9:
        return f"{first} and {second} are equal on average of {seeds}; {caution}"
    above, below, sign = (first, second, 1) if mean > 0 else (second, first, -1)
    agreeing = sum(sign * difference > 0 for difference in by_seed)
    return f"{above} is {abs(mean):.1f} points above {below} on average, in {agreeing} of {seeds}; {caution}"


def p_words(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"
