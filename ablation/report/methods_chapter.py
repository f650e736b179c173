"""The chapter on ways to fine-tune: what trained the same model on the same task, method by method, and what it cost.

It compares like with like: of runs whose model, reading and training are the same, and which differ in what trains
alone (and in its learning rate, for each method has its own).
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablation.config.method_settings import MethodSettings
from ablation.report.cells import NOTHING, number_in, shown, spread_text
from ablation.report.groups import DIGESTS, Group, condition
from ablation.report.point_labels import flag_in_words, in_words
from ablation.report.table import TableRow
from ablation.results.read import variant_key
from ablation.results.task import Task

TITLE = "Ways to fine-tune"
CHAPTER_PICTURES = ("methods_size", "methods_time", "methods_forgetting")  # by file name
SIZES = "sizes"  # a picture that has its place here, but may be of rows that begin no chapter
FEWEST = 2  # configurations with a method of their own: one is compared with nothing
OWN = {setting.name for setting in dataclasses.fields(MethodSettings)} | {"learning_rate", *DIGESTS}
DEFAULT_LAYERS = str(MethodSettings.trainable_layers).replace("_", " ")
BEFORE, AFTER = "perplexity_before", "perplexity_after"


@dataclass(frozen=True)
class Way:
    """One way to fine-tune: its runs, and its line of the results' table."""

    group: Group
    row: TableRow

    @property
    def label(self) -> str:
        """What it is in a few words, its row's number first; of the defaults, what of the model they train."""
        text = in_words(self.row).replace("the defaults", DEFAULT_LAYERS)
        method = self.group.first.settings.get("method")
        if self.row.row or method is None:
            return text
        row, _, changes = text.partition(" ")
        return f"{row} {flag_in_words('--method', method)}, {changes}"

    def figure(self, column: str) -> float | None:
        """The median over its runs of a column; None where a run has none."""
        values = [number_in(run[column]) for run in self.group.runs.values()]
        known = [value for value in values if value is not None]
        return statistics.median(known) if len(known) == len(values) else None

    @property
    def trained(self) -> float | None:
        return self.figure("trainable_parameters")

    @property
    def forgetting(self) -> float | None:
        """How many times the perplexity of held-out text has grown; None where no run measured it."""
        before, after = self.figure(BEFORE), self.figure(AFTER)
        return after / before if before and after else None


@dataclass(frozen=True)
class Table:
    """A table of the chapter: what it shows, its header, its lines, and how to read it."""

    title: str
    header: Sequence[str]
    lines: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Chapter:
    """See the module.

    Attributes:
        ways: in the order of the results' table.
        tables: what is shown of them besides the pictures.
        notes: what a reader has to know.
    """

    ways: Sequence[Way] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = field(default_factory=tuple)

    def __bool__(self) -> bool:
        return bool(self.ways)

    def place_of(self, picture: str) -> int | None:
        """Where among the chapter's pictures this one stands, by its name; None for what stands with the others."""
        places = {name: place for place, name in enumerate((*CHAPTER_PICTURES, SIZES))} if self else {}
        return places.get(picture)


def methods_chapter(task: Task, lines: Sequence[tuple[Group, TableRow]]) -> Chapter:
    """The chapter, or an empty one where there are too few ways to compare.

    Args:
        lines: groups whose runs all count, each with its line of the table.
    """
    kinds: dict[str, list[Way]] = {}
    for group, row in lines:
        if not group.first.is_baseline:
            kinds.setdefault(_kind(group), []).append(Way(group, row))
    ways = max(kinds.values(), key=_methods, default=[])
    if _methods(ways) < FEWEST:
        return Chapter()
    others = sum(_methods(kind) for kind in kinds.values()) - _methods(ways)
    notes = [f"{others} more on another model, data, readout or training are in the table alone."] if others else []
    return Chapter(ways, [table for make in TABLES if (table := make(task, ways)).lines], notes)


def _kind(group: Group) -> str:
    """What is the same for all ways that are compared: everything but what trains, and on the same data."""
    run = group.first
    same: dict[str, Any] = {name: value for name, value in run.settings.items() if name not in OWN}
    return variant_key({**same, **{name: run.settings.get(name) for name in DIGESTS}, **run.evaluation})


def _methods(ways: Sequence[Way]) -> int:
    return sum("method" in way.group.first.settings for way in ways)


# ---- tables ----------------------------------------------------------------------------------------------------------


def cost_table(task: Task, ways: Sequence[Way]) -> Table:
    """What each takes in training and at inference, beside what it gets."""
    headline = task.headline
    title = f"{headline.label.capitalize()} %" if headline.split else headline.label.capitalize()
    lines = [
        (way.label, spread_text(way.row.figures[headline.name]), *(text(way) for _, text in COSTS)) for way in ways
    ]
    return without_empty_columns(
        Table("What each costs", ("Row", title, *(name for name, _ in COSTS)), lines, COSTS_NOTE)
    )


def without_empty_columns(table: Table) -> Table:
    """Those alone in which a line has something to say."""
    columns = [i for i in range(len(table.header)) if any(line[i] != NOTHING for line in table.lines)]
    lines = [[line[i] for i in columns] for line in table.lines]
    return dataclasses.replace(table, header=[table.header[i] for i in columns], lines=lines)


def _count(column: str) -> Callable[[Way], str]:
    def text(way: Way) -> str:
        value = way.figure(column)
        return NOTHING if value is None else f"{value:,.0f}"

    return text


def _share(way: Way) -> str:
    trained, total = way.trained, way.figure("total_parameters")
    return f"{100 * trained / total:.3g}" if trained is not None and total else NOTHING


def _minutes(way: Way) -> str:
    """The median over runs, of each device and way of running."""
    minutes: dict[str, list[float]] = {}
    for run in way.group.runs.values():
        minutes.setdefault(condition(run), []).append(run.training_minutes)
    texts = [f"{statistics.median(values):.2f}" for values in minutes.values()]
    return texts[0] if len(texts) == 1 else "; ".join(f"{t} ({w})" for t, w in zip(texts, minutes, strict=True))


def _optimizer(way: Way) -> str:
    taken = way.figure("optimizer_bytes")
    return NOTHING if taken is None else f"{taken / 1e6:.3g}"


def _merges(way: Way) -> str:
    return {"True": "yes", "False": "no"}.get(way.group.first["merges"], NOTHING)


COSTS: tuple[tuple[str, Callable[[Way], str]], ...] = (
    ("Trained", _count("trainable_parameters")),
    ("Added", _count("added_parameters")),
    ("Of the model %", _share),
    ("Minutes", _minutes),
    ("Peak MB", _count("peak_memory_mb")),
    ("Optimizer MB", _optimizer),
    ("Merges", _merges),
    ("Merged +", _count("added_multiply_adds")),
    ("Unmerged +", _count("unmerged_multiply_adds")),
    ("Positions +", _count("added_positions")),
)
COSTS_NOTE = (
    "Medians over runs. Trained, added: parameters. Minutes: of training. Peak: of the process's memory. Optimizer: two"
    " moments of each parameter that trains. At inference: whether it merges into plain weights, the multiply-adds a"
    " token that it adds to the base merged (where it merges) and unmerged, and the positions that it puts before a"
    " message. A dash: those runs did not record it."
)


def ranks_table(task: Task, ways: Sequence[Way]) -> Table:
    """What a model is right on in each way to use it, where its method has several, as DyLoRA has one a rank."""
    headline = task.headline
    lines = [
        (way.label, use, str(len(shares)), _mean_text(shares, headline.scale))
        for way in ways
        for use, shares in _shares_by_use(way, headline.split).items()
    ]
    header = ("Row", "Used at", "Runs", f"{headline.label.capitalize()} %")
    return Table("One training, usable at every rank", header, lines, "Nothing is trained again: fewer ranks are read.")


def _shares_by_use(way: Way, split: str | None) -> dict[str, list[float]]:
    shares: dict[str, list[float]] = {}
    for run in way.group.runs.values():
        for use, counts in run.uses().items():
            if split is not None and split in counts:
                shares.setdefault(use, []).append(counts[split].accuracy)
    return shares


def _mean_text(shares: Sequence[float], scale: int) -> str:
    mean = f"{scale * statistics.fmean(shares):.2f}"
    return mean if len(shares) == 1 else f"{mean} ± {scale * statistics.stdev(shares):.2f}"


def forgetting_table(task: Task, ways: Sequence[Way]) -> Table:
    """What fine-tuning made of the base's own perplexity of held-out text."""
    headline = task.headline
    lines = [
        (way.label, shown(headline, way.row.figures[headline.name].mean),
         f"{way.figure(BEFORE):.4g}", f"{way.figure(AFTER):.4g}", f"{way.forgetting:.3g}")
        for way in ways
        if way.forgetting is not None
    ]  # fmt: skip
    header = ("Row", f"{headline.label.capitalize()} %", "Perplexity before", "After", "Times")
    note = "Of held-out text, under the base's own vocabulary head."
    found = {number_in(run[BEFORE]) for way in ways for run in way.group.runs.values()}
    if len({f"{before:.4g}" for before in found if before is not None}) > 1:  # of one base, one text has one
        note += " The figures before differ: these runs were asked on different texts, and cannot be compared."
    return Table("What each forgets", header, lines, note)


# What the chapter shows below its pictures; a table without lines is left out.
TABLES: tuple[Callable[[Task, Sequence[Way]], Table], ...] = (cost_table, ranks_table, forgetting_table)
