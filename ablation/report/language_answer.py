"""What runs of a language model say, in plain sentences, to be read before any table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablation.config.decoding import Decoding
from ablation.report.language_runs import Configuration, Estimated
from ablation.report.language_tables import figure_text
from ablation.results.read import DATA_DIGEST
from ablation.words import plural

CHOSEN_BY, HEADLINE = "validation_perplexity", "test_perplexity"


def language_answer(configurations: Sequence[Configuration]) -> list[str]:
    """The best perplexity, beside the published one of its row and of the first; the best BLEU; how it is said."""
    if not configurations:
        return []
    alike = _on_the_same_sentences(configurations)
    left_out = len(configurations) - len(alike)
    others = [f"Compared are those on the same sentences; {plural(left_out, 'configuration')} on others stand"
              f"{'s' if left_out == 1 else ''} in the tables alone."] if left_out else []  # fmt: skip
    return [*_what(configurations), *others, *_perplexity(alike), *_bleu(alike)]


def _on_the_same_sentences(configurations: Sequence[Configuration]) -> list[Configuration]:
    """Those trained and judged on what most are, or on what the first of them is: figures of others say nothing
    beside theirs."""
    data = [str(one.group.first[DATA_DIGEST]) for one in configurations]
    most = max(data, key=data.count)
    return [one for one, digest in zip(configurations, data, strict=True) if digest == most]


def _what(configurations: Sequence[Configuration]) -> Iterator[str]:
    runs = sum(len(one.trainings) for one in configurations)
    sizes = {training.first["train_sentences"] for one in configurations for training in one.trainings}
    trained = f" on {int(sizes.pop() or 0):,} sentences" if len(sizes) == 1 else ""
    silent = "" if any(one.ways for one in configurations) else "; none of them generated sentences"
    yield (
        f"GPT-2 was trained as a language model{trained}: {plural(runs, 'run')} of"
        f" {plural(len(configurations), 'configuration')}{silent}."
    )


def _perplexity(configurations: Sequence[Configuration]) -> Iterator[str]:
    known = [one for one in configurations if one.trained(CHOSEN_BY) and one.trained(HEADLINE)]
    if not known:
        return
    best = min(known, key=lambda one: _mean(one.trained(CHOSEN_BY)))
    tested = best.trained(HEADLINE)
    chosen = ", the lowest on validation," if len(known) > 1 else ""
    yield f"{called(best)}{chosen} has a test perplexity of {figure_text(tested, 2)}{_published(best, HEADLINE)}."
    first = next((one for one in known if one.row == "1"), None)
    if first is not None and first is not best:
        yield (f"{called(first)} has {figure_text(first.trained(HEADLINE), 2)}{_published(first, HEADLINE)}.")


def _published(one: Configuration, column: str, way: Decoding | None = None, digits: int = 2) -> str:
    """What stands behind a figure: the published one, and where it lies."""
    value = one.published_figure(column, way)
    if value is None:
        return ""
    ours = one.trained(column) if way is None else one.spoken(way, column)
    text = f"; published: {value:.{digits}f}"
    beyond = None if ours is None else ours.beyond(value)
    if beyond is None:
        seeds = ", and a single seed has no interval to hold it against" if len(one.trainings) == 1 else ""
        return f"{text}{seeds}"
    return f"{text}, {'inside' if beyond == 0 else 'outside'} our 95 % interval"


def _bleu(configurations: Sequence[Configuration]) -> Iterator[str]:
    spoken = [(one, way) for one in configurations for way in one.ways if one.spoken(way, "harmonic_bleu")]
    if not spoken:
        return
    one, way = max(spoken, key=lambda pair: _mean(pair[0].spoken(pair[1], "harmonic_bleu")))
    figure = one.spoken(way, "harmonic_bleu")
    yield (
        f"The best harmonic BLEU is {figure_text(figure, 3)}, of {called(one, small=True)} with {way.describe()}"
        f"{_published(one, 'harmonic_bleu', way, 3)}."
    )
    model = spoken[0][0]
    of_model = [way for known, way in spoken if known is model]
    good = max(of_model, key=lambda way: _mean(model.spoken(way, "forward_bleu")))
    rich = max(of_model, key=lambda way: _mean(model.spoken(way, "backward_bleu")))
    if good != rich:
        yield (
            f"{called(model)} says the best sentences (forward BLEU) with {good.describe()}, and the most of what"
            f" people say (backward BLEU) with {rich.describe()}: one is had at the cost of the other."
        )


def _mean(figure: Estimated | None) -> float:
    return float("nan") if figure is None else figure.mean


def called(one: Configuration, *, small: bool = False) -> str:
    """``Row 1 scratch-ppl``."""
    return f"{'row' if small else 'Row'} {one.label}"
