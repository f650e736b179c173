"""BLEU as nltk computes it, and random corpora with what is easily got wrong."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence

Sentence = list[int]


def nltk_bleu(references: Sequence[Sentence], hypothesis: Sentence) -> float:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(sentence_bleu(references, hypothesis, smoothing_function=SmoothingFunction().method1))


def random_corpus(seed: int) -> tuple[list[Sentence], list[Sentence]]:
    """Hypotheses and references: from 0 tokens on, of few kinds (n-grams repeat), some on one side only."""
    draw = random.Random(seed)
    kinds, longest = draw.choice((2, 5, 20, 60_000)), draw.choice((3, 8, 15))

    def sentences(low: int, count: int) -> list[Sentence]:
        return [[draw.randrange(low, low + kinds) for _ in range(draw.randint(0, longest))] for _ in range(count)]

    references = sentences(0, draw.randint(1, 6))
    hypotheses = [*sentences(draw.choice((0, 1, kinds)), draw.randint(1, 4)), []]
    copied = list(draw.choice(references))
    return [*hypotheses, copied, copied + copied], references
