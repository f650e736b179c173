"""What is said of a set of generated sentences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ablation.texts.quality import bootstrap_interval, commonest_beginning, measure

IDS = [[1, 2, 3, 4], [1, 2, 3, 5], [6, 7], []]
TEXTS = ["A dog runs fast", "a dog  runs home", "Two cats", ""]


def test_every_figure_of_four_sentences() -> None:
    quality = measure(IDS, TEXTS, [[1, 2, 3, 4]], ["A dog runs fast ", "a dog runs", "two cats"])
    assert quality.in_training == 0.25  # blanks do not count, capitals do
    assert quality.begins_with_article == 0.5
    assert (quality.commonest_beginning, quality.commonest_beginning_share) == ("a dog", 0.5)
    assert quality.mean_length == 2.5
    assert quality.backward_bleu == pytest.approx(1)
    assert (quality.distinct_1, quality.distinct_2) == (0.7, pytest.approx(5 / 7))
    assert quality.harmonic_bleu == pytest.approx(2 * quality.forward_bleu / (1 + quality.forward_bleu))
    assert set(quality.intervals) == {
        "forward_bleu",
        "backward_bleu",
        "in_training",
        "begins_with_article",
        "mean_length",
    }
    for name, (low, high) in quality.intervals.items():
        assert low <= getattr(quality, name) <= high


def test_sentences_that_say_nothing() -> None:
    quality = measure([[]], [""], [[1, 2]], ["one two"])
    assert quality.forward_bleu == quality.backward_bleu == quality.harmonic_bleu == quality.distinct_1 == 0
    assert quality.begins_with_article == quality.in_training == quality.commonest_beginning_share == 0
    assert math.isnan(quality.self_bleu) and quality.commonest_beginning == ""
    with pytest.raises(ValueError, match="0 generated sentences"):
        measure([], [], [[1]], [])
    with pytest.raises(ValueError, match="1 sentences of token ids but 0 texts"):
        measure([[1]], [], [[1]], [])


def test_of_equally_common_beginnings_the_first_in_the_alphabet() -> None:
    assert commonest_beginning([["Two", "cats"], ["A", "dog", "runs"], []]) == ("a dog", pytest.approx(1 / 3))


def test_the_interval_is_as_wide_as_the_standard_error_says() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.02)
