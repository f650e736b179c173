"""What language models say, side by side: sentences of the same numbers in each way of decoding."""

from __future__ import annotations

from collections.abc import Sequence

from ablation.config.decoding import Decoding
from ablation.report.cells import NOTHING
from ablation.report.language_corpus import Texts
from ablation.report.language_runs import Configuration, Training
from ablation.report.language_sections import Cell, CellTable, Section
from ablation.results.read import DATA_DIGEST

MODELS, SENTENCES = 2, 8


def samples_section(configurations: Sequence[Configuration], texts: Texts | None, why_not: str) -> Section | None:
    """The first sentences of the first models; None where nothing was kept.

    Args:
        why_not: why the sentences that they were trained on are not at hand.
    """
    tables = [table for one in configurations if (table := samples_table(one, texts)) is not None][:MODELS]
    if not tables:
        return None
    if texts is None:
        marks = f"No word is marked: {why_not}."
    else:
        share = f"{100 * texts.article_share('test'):.1f} %"
        marks = (
            "Marked: words that never stand in the training split, however they are written. Of the test split's own"
            f" sentences {share} begin with an article."
        )
    intro = f"The first {SENTENCES} sentences of each way of decoding, none chosen. {marks}"
    return Section("samples", "What it says", intro, tables=tables)


def samples_table(one: Configuration, texts: Texts | None) -> CellTable | None:
    """The sentences of its first training that kept any: a line for each number, a column for each way."""
    kept = ((training, {way: said for way in training.ways if (said := training.samples(way))})
            for training in one.trainings)  # fmt: skip
    training, samples = next(((training, samples) for training, samples in kept if samples), (None, {}))
    if training is None:
        return None
    ways = [way for way in one.ways if way in samples]
    own = texts if texts is not None and texts.corpus.digest == training.first[DATA_DIGEST] else None
    lines: list[list[Cell]] = []
    for number in range(min(SENTENCES, max(map(len, samples.values())))):
        cells = [_cell(samples[way], number, own) for way in ways]
        lines.append([str(number + 1), *cells])
    lines.append(["with an article", *(_article_share(training, way) for way in ways)])
    header = ["Sentence", *(way.describe().replace(" at temperature", ",") for way in ways)]
    return CellTable(f"{one.label}, seed {training.seed}", header, lines)


def _cell(sentences: Sequence[str], number: int, texts: Texts | None) -> Cell:
    if number >= len(sentences):
        return NOTHING
    text = sentences[number] or "(empty)"
    return text if texts is None else texts.marked(text)


def _article_share(training: Training, way: Decoding) -> str:
    """Of all sentences of this way, with its interval over sentences."""
    try:
        share = f"{100 * float(training.ways[way]['begins_with_article']):.1f} %"
    except ValueError:
        return NOTHING
    interval = training.interval(way, "begins_with_article")
    return share if interval is None else f"{share} ({100 * interval[0]:.1f}–{100 * interval[1]:.1f})"
