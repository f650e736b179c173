"""BLEU-4 of many sentences, each against the same many references."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ablation.texts.ngrams import ORDERS, Counts, Flat, Integers, NgramTable, flatten

EPSILON = 0.1  # stands for a count of matches that is 0, as in nltk's SmoothingFunction().method1


class References:
    """A set of references, counted once: per n-gram the largest count in any one of them, and their lengths.

    Args:
        sentences: the token ids of each reference; empty ones are allowed.

    Raises:
        ValueError: there is no reference.
    """

    def __init__(self, sentences: Sequence[Sequence[int]]) -> None:
        if len(sentences) == 0:
            raise ValueError("0 references: BLEU needs at least one sentence to compare with")
        flat = flatten(sentences)
        self._table = NgramTable(flat)
        self._maxima = [
            _maxima(counts, len(keys)) for counts, keys in zip(self._table.counts, self._table.keys, strict=True)
        ]
        self._lengths = np.unique(flat.lengths)

    def scores(self, hypotheses: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """BLEU-4 of each hypothesis against all references, (N,), from 0 to 1.

        The same numbers as nltk's ``sentence_bleu`` with uniform weights and ``SmoothingFunction().method1``: BLEU of
        Papineni et al., ACL 2002, where the reference closest in length (of two equally close, the shorter) sets the
        brevity penalty, and a precision without a match has 0.1 matches. An order longer than the hypothesis counts as
        one n-gram without a match. A hypothesis that is empty, or has no token of the references, has 0.
        """
        flat = flatten(hypotheses)
        clipped = (
            (found, np.minimum(found.counts, maxima[found.ngrams]))
            for found, maxima in zip(self._table.lookup(flat), self._maxima, strict=True)
        )
        return bleu(flat, clipped, closest(self._lengths, flat.lengths))


def forward_backward(
    generated: Sequence[Sequence[int]], references: Sequence[Sequence[int]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """BLEU of each generated sentence against all references (G,), and of each reference against all generated (R,).

    The first falls with bad sentences, the second with what is never generated.

    Raises:
        ValueError: one of the two has no sentence.
    """
    return References(references).scores(generated), References(generated).scores(references)


def harmonic_mean(forward: float, backward: float) -> float:
    """2fb / (f + b), and 0 if both are 0."""
    return 2 * forward * backward / (forward + backward) if forward + backward > 0 else 0.0


def bleu(flat: Flat, clipped: Iterable[tuple[Counts, Integers]], reference_lengths: Integers) -> NDArray[np.float64]:
    """BLEU-4 (N,) from the clipped counts of each order and the reference length of each hypothesis (N,)."""
    lengths = flat.lengths
    logs = np.zeros(len(lengths))
    for order, (found, counts) in zip(ORDERS, clipped, strict=True):
        matches = np.bincount(found.owners, weights=counts, minlength=len(lengths))
        if order == 1:
            matching = matches > 0
        logs += np.log(np.where(matches > 0, matches, EPSILON) / np.maximum(lengths - order + 1, 1))
    penalty = np.minimum(1 - reference_lengths / np.maximum(lengths, 1), 0)
    return np.where(matching, np.exp(penalty + logs / len(ORDERS)), 0.0)


def closest(available: Integers, lengths: Integers) -> Integers:
    """The available length closest to each length (N,); the shorter of two. ``available``: ascending, not empty."""
    right = np.searchsorted(available, lengths)
    above = available[np.minimum(right, len(available) - 1)]
    below = available[np.maximum(right - 1, 0)]
    return np.where(np.abs(lengths - below) <= np.abs(above - lengths), below, above)


def _maxima(counts: Counts, ngrams: int) -> Integers:
    maxima = np.zeros(ngrams, np.int64)
    np.maximum.at(maxima, counts.ngrams, counts.counts)
    return maxima
