"""Counting n-grams of many sentences at once, as integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

ORDERS = (1, 2, 3, 4)
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Flat:
    """Sentences laid end to end: ``tokens`` (T,), the sentence of each token ``owners`` (T,), ``lengths`` (N,)."""

    tokens: Integers
    owners: Integers
    lengths: Integers


@dataclass(frozen=True)
class Counts:
    """How often n-gram ``ngrams[i]`` stands in sentence ``owners[i]``: ``counts[i]``, at least 1; each pair once.

    Sorted by n-gram, then by sentence. All three are (pairs,).
    """

    ngrams: Integers
    owners: Integers
    counts: Integers


def flatten(sentences: Sequence[Sequence[int]]) -> Flat:
    """Lay the token ids of N sentences end to end."""
    lengths = np.fromiter((len(sentence) for sentence in sentences), np.int64, len(sentences))
    tokens = np.fromiter(chain.from_iterable(sentences), np.int64, int(lengths.sum()))
    return Flat(tokens, np.repeat(np.arange(len(sentences)), lengths), lengths)


class NgramTable:
    """The n-grams of some sentences, orders 1 to 4, numbered from 0 within each order.

    An n-gram's key is the number of its first n - 1 tokens and the number of its last token in one integer. So keys
    stay small whatever the vocabulary, and an n-gram is unknown as soon as its beginning is.
    """

    def __init__(self, sentences: Flat) -> None:
        self.keys: list[Integers] = []  # per order, ascending: the place of a key is the number of its n-gram
        self.counts = list(self._walk(sentences, self._learn))

    def lookup(self, sentences: Flat) -> Iterator[Counts]:
        """For each order, the counts of the table's n-grams in other sentences; those not in the table are left out."""
        return self._walk(sentences, self._find)

    def _walk(self, sentences: Flat, number: Callable[[int, Integers], Integers]) -> Iterator[Counts]:
        """Count order after order; ``number(order, keys)`` gives the n-gram of each key, -1 if it is unknown."""
        numbers = np.zeros_like(sentences.tokens)
        last = sentences.tokens
        for order in ORDERS:
            keys, starts = self._keys(numbers, last, sentences.owners, order)
            found = number(order, keys)
            starts, found = starts[found >= 0], found[found >= 0]
            yield _count(found, sentences.owners[starts], len(sentences.lengths))
            numbers = np.full_like(sentences.tokens, -1)
            numbers[starts] = found
            if order == 1:
                last = numbers

    def _learn(self, order: int, keys: Integers) -> Integers:
        known, found = np.unique(keys, return_inverse=True)
        self.keys.append(known)
        return found

    def _find(self, order: int, keys: Integers) -> Integers:
        known = self.keys[order - 1]
        places = np.searchsorted(known, keys)
        hits = places < len(known)
        hits[hits] = known[places[hits]] == keys[hits]
        return np.where(hits, places, -1)

    def _keys(self, numbers: Integers, last: Integers, owners: Integers, order: int) -> tuple[Integers, Integers]:
        """Keys of the n-grams that lie in one sentence and have no unknown part, and where each starts."""
        if order == 1:
            return last, np.arange(len(last))
        end = order - 1
        starts = np.arange(max(len(last) - end, 0))
        inside = (owners[starts] == owners[starts + end]) & (numbers[starts] >= 0) & (last[starts + end] >= 0)
        starts = starts[inside]
        return numbers[starts] * len(self.keys[0]) + last[starts + end], starts


def _count(ngrams: Integers, owners: Integers, sentences: int) -> Counts:
    """Count equal pairs of n-gram and sentence."""
    pairs, counts = np.unique(ngrams * sentences + owners, return_counts=True)
    return Counts(pairs // max(sentences, 1), pairs % max(sentences, 1), counts.astype(np.int64))
