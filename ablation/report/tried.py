"""What is said of learning rates that were tried: a small table without test figures, and sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ablation.config.flags import typed
from ablation.report.chosen import RATE, Choice, Tried, without
from ablation.report.groups import DIGESTS, inputs_in_words, nearest_row
from ablation.report.suggestions import Suggestions
from ablation.results.questions import Family
from ablation.words import in_ranges, plural

NOTHING = "–"
TITLE = "Learning rates tried"
RULE = (
    "Of several learning rates of a method the one with the best mean validation accuracy stands for it, among equals"
    " the one with the lowest last validation loss. Test figures choose nothing, so they are shown for the chosen one"
    " alone; a row that published figures stand beside keeps its line in the table."
)


@dataclass(frozen=True)
class TriedTable:
    """The rates of one configuration, to be read.

    Attributes:
        name: of the configuration, without its rate.
        rows: a line of cells per rate, under ``titles``.
        sentences: what is chosen, and what to know.
        command: what to run next; empty if nothing.
    """

    name: str
    titles: tuple[str, ...]
    rows: list[tuple[str, ...]]
    sentences: list[str]
    command: str


def tried_tables(choices: Iterable[Choice], suggest: Suggestions) -> list[TriedTable]:
    return [_table(choice, suggest) for choice in choices]


def own_rate_note(choice: Choice) -> str:
    """Why questions about a row are not answered from the rate that is chosen; empty where they are."""
    if choice.row is None or choice.chosen is None or choice.row is choice.chosen:
        return ""
    return (
        f"questions about row {choice.row.group.first.row} are answered from its own learning rate,"
        f" {choice.row.rate:g}, declared before any result; by validation {choice.chosen.rate:g} is chosen"
    )


def _table(choice: Choice, suggest: Suggestions) -> TriedTable:
    metric = choice.metric
    percent = ", %" if metric.split else ""
    titles = ("Learning rate", "Seeds", f"Mean {metric.title}{percent}", "Mean validation loss", "Chosen")
    rows = [_cells(choice, one) for one in choice.tried]
    command = _command(choice, suggest)
    return TriedTable(_name(choice), titles, rows, _sentences(choice), command)


def _cells(choice: Choice, one: Tried) -> tuple[str, ...]:
    figure = NOTHING if one.figure is None else f"{choice.metric.scale * one.figure:.2f}"
    if one.group.lost:
        figure = "loss not finite"
    loss = f"{one.loss:.4f}" if math.isfinite(one.loss) else NOTHING
    mark = "chosen" if choice.next_rate is None else "chosen, at the edge"
    return f"{one.rate:g}", str(len(one.group.runs)), figure, loss, mark if one is choice.chosen else ""


def _sentences(choice: Choice) -> list[str]:
    rates = ", ".join(f"{one.rate:g}" for one in choice.tried)
    if choice.chosen is None:
        return [f"Tried: {rates}. None is chosen: no seed is common to all; run each with the same seeds."]
    seeds = f"{len(choice.seeds)} common seed{'s' * (len(choice.seeds) > 1)}"
    sentences = [f"Tried: {rates}, compared over {seeds}. Chosen: {choice.chosen.rate:g}."]
    if missing := {own for one in choice.tried for own in one.group.runs} - choice.chosen.group.runs.keys():
        lacking = f"Not run at it, or failed: {plural(len(missing), 'seed')} of other rates"
        sentences.append(f"{lacking}; a run that fails leaves no results, so a rate can look better than it is.")
    if choice.next_rate is not None:
        which = "largest" if choice.is_largest else "smallest"
        beyond = f"The best of those tried is the {which}: a better one may lie beyond; try {choice.next_rate:g}."
        sentences.append(beyond)
    if note := own_rate_note(choice):
        sentences.append(f"{note[0].upper()}{note[1:]}.")
    return sentences


def _nearest(choice: Choice) -> tuple[int, dict[str, object], Tried]:
    """The row that the configuration is nearest to whatever its rate, what else differs, and a rate that says so."""
    found = [(*nearest_row(choice.task, one.group.first.settings), one) for one in choice.tried]
    row, changes, one = min(found, key=lambda each: len(each[1]))
    return row, without(changes, [RATE]), one


def _name(choice: Choice) -> str:
    """``Row 28``, or ``Row 28 with --prefix_length 5, data 1a2b3c4d``."""
    row, changes, one = _nearest(choice)
    first = one.group.first
    differences = [typed({**without(changes, DIGESTS), **first.evaluation}), *inputs_in_words(first, changes)]
    return f"Row {row}" + (f" with {', '.join(filter(None, differences))}" if any(differences) else "")


def _command(choice: Choice, suggest: Suggestions) -> str:
    """What to run next: the rate beyond the edge, or all of them where none can be chosen."""
    row, changes, one = _nearest(choice)
    flags = without(changes, DIGESTS)
    if one.group.first["weights_path"]:
        flags["weights_path"] = one.group.first["weights_path"]
    rates: Sequence[float] = [one.rate for one in choice.tried] if choice.chosen is None else []
    if choice.next_rate is not None:
        rates = [choice.next_rate]
    if not rates:
        return ""
    family = Family("", 0.0, {**flags, RATE: ",".join(f"{rate:g}" for rate in rates)})
    seeds = sorted({seed for (seed, _) in choice.seeds if seed is not None})
    return suggest.sweep([str(row)], family, in_ranges(seeds)) if seeds else suggest.sweep([str(row)], family)
