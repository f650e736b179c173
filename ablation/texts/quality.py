"""All that is said of a set of generated sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ablation.texts.bleu import forward_backward, harmonic_mean
from ablation.texts.diversity import distinct, self_bleu

ARTICLES = frozenset(("a", "an", "the"))
RESAMPLES, BOOTSTRAP_SEED = 1000, 2002


def begins_with_article(words: Sequence[str]) -> bool:
    return bool(words) and words[0].lower() in ARTICLES


@dataclass(frozen=True)
class Quality:
    """Figures of generated sentences, named as their columns; shares from 0 to 1, length in tokens.

    ``intervals`` has the 95 % interval of what is a mean over independent sentences. Self-BLEU has none, because its
    terms depend on each other; harmonic BLEU and distinct-n have none, because they are no means.
    """

    forward_bleu: float
    backward_bleu: float
    harmonic_bleu: float
    self_bleu: float  # nan of a single sentence
    distinct_1: float
    distinct_2: float
    distinct_3: float
    distinct_4: float
    in_training: float
    begins_with_article: float
    commonest_beginning: str
    commonest_beginning_share: float
    mean_length: float
    intervals: dict[str, tuple[float, float]]


def measure(
    generated: Sequence[Sequence[int]],
    generated_texts: Sequence[str],
    references: Sequence[Sequence[int]],
    training_texts: Collection[str],
) -> Quality:
    """Measure generated sentences (token ids, and the same as texts) against references and the training split.

    Texts are compared word for word, so that blanks do not count. An empty sentence is one like any other: it has
    BLEU 0, length 0 and no beginning.

    Raises:
        ValueError: no sentence was generated, there is no reference, or ids and texts differ in number.
    """
    if len(generated) != len(generated_texts):
        raise ValueError(f"{len(generated)} sentences of token ids but {len(generated_texts)} texts: give each as both")
    if len(generated) == 0:
        raise ValueError("0 generated sentences: there is nothing to measure; generate at least one")
    forward, backward = forward_backward(generated, references)
    words = [text.split() for text in generated_texts]
    known = {" ".join(text.split()) for text in training_texts}
    means: dict[str, NDArray[np.float64]] = {
        "forward_bleu": forward,
        "backward_bleu": backward,
        "in_training": np.array([" ".join(one) in known for one in words], float),
        "begins_with_article": np.array([begins_with_article(one) for one in words], float),
        "mean_length": np.array([len(one) for one in generated], float),
    }
    mean = {name: float(values.mean()) for name, values in means.items()}
    beginning, share = commonest_beginning(words)
    return Quality(
        **mean,
        harmonic_bleu=harmonic_mean(mean["forward_bleu"], mean["backward_bleu"]),
        self_bleu=float(self_bleu(generated).mean()) if len(generated) > 1 else float("nan"),
        **{f"distinct_{n}": value for n, value in enumerate(distinct(generated), start=1)},
        commonest_beginning=beginning,
        commonest_beginning_share=share,
        intervals={name: bootstrap_interval(values) for name, values in means.items()},
    )


def commonest_beginning(sentences: Sequence[Sequence[str]]) -> tuple[str, float]:
    """The two words that begin most sentences, in small letters, and the share of all sentences; ("", 0.0) if none.

    A sentence of one word begins with that. Of equally common ones, the first in the alphabet.
    """
    counts = Counter(" ".join(words[:2]).lower() for words in sentences if words)
    if not counts:
        return "", 0.0
    beginning, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return beginning, count / len(sentences)


def bootstrap_interval(values: ArrayLike) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of N independent values (B. Efron, Ann. Statist. 7, 1979); N at least 1.

    The same values always give the same interval.
    """
    sample = np.asarray(values, float)
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    means = [sample[generator.integers(len(sample), size=len(sample))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
