"""The tables of a language model: perplexity, BLEU and variety, beside the published figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from ablation.config.decoding import Decoding
from ablation.report.cells import NOTHING
from ablation.report.language_runs import Configuration, Estimated, Interval
from ablation.report.language_sections import CellTable

PERPLEXITY_COLUMNS = (
    ("Validation", "validation_perplexity"), ("Test", "test_perplexity"), ("Per token", "test_token_perplexity"),
)  # fmt: skip
BLEU_COLUMNS = (("Forward", "forward_bleu"), ("Backward", "backward_bleu"), ("Harmonic", "harmonic_bleu"))
VARIETY_COLUMNS = (
    ("Self-BLEU", "self_bleu", 1), ("Distinct-1", "distinct_1", 1), ("Distinct-2", "distinct_2", 1),
    ("Distinct-3", "distinct_3", 1), ("Distinct-4", "distinct_4", 1), ("In training %", "in_training", 100),
    ("With an article %", "begins_with_article", 100), ("Tokens", "mean_length", 1),
)  # fmt: skip


def perplexity_table(configurations: Sequence[Configuration]) -> CellTable:
    """A line for each configuration."""
    header = ["Row", "Setting", "Seeds"]
    for title, _ in PERPLEXITY_COLUMNS:
        header += [title, "Published"]
    lines = []
    for one in configurations:
        line = [one.label, one.description, str(len(one.trainings))]
        for _, column in PERPLEXITY_COLUMNS:
            figure = one.trained(column)
            line += [figure_text(figure, 2), beside(figure, one.published_figure(column), 2)]
        lines.append([*line, *(_mean_text(one, column) for column in ("epochs", "best_epoch", "training_minutes"))])
    header += ["Epochs", "Kept", "Minutes"]
    published = any(one.published for one in configurations)
    return without_empty(CellTable("Perplexity", header, lines, _perplexity_note(configurations, published=published)))


def _mean_text(one: Configuration, column: str) -> str:
    figure = one.trained(column)
    if figure is None:
        return NOTHING
    return f"{figure.mean:.0f}" if figure.mean.is_integer() else f"{figure.mean:.1f}"


def without_empty(table: CellTable) -> CellTable:
    """Those columns alone in which a line has something to say."""
    columns = [place for place in range(len(table.header)) if any(line[place] != NOTHING for line in table.lines)]
    lines = [[line[place] for place in columns] for line in table.lines]
    return dataclasses.replace(table, header=[table.header[place] for place in columns], lines=lines)


def _perplexity_note(configurations: Sequence[Configuration], *, published: bool) -> str:
    several = any(len(one.trainings) > 1 for one in configurations)
    parts = [
        "Perplexity: e to the mean over sentences of each one's mean loss, as published; per token: of the mean over"
        " all tokens, as usual elsewhere. Epochs: trained; kept: the one whose parameters were.",
        "In parentheses: 95 % interval over seeds." if several else "",
        "Of one seed there is no interval: another seed would give another perplexity."
        if _single(configurations)
        else "",
        PUBLISHED_NOTE if published else "",
    ]
    return " ".join(filter(None, parts))


PUBLISHED_NOTE = (
    "Behind a published figure: how far it lies above or below our interval; a published figure is one run and has an"
    " error of its own."
)


def _single(configurations: Sequence[Configuration]) -> bool:
    return any(len(one.trainings) == 1 for one in configurations)


def bleu_table(configurations: Sequence[Configuration]) -> CellTable:
    """A line for each configuration and way of decoding."""
    spoken = list(_spoken(configurations))
    shown = [[one.published_figure(column, way) for _, column in BLEU_COLUMNS] for one, way in spoken]
    published = any(value is not None for values in shown for value in values)
    header = ["Row", "Decoding", "Sentences"]
    for title, _ in BLEU_COLUMNS:
        header += [title, "Published"]
    lines = []
    for (one, way), values in zip(spoken, shown, strict=True):
        line = [one.label, way.describe(), one.sentences(way)]
        for (_, column), value in zip(BLEU_COLUMNS, values, strict=True):
            found = one.spoken(way, column)
            line += [figure_text(found, 3), beside(found, value, 3)]
        lines.append(line)
    note = _bleu_note(configurations, published=published)
    return without_empty(CellTable("BLEU by way of decoding", header, lines, note))


def _bleu_note(configurations: Sequence[Configuration], *, published: bool) -> str:
    parts = [
        "Forward: how much of a generated sentence stands in the test split, mean over generated sentences; it falls"
        " with bad sentences. Backward: the same of a test sentence in all generated ones; it falls with what is never"
        " said, and grows with the number of sentences. Harmonic: the harmonic mean of the two, which has no interval"
        " of a single run.",
        "In parentheses: 95 % interval, of one seed over sentences (bootstrap), of several over seeds.",
        PUBLISHED_NOTE if published else "",
        "Nothing is compared where another number of sentences, or another cut, was generated than published."
        if any(one.published for one in configurations)
        else "",
    ]
    return " ".join(filter(None, parts))


def variety_table(configurations: Sequence[Configuration]) -> CellTable:
    """What else is measured of generated sentences."""
    header = ["Row", "Decoding", *(title for title, *_ in VARIETY_COLUMNS), "Commonest beginning"]
    lines = []
    for one, way in _spoken(configurations):
        figures = [_mean(one.spoken(way, column), scale) for _, column, scale in VARIETY_COLUMNS]
        lines.append([one.label, way.describe(), *figures, _beginning(one, way)])
    note = (
        "Self-BLEU: of each sentence against the others, 1 where all say the same. Distinct-n: different n-grams of"
        " all. In training: sentences that stand in the training split word for word. With an article: that begin with"
        " a, an or the. Tokens: mean length. Means over seeds; the beginning is that of the first seed."
    )
    return CellTable("Variety, and what is copied", header, lines, note, folded=True)


def _mean(figure: Estimated | None, scale: int) -> str:
    if figure is None:
        return NOTHING
    return f"{figure.mean:.3f}" if scale == 1 and figure.mean < 2 else f"{scale * figure.mean:.1f}"


def _beginning(one: Configuration, way: Decoding) -> str:
    row = next(training.ways[way] for training in one.trainings if way in training.ways)
    try:
        return f"“{row['commonest_beginning']}”, {100 * float(row['commonest_beginning_share']):.1f} %"
    except ValueError:
        return NOTHING


def _spoken(configurations: Sequence[Configuration]) -> Iterator[tuple[Configuration, Decoding]]:
    return ((one, way) for one in configurations for way in one.ways)


# ---- cells -----------------------------------------------------------------------------------------------------------


def figure_text(figure: Estimated | None, digits: int) -> str:
    """``15.31``, or with its interval ``15.31 (15.10–15.52)``."""
    if figure is None:
        return NOTHING
    mean = f"{figure.mean:.{digits}f}"
    return mean if figure.interval is None else f"{mean} ({interval_text(figure.interval, digits)})"


def interval_text(interval: Interval, digits: int) -> str:
    return "–".join(f"{bound:.{digits}f}" for bound in interval)


def beside(figure: Estimated | None, published: float | None, digits: int) -> str:
    """``15.31``, and where our figure has an interval, where it lies: ``15.31, inside`` or ``15.31, 0.12 above``."""
    if published is None:
        return NOTHING
    text = f"{published:.{digits}f}"
    beyond = None if figure is None else figure.beyond(published)
    if beyond is None:
        return text
    if beyond == 0:
        return f"{text}, inside"
    far = f"{abs(beyond):.{digits}f}" if round(abs(beyond), digits) else "just"
    return f"{text}, {far} {'above' if beyond > 0 else 'below'}"
