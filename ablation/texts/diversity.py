"""How much generated sentences differ from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ablation.texts.bleu import bleu, closest
from ablation.texts.ngrams import Counts, Integers, NgramTable, flatten


def self_bleu(sentences: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """BLEU-4 of each sentence against all the others (N,): 1 where all say the same (Zhu et al., SIGIR 2018, Texygen).

    As ``References.scores``, with the sentence itself left out of the references; a twin of it stays one.

    Raises:
        ValueError: there are fewer than two sentences.
    """
    if len(sentences) < 2:
        raise ValueError(f"{len(sentences)} sentences: self-BLEU compares each with the others, so give at least two")
    flat = flatten(sentences)
    clipped = [(found, np.minimum(found.counts, maxima_of_others(found))) for found in NgramTable(flat).counts]
    return bleu(flat, clipped, closest_of_others(flat.lengths))


def distinct(sentences: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """Distinct-1 to distinct-4: different n-grams / all n-grams (Li et al., NAACL 2016); 0 where there is no n-gram."""
    table = NgramTable(flatten(sentences))
    totals = [int(found.counts.sum()) for found in table.counts]
    return tuple(len(keys) / total if total else 0.0 for keys, total in zip(table.keys, totals, strict=True))


def maxima_of_others(found: Counts) -> Integers:
    """For each pair of n-gram and sentence, the largest count of the n-gram in any other sentence; 0 if in none.

    That is the largest count of all, and for the one sentence that has it, the second largest.
    """
    order = np.lexsort((-found.counts, found.ngrams))
    ngrams, counts = found.ngrams[order], found.counts[order]
    first = np.ones(len(ngrams), bool)
    first[1:] = ngrams[1:] != ngrams[:-1]
    largest = counts[first][np.cumsum(first) - 1]
    following = np.append(counts[1:], 0)[: len(counts)]
    has_second = np.append(~first[1:], False)[: len(counts)]
    others = np.empty_like(counts)
    others[order] = np.where(first, np.where(has_second, following, 0), largest)
    return others


def closest_of_others(lengths: Integers) -> Integers:
    """The length of another sentence closest to each one's own (N,), the shorter of two. For N of at least 2."""
    available, places, sentences = np.unique(lengths, return_inverse=True, return_counts=True)
    nearest = available.copy()  # of a length that several have, it is the same
    for place in np.flatnonzero(sentences == 1):
        nearest[place] = closest(np.delete(available, place), available[place : place + 1])[0]
    return nearest[places]
