"""The sentences that a language model was trained and judged on, where they are at hand: what is new in what it says,
and how alike the splits are."""

from __future__ import annotations

import dataclasses
import itertools
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ablation.data.labels import DataError
from ablation.data.sentences import Corpus
from ablation.files.wanted import DownloadError
from ablation.listener import Listener
from ablation.report.language_runs import Configuration
from ablation.report.language_sections import CellTable, Marked
from ablation.results.read import DATA_DIGEST
from ablation.results.task import Task
from ablation.texts.bleu import forward_backward, harmonic_mean
from ablation.texts.quality import begins_with_article

AROUND = string.punctuation + string.whitespace + "“”‘’…–—"
PUBLISHED_BETWEEN = {  # of all published captions, harmonic
    ("train", "validation"): "0.550", ("train", "test"): "0.611", ("validation", "test"): "0.538",
}  # fmt: skip


@dataclass(frozen=True)
class Between:
    """BLEU of one split's sentences, as if generated, against another's."""

    forward: float
    backward: float

    @property
    def harmonic(self) -> float:
        return harmonic_mean(self.forward, self.backward)


@dataclass(frozen=True)
class Texts:
    """The sentences of some runs, all splits.

    Attributes:
        published: whether they are all that was published.
    """

    corpus: Corpus
    published: bool

    @cached_property
    def known_words(self) -> frozenset[str]:
        """All words of the training split."""
        return frozenset(bare(word) for text in self.corpus.splits["train"].texts for word in text.split())

    def marked(self, text: str) -> Marked:
        """A sentence in which the words are marked that never stand in the training split."""
        pieces: list[tuple[str, bool]] = []
        for piece in re.split(r"(\s+)", text):
            word = bare(piece)
            pieces.append((piece, bool(word) and word not in self.known_words))
        return Marked(pieces)

    def article_share(self, split: str) -> float:
        """The share of a split's sentences that begin with an article."""
        texts = self.corpus.splits[split].texts
        return sum(begins_with_article(text.split()) for text in texts) / len(texts)

    @cached_property
    def between(self) -> dict[tuple[str, str], Between]:
        """BLEU between each two splits."""
        found = {}
        for pair in itertools.combinations(self.corpus.splits, 2):
            one, other = (self.corpus.splits[name].token_ids for name in pair)
            forward, backward = forward_backward(one, other)
            found[pair] = Between(float(forward.mean()), float(backward.mean()))
        return found


def bare(word: str) -> str:
    """A word without what stands around it, in small letters."""
    return word.strip(AROUND).lower()


def texts_of(task: Task, configuration: Configuration, data_dir: Path) -> tuple[Texts | None, str]:
    """The sentences of a configuration's runs; or None, and why they are not at hand. Fetches nothing."""
    config = dataclasses.replace(configuration.config, data_dir=str(data_dir), offline=True)
    try:
        corpus = task.load(config, Listener())
    except (DataError, DownloadError, OSError) as error:
        return None, " ".join(str(error).split())
    if corpus.recorded_digest(task.published_data_digest) != configuration.group.first[DATA_DIGEST]:
        return None, f"the sentences of {corpus.source} are not those of the runs; give their folder with --data_dir"
    return Texts(corpus, corpus.digest == task.published_data_digest), ""


def between_table(texts: Texts) -> CellTable:
    """How alike the splits are: what a model that says real sentences would get."""
    header = ["Splits", "Sentences", "Forward", "Backward", "Harmonic", *(["Published"] if texts.published else [])]
    lines: list[Sequence[str]] = []
    for pair, bleu in texts.between.items():
        sizes = " / ".join(f"{len(texts.corpus.splits[name]):,}" for name in pair)
        figures = [f"{value:.3f}" for value in (bleu.forward, bleu.backward, bleu.harmonic)]
        published = [PUBLISHED_BETWEEN[pair]] if texts.published else []
        lines.append([" – ".join(pair), sizes, *figures, *published])
    note = (
        "The first split's sentences stand in for generated ones: forward is their BLEU against the second's, backward"
        " the second's against them. All sentences of each."
    )
    return CellTable("BLEU between the splits", header, lines, note)
