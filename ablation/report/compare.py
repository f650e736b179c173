"""Two configurations side by side: the paired difference, other figures of both, and which examples changed sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ablation.report import significance
from ablation.report.cells import shown
from ablation.report.contents import Contents
from ablation.report.details import Details, class_names, details_of, probabilities
from ablation.report.groups import Group
from ablation.report.paired import Comparison as Paired
from ablation.report.paired import compare as compare_groups
from ablation.report.paired import paired_predictions, paired_runs
from ablation.report.table import TableRow
from ablation.results.questions import side_name
from ablation.results.task import PredictionsError


class ComparisonError(Exception):
    """Two configurations cannot be compared; the message says which and what to do."""


@dataclass(frozen=True)
class Change:
    """An example that the two do not get right equally often.

    Attributes:
        index: its place in the split, from 0.
        text: empty where the examples are not at hand.
        right: how many of the common runs of each get it right.
        probability: that each gives to the true class, mean over those runs.
    """

    index: int
    text: str
    label: str
    right: tuple[int, int]
    probability: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Two configurations of the same results.

    Attributes:
        names: what they are called in sentences.
        rows: their lines of the table, over all their own seeds.
        paired: of the second minus the first, over their common seeds.
        verdict: in words.
        figures: (what, of the first, of the second), nothing of which is tested.
        won, lost: what the second gets right more often, and less often, the largest change first.
    """

    task_title: str
    examples: str
    split: str
    names: tuple[str, str]
    rows: tuple[TableRow, TableRow]
    details: tuple[Details, Details]
    paired: Paired
    verdict: str
    figures: list[tuple[str, str, str]]
    won: list[Change]
    lost: list[Change]
    disclaimer: str = ""

    @property
    def headings(self) -> list[tuple[str, list[Change]]]:
        """The two lists of examples, each under a sentence that says what it holds."""
        first, second = self.names
        several = self.paired.seeds > 1
        how = "right in more runs" if several else "right only"
        return [
            (f"{how} with {better}: {len(found)} of the {self.split} {self.examples}", found)
            for better, found in ((second, self.won), (first, self.lost))
        ]


def find_row(contents: Contents, name: str) -> tuple[Group, TableRow]:
    """The configuration that a name means: one of the table, in full or as its first column has it, ``(16)``.

    Raises:
        ComparisonError: none is meant, or several are.
    """
    pairs = list(zip(contents.groups, contents.rows, strict=True))
    exact = [pair for pair in pairs if pair[0].name == name]
    nearest = [pair for pair in pairs if not pair[1].row and f"({pair[0].name.partition(' ')[0]})" == name]
    found = exact or nearest
    if len(found) == 1:
        return found[0]
    names = ", ".join(f'"{group.name}"' if " " in group.name else group.name for group in contents.groups)
    reason = "means several configurations" if found else "no results of that"
    if any(one.group.name == name for choice in contents.choices for one in choice.tried):
        reason = "another learning rate is chosen by validation, so no test figures of this one are shown"
    raise ComparisonError(f"--compare {name}: {reason}; there {'are' if names else 'is'} {names or 'none yet'}")


def compare(contents: Contents, first: str, second: str) -> Comparison:
    """Put two configurations side by side.

    Raises:
        ComparisonError: a name means none, or the two have nothing in common.
    """
    (group_a, row_a), (group_b, row_b) = find_row(contents, first), find_row(contents, second)
    task = contents.task
    paired = compare_groups(task, group_b, group_a, contents.likeness)
    if paired.difference is None:
        raise ComparisonError(f"--compare {first} {second}: {paired.method}")
    details = tuple(
        details_of(task, group, row, contents.likeness) for group, row in ((group_a, row_a), (group_b, row_b))
    )
    won, lost = _changes(contents, group_a, group_b)
    margin = max((question.family.margin for question in task.questions), default=0.0)
    names = _called(group_a), _called(group_b)
    return Comparison(
        task.title, task.examples, task.splits[-1], names, (row_a, row_b), (details[0], details[1]), paired,
        _verdict(paired, names, margin), _figures(details[0], details[1]), won, lost,
        contents.disclaimer,
    )  # fmt: skip


def _called(group: Group) -> str:
    return group.name if group.first.is_baseline else side_name(group.name)


def _verdict(paired: Paired, names: tuple[str, str], margin: float) -> str:
    if paired.p is None or paired.interval is None:
        return significance.few_seeds(paired.by_seed, first=names[1], second=names[0])
    return significance.verdict(paired.interval, paired.p, first=names[1], second=names[0], margin=margin)


def _figures(first: Details, second: Details) -> list[tuple[str, str, str]]:
    """Figures of both over all their own seeds."""
    lines = [
        (_unit(metric.title, metric.scale), shown(metric, figures.mean), shown(metric, second.row.figures[name].mean))
        for name, figures in first.row.figures.items()
        for metric in (figures.metric,)
    ]
    if first.classes and second.classes:
        name = first.classes[-1].name
        for figure in ("precision", "recall", "f1"):
            one, other = (np.mean(getattr(side.classes[-1], figure)) for side in (first, second))
            lines.append((f"{figure.replace('f1', 'F1')} of {name}, %", f"{100 * one:.2f}", f"{100 * other:.2f}"))
    if first.areas and second.areas:
        lines.append(("area under the ROC curve", f"{np.mean(first.areas):.4f}", f"{np.mean(second.areas):.4f}"))
    minutes = [" / ".join(f"{value:.2f}" for value in side.row.minutes.values()) for side in (first, second)]
    lines.append(("training time, minutes", minutes[0], minutes[1]))
    lines.append(("seeds", str(len(first.row.seeds)), str(len(second.row.seeds))))
    return lines


def _unit(title: str, scale: int) -> str:
    return f"{title}, %" if scale == 100 else title


def _changes(contents: Contents, first: Group, second: Group) -> tuple[list[Change], list[Change]]:
    split = contents.task.splits[-1]
    try:
        pairs = [paired_predictions(a, b, split) for a, b in paired_runs(first, second)]
    except PredictionsError as error:
        raise ComparisonError(f"--compare {first.name} {second.name}: {error}") from None
    labels = pairs[0][0].labels
    everyone = np.arange(len(labels))
    right = np.array([[side.correct for side in pair] for pair in pairs]).sum(0)  # (2, N)
    sure = np.mean([[probabilities(side)[everyone, labels] for side in pair] for pair in pairs], axis=0)  # (2, N)
    own = first.own(contents.likeness)
    texts = own.texts.get(split, ()) if own else ()
    names = class_names([pairs[0][0]])
    change = right[1] - right[0]
    order = sorted(map(int, np.flatnonzero(change)), key=lambda i: (-abs(change[i]), -abs(sure[1, i] - sure[0, i]), i))
    found = [
        Change(
            i, texts[i] if len(texts) == len(labels) else "", names[labels[i]],
            (int(right[0, i]), int(right[1, i])), (float(sure[0, i]), float(sure[1, i])),
        )
        for i in order
    ]  # fmt: skip
    return [c for c in found if c.right[1] > c.right[0]], [c for c in found if c.right[1] < c.right[0]]


def page_name(comparison: Comparison) -> str:
    """``compare_1_16.html``: the file beside the report."""
    first, second = (details.anchor.removeprefix("row-") for details in comparison.details)
    return f"compare_{first}_{second}.html"
