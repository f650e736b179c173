"""Statistics against independent implementations, by hand, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from ablation.report import significance as s


def assert_close(ours: object, expected: object) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(expected), rtol=1e-12, atol=1e-12)


# ---- against scipy and statsmodels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [1, 7, 149, 300, 1040])
def test_wilson_agrees_with_statsmodels_and_scipy(total: int) -> None:
    for correct in sorted({0, 1, total // 2, total - 1, total}):
        ours = s.wilson_interval(correct, total)
        assert_close(ours, proportion_confint(correct, total, method="wilson"))
        scipys = stats.binomtest(correct, total).proportion_ci(method="wilson")
        assert_close(ours, (scipys.low, scipys.high))


def test_wilson_of_the_published_first_row() -> None:
    low, high = s.wilson_interval(285, 300)
    assert (round(100 * low, 1), round(100 * high, 1)) == (91.9, 96.9)


@pytest.mark.parametrize(("correct", "total"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_impossible_counts(correct: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"{correct} of {total}"):
        s.wilson_interval(correct, total)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_statsmodels(b: int, c: int) -> None:
    expected = mcnemar([[10, b], [c, 10]], exact=True).pvalue if b + c else 1.0
    assert_close(s.exact_mcnemar(b, c), expected)


def test_mcnemar_needs_six_one_sided_disagreements() -> None:
    assert s.exact_mcnemar(5, 0) > 0.05 >= s.exact_mcnemar(6, 0)


@pytest.mark.parametrize("count", [1, 2, 5, 21])
def test_holm_agrees_with_statsmodels(count: int) -> None:
    draw = np.random.default_rng(count)
    p_values = [*draw.integers(0, 40, count) / 1000, 1.0, 0.0]  # with ties
    assert_close(s.holm(p_values), multipletests(p_values, method="holm")[1])


def test_holm_of_nothing_is_nothing() -> None:
    assert s.holm([]) == []


def test_one_cluster_component_is_the_cluster_robust_variance() -> None:
    """Runs that agree everywhere leave only the messages' variance, which statsmodels knows."""
    draw = np.random.default_rng(1)
    clusters = draw.integers(0, 40, 100)
    values = draw.normal(size=100) + clusters % 3
    ours = s.crossed_mean(np.stack([values] * 4), clusters)
    fit = OLS(values, np.ones(100)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    assert_close(ours.mean, fit.params[0])
    assert_close(ours.standard_error, fit.bse[0])


def test_crossed_components_agree_with_two_way_analysis_of_variance() -> None:
    """Each message its own cluster: mean squares of a textbook two-way layout, and Satterthwaite by hand."""
    draw = np.random.default_rng(2)
    S, N = 6, 50
    values = draw.normal(size=(S, 1)) + draw.normal(size=N) + draw.normal(size=(S, N))
    grand, rows, columns = values.mean(), values.mean(1), values.mean(0)
    ms_seed = N * ((rows - grand) ** 2).sum() / (S - 1)
    ms_message = S * ((columns - grand) ** 2).sum() / (N - 1)
    ms_rest = ((values - rows[:, None] - columns + grand) ** 2).sum() / ((S - 1) * (N - 1))
    assert min(ms_seed, ms_message) > ms_rest
    variance = (ms_seed + ms_message - ms_rest) / (S * N)
    freedom = (ms_seed + ms_message - ms_rest) ** 2 / (
        ms_seed**2 / (S - 1) + ms_message**2 / (N - 1) + ms_rest**2 / ((S - 1) * (N - 1))
    )
    ours = s.crossed_mean(values, np.arange(N))
    assert_close([ours.mean, ours.standard_error], [grand, variance**0.5])
    assert_close(ours.degrees_of_freedom, max(freedom, S - 1))


def test_seed_variance_alone_is_the_t_test_over_seeds() -> None:
    """Messages that always agree within a seed: nothing but a one-sample t-test over the seeds is left."""
    draw = np.random.default_rng(3)
    differences = draw.normal(0.4, 1, 8)
    ours = s.crossed_mean(np.repeat(differences[:, None], 30, axis=1), np.arange(30))
    expected = stats.ttest_1samp(differences, 0)
    np.testing.assert_allclose(ours.p_value(), expected.pvalue, rtol=1e-10)
    np.testing.assert_allclose(ours.interval(), expected.confidence_interval(), rtol=1e-10)


def test_sign_flip_agrees_with_scipys_permutation_test() -> None:
    differences = np.random.default_rng(4).normal(0.5, 1, 10)
    expected = stats.permutation_test(
        (differences,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    assert s.sign_flip_p_value(differences) == pytest.approx(expected.pvalue, abs=1e-12)


# ---- edges -----------------------------------------------------------------------------------------------------------


def test_leading_dimensions_are_independent_data_sets() -> None:
    values = np.random.default_rng(5).integers(0, 2, (3, 2, 6, 40)).astype(float)
    clusters = np.arange(40) // 2
    together = s.accuracy_interval(values, clusters)
    for i in np.ndindex(3, 2):
        np.testing.assert_allclose([bound[i] for bound in together], s.accuracy_interval(values[i], clusters))


def test_identical_predictions_give_no_difference_and_p_one() -> None:
    runs = np.random.default_rng(6).integers(0, 2, (6, 30))
    estimate = s.paired_comparison(runs, runs, np.arange(30))
    assert (estimate.mean, estimate.standard_error, estimate.p_value()) == (0, 0, 1)


def test_a_constant_difference_is_certain() -> None:
    assert s.paired_comparison(np.ones((6, 30)), np.zeros((6, 30)), np.arange(30)).p_value() == 0


def test_all_correct_still_has_an_interval() -> None:
    low, high = s.accuracy_interval(np.ones((6, 300)), np.arange(300))
    assert high == 1
    assert 0.97 < low < 0.999
    assert s.accuracy_interval(np.zeros((6, 300)), np.arange(300))[0] == 0


def test_duplicates_widen_the_interval() -> None:
    correct = np.repeat(np.random.default_rng(7).random((1, 100)) < 0.9, 6, axis=0)
    alone = s.accuracy_interval(correct, np.arange(100))
    doubled = s.accuracy_interval(np.tile(correct, 2), np.tile(np.arange(100), 2))
    np.testing.assert_allclose(alone, doubled, atol=2e-3)
    as_if_new = s.accuracy_interval(np.tile(correct, 2), np.arange(200))
    assert as_if_new[1] - as_if_new[0] < 0.8 * (doubled[1] - doubled[0])


def test_a_model_without_seeds_is_compared_with_each_seed() -> None:
    draw = np.random.default_rng(8)
    runs, fixed = draw.integers(0, 2, (6, 50)), draw.integers(0, 2, (1, 50))
    ours = s.paired_comparison(runs, fixed, np.arange(50))
    assert ours.mean == pytest.approx(runs.mean() - fixed.mean())


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [
        (np.ones((1, 5)), np.arange(5), "at least 2 seeds"),
        (np.ones((2, 5)), np.zeros(5), "1 cluster of messages"),
        (np.ones((2, 5)), np.arange(4), "one label for each of 5"),
    ],
)
def test_what_has_no_variance_is_refused(values: np.ndarray, clusters: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        s.crossed_mean(values, clusters)


def test_paired_interval_follows_agresti_and_min() -> None:
    """Their formula for counts 8 and 3 of 100, written out."""
    p12, p21, n = 8.5 / 102, 3.5 / 102, 102
    half = 1.959963984540054 * ((p12 + p21 - (p12 - p21) ** 2) / n) ** 0.5
    np.testing.assert_allclose(s.paired_interval(8, 3, 100), (p12 - p21 - half, p12 - p21 + half), rtol=1e-12)


@given(st.integers(0, 80))
def test_smallest_mcnemar_difference_is_the_threshold(disagreements: int) -> None:
    needed = round(s.smallest_mcnemar_difference(disagreements, 300) * 300)
    if disagreements < 6:
        assert needed == 6
        return
    assert (disagreements - needed) % 2 == 0
    minority = (disagreements - needed) // 2
    assert s.exact_mcnemar(minority, disagreements - minority) <= 0.05
    if minority + 1 <= disagreements // 2:
        assert s.exact_mcnemar(minority + 1, disagreements - minority - 1) > 0.05


def test_smallest_detectable_difference_with_many_degrees_of_freedom_is_the_textbook_2_8_errors() -> None:
    assert s.smallest_detectable_difference(s.Estimate(0.0, 1.0, 1e9)) == pytest.approx(2.80, abs=0.005)


def test_sign_flips_over_few_and_many_seeds() -> None:
    assert s.sign_flip_p_value([1.0] * 6) == 2 / 2**6
    assert s.sign_flip_p_value([0.0] * 6) == 1
    many = s.sign_flip_p_value([1.0] * 20)
    assert many == s.sign_flip_p_value([1.0] * 20)
    assert many == pytest.approx(1 / 2**16, abs=2 / 2**16)


@pytest.mark.parametrize(
    ("interval", "p", "expected"),
    [
        ((0.012, 0.034), 0.01, "row 2 is better than row 1 by 1.2 to 3.4 points"),
        ((-0.034, -0.012), 0.05, "row 1 is better than row 2 by 1.2 to 3.4 points"),
        ((0.012, 0.034), 0.06, "cannot tell: anything from +1.2 to +3.4 points is possible"),
        ((-0.015, 0.005), 0.9, "no difference larger than 1.5 points"),
        ((-0.025, 0.005), 0.9, "cannot tell: anything from -2.5 to +0.5 points is possible"),
        ((0.0, 0.0), 1.0, "no difference larger than 0.0 points"),
    ],
)
def test_verdicts(interval: tuple[float, float], p: float, expected: str) -> None:
    assert s.verdict(interval, p, first="row 2", second="row 1", margin=0.02) == expected


@pytest.mark.parametrize(
    ("by_seed", "expected"),
    [
        ((0.02, 0.03, 0.01), "row 2 is 2.0 points above row 1 on average, in 3 of 3 seeds"),
        ((-0.05, 0.01), "row 1 is 2.0 points above row 2 on average, in 1 of 2 seeds"),
        ((0.01, -0.01), "row 2 and row 1 are equal on average of 2 seeds"),
        ((0.004,), "row 2 is 0.4 points above row 1 on average, in 1 of 1 seed"),
    ],
)
def test_few_seeds_get_a_cautious_sentence(by_seed: tuple[float, ...], expected: str) -> None:
    assert s.few_seeds(by_seed, first="row 2", second="row 1") == f"{expected}; so few seeds say little of others"


# ---- by simulation ---------------------------------------------------------------------------------------------------

DRAWS, MESSAGES = 2000, 300
DISTINCT = np.arange(MESSAGES)
LIKE_THE_TEST_SPLIT = np.repeat(np.arange(286), [1] * 273 + [2] * 12 + [3])  # as many copies as it has
MANY_COPIES = np.concatenate([np.arange(240), np.repeat(np.arange(240, 255), 4)])

# Variances, on a latent normal scale, of seed, message (with its copies) and residual, and the clusters.
NOISE = {
    "seeds": ((0.1, 0, 1), DISTINCT),
    "a little of seeds": ((0.01, 0, 1), DISTINCT),
    "messages": ((0, 1, 0), DISTINCT),
    "messages, runs unsteady": ((0, 1, 0.3), DISTINCT),
    "both": ((0.1, 1, 0.3), DISTINCT),
    "both, runs steady": ((0.02, 2, 0.1), DISTINCT),
    "both, duplicates": ((0.05, 1, 0.1), MANY_COPIES),
    "messages, duplicates": ((0, 1, 0), MANY_COPIES),
    "both, duplicates as in the test split": ((0.02, 2, 0.1), LIKE_THE_TEST_SPLIT),
}
ACCURACIES = [(0.80, 0.80), (0.90, 0.93), (0.95, 0.95), (0.97, 0.98), (0.98, 0.98)]


def draw_runs(seeds: int, accuracies: tuple[float, float], noise: str, draw: np.random.Generator) -> list[np.ndarray]:
    """Two configurations' ``correct`` (DRAWS, seeds, MESSAGES) of known accuracy; half of what makes a message hard is
    common to both."""
    (seed, message, residual), clusters = NOISE[noise]

    def normal(*shape: int) -> np.ndarray:
        return draw.standard_normal((DRAWS, *shape), dtype=np.float32)

    count = clusters.max() + 1
    common = normal(1, count)
    runs = []
    for accuracy in accuracies:
        difficulty = np.sqrt(message / 2) * (common + normal(1, count))
        latent = np.sqrt(seed) * normal(seeds, 1) + difficulty[..., clusters]
        if residual:
            latent = latent + np.float32(np.sqrt(residual)) * normal(seeds, MESSAGES)
        threshold = stats.norm.ppf(accuracy) * np.sqrt(seed + message + residual)
        runs.append(np.broadcast_to(latent < threshold, (DRAWS, seeds, MESSAGES)))
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [6, 10])
@pytest.mark.parametrize("noise", NOISE)
def test_intervals_cover_and_false_alarms_are_rare(noise: str, seeds: int) -> None:
    clusters = NOISE[noise][1]
    draw = np.random.default_rng([seeds, *noise.encode()])
    for accuracies in ACCURACIES:
        first, second = draw_runs(seeds, accuracies, noise, draw)
        comparison = s.paired_comparison(first, second, clusters)
        low, high = comparison.interval()
        truth = accuracies[0] - accuracies[1]
        assert 0.92 <= np.mean((low <= truth + 1e-12) & (truth - 1e-12 <= high)) <= 0.98, accuracies
        if truth == 0:
            assert np.mean(comparison.p_value() <= 0.05) <= 0.07, accuracies
        low, high = s.accuracy_interval(second, clusters)
        assert 0.92 <= np.mean((low <= accuracies[1]) & (accuracies[1] <= high)) <= 0.98, accuracies


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.003, 0.02])
@pytest.mark.parametrize("noise", ["both", "a little of seeds", "both, duplicates as in the test split"])
def test_a_share_that_each_seed_has_of_its_own_keeps_the_level(noise: str, spread: float) -> None:
    """Training minus validation accuracy: one figure per seed, less what is right of each message."""
    draw = np.random.default_rng([14, *noise.encode()])
    training = draw.normal(0.98, spread, (2, DRAWS, 6, 1))
    first, second = (
        share - runs for share, runs in zip(training, draw_runs(6, (0.97, 0.97), noise, draw), strict=True)
    )
    comparison = s.paired_comparison(first, second, NOISE[noise][1])
    low, high = comparison.interval()
    assert 0.92 <= np.mean((low <= 0) & (high >= 0)) <= 0.98
    assert np.mean(comparison.p_value() <= 0.05) <= 0.07


@pytest.mark.slow
def test_ignoring_seeds_or_copies_would_not_cover() -> None:
    """The simulation can fail: intervals over messages only, or blind to copies, do."""
    draw = np.random.default_rng(11)
    first, second = draw_runs(6, (0.95, 0.95), "both", draw)
    difference = first.mean(1) - second.mean(1)
    half = 1.96 * difference.std(-1) / np.sqrt(MESSAGES)
    assert np.mean(np.abs(difference.mean(-1)) <= half) < 0.9
    first, second = draw_runs(6, (0.95, 0.95), "messages, duplicates", draw)
    low, high = s.paired_comparison(first, second, DISTINCT).interval()
    assert np.mean((low <= 0) & (high >= 0)) < 0.91


@pytest.mark.slow
@pytest.mark.parametrize("disagree", [0.02, 0.1])
def test_intervals_of_one_seed_cover(disagree: float) -> None:
    """Agresti and Min's interval and exact McNemar with one run each, no difference in truth."""
    draw = np.random.default_rng(12)
    either = draw.binomial(MESSAGES, disagree, DRAWS)
    b = draw.binomial(either, 0.5)
    intervals = np.array([s.paired_interval(x, y - x, MESSAGES) for x, y in zip(b, either, strict=True)])
    assert 0.92 <= np.mean((intervals[:, 0] <= 0) & (intervals[:, 1] >= 0)) <= 0.98
    assert np.mean([s.exact_mcnemar(x, y - x) <= 0.05 for x, y in zip(b, either, strict=True)]) <= 0.05
