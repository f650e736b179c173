"""BLEU of many sentences at once is nltk's, and the published figures come out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ablation.texts.bleu import References, forward_backward, harmonic_mean
from tests.texts.nltk_twin import nltk_bleu, random_corpus

QUICK = 60


def same_as_nltk(seed: int) -> None:
    hypotheses, references = random_corpus(seed)
    wanted = [nltk_bleu(references, hypothesis) for hypothesis in hypotheses]
    np.testing.assert_allclose(References(references).scores(hypotheses), wanted, rtol=0, atol=1e-12)
    backward = [nltk_bleu(hypotheses, reference) for reference in references]
    np.testing.assert_allclose(forward_backward(hypotheses, references)[1], backward, rtol=0, atol=1e-12)


def test_random_corpora_score_as_with_nltk() -> None:
    for seed in range(QUICK):
        same_as_nltk(seed)


@pytest.mark.slow
def test_many_random_corpora_score_as_with_nltk() -> None:
    for seed in range(QUICK, 500):
        same_as_nltk(seed)


@pytest.mark.parametrize(
    ("hypothesis", "references"),
    [
        ([1, 2, 3, 4, 5], [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6]]),  # equally close: the shorter, so no penalty
        ([1, 2], [[1, 2, 3]]),  # shorter than 4 tokens
        ([], [[1, 2]]),
        ([1], [[]]),
        ([7, 8, 9, 7], [[1, 2, 3]]),  # nothing in common
        ([1, 1, 1, 1, 1], [[1, 1], [1, 2, 1, 1]]),  # more than any one reference has, fewer than all together
        ([1, 2, 3, 4], [[1, 2], [3, 4, 5]]),  # what crosses from one reference to the next is in none
    ],
)
def test_cases_that_are_easily_got_wrong(hypothesis: list[int], references: list[list[int]]) -> None:
    assert References(references).scores([hypothesis])[0] == pytest.approx(nltk_bleu(references, hypothesis), abs=1e-12)


def test_without_sentences() -> None:
    assert References([[1]]).scores([]).shape == (0,)
    with pytest.raises(ValueError, match="0 references"):
        References([])
    assert harmonic_mean(0.0, 0.0) == 0
    assert harmonic_mean(0.2, 0.6) == pytest.approx(0.3)


@pytest.fixture(scope="module")
def captions(real_vocabulary: Path) -> dict[str, list[list[int]]]:
    """The published splits as GPT-2's token ids, cut to 35."""
    folder = Path(os.environ.get("SMS_SPAM_DATA_DIR", "")) / "captions"
    if not (folder / "train.txt").exists():
        pytest.skip("needs the captions: set SMS_SPAM_DATA_DIR to the folder that has captions/train.txt")
    import tiktoken

    encode = tiktoken.get_encoding("gpt2").encode_ordinary
    return {
        name: [encode(line.strip())[:35] for line in (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()]
        for name in ("train", "dev", "test")
    }


@pytest.mark.parametrize(
    ("one", "other", "published"), [("train", "dev", 0.550), ("train", "test", 0.611), ("dev", "test", 0.538)]
)
@pytest.mark.slow
def test_the_published_bleu_between_splits(
    captions: dict[str, list[list[int]]], one: str, other: str, published: float
) -> None:
    forward, backward = forward_backward(captions[one], captions[other])
    assert round(harmonic_mean(float(forward.mean()), float(backward.mean())), 3) == published


def test_the_reference_runs_have_the_same_bleu_of_a_hundred_sentences(captions: dict[str, list[list[int]]]) -> None:
    """All of them were measured on the same sentences and have these two figures."""
    forward, backward = forward_backward(captions["dev"][:100], captions["test"][:100])
    assert forward.mean() == pytest.approx(0.1785009040694142, abs=1e-12)
    assert backward.mean() == pytest.approx(0.18560530182690185, abs=1e-12)
