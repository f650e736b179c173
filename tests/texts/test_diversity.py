"""Self-BLEU is nltk's with the sentence left out; distinct-n counts n-grams."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ablation.texts.diversity import distinct, self_bleu
from tests.texts.nltk_twin import nltk_bleu, random_corpus


def same_as_nltk(seed: int) -> None:
    sentences = random_corpus(seed)[0]
    wanted = [nltk_bleu(sentences[:n] + sentences[n + 1 :], sentence) for n, sentence in enumerate(sentences)]
    np.testing.assert_allclose(self_bleu(sentences), wanted, rtol=0, atol=1e-12)


def test_self_bleu_is_nltks_without_the_sentence() -> None:
    for seed in range(1000, 1060):
        same_as_nltk(seed)


@pytest.mark.slow
def test_self_bleu_of_many_corpora() -> None:
    for seed in range(1060, 1500):
        same_as_nltk(seed)


@pytest.mark.parametrize(
    "sentences",
    [
        [[1, 1, 1, 2], [1, 1, 2], [2, 1]],  # the largest count is the sentence's own, or another's
        [[1, 2, 3, 4, 5], [1, 2, 3], [1, 2, 3, 4, 5, 6, 7]],  # two others equally close
        [[1, 2], [1, 2], [3]],  # a twin stays a reference
        [[], []],
    ],
)
def test_self_bleu_where_it_is_easily_wrong(sentences: list[list[int]]) -> None:
    wanted = [nltk_bleu(sentences[:n] + sentences[n + 1 :], sentence) for n, sentence in enumerate(sentences)]
    np.testing.assert_allclose(self_bleu(sentences), wanted, rtol=0, atol=1e-12)


def test_self_bleu_needs_others() -> None:
    with pytest.raises(ValueError, match="1 sentences"):
        self_bleu([[1, 2]])


def test_distinct_counts_ngrams_within_sentences() -> None:
    for seed in range(20):
        sentences = random_corpus(seed)[0]
        for n, share in enumerate(distinct(sentences), start=1):
            ngrams = Counter(tuple(s[i : i + n]) for s in sentences for i in range(len(s) - n + 1))
            assert share == (len(ngrams) / ngrams.total() if ngrams else 0)
    assert distinct([]) == distinct([[], []]) == (0, 0, 0, 0)
