"""What one configuration did, for its own part of the page: curves, mistakes, and every seed by itself.

Figures of classes come from scikit-learn; all are of the last split, the one that questions are about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ablation.report.charts import Chart, Points, line_chart
from ablation.report.groups import Group
from ablation.report.table import TableRow
from ablation.results.read import FinishedRun
from ablation.results.task import Likeness, Predictions, PredictionsError, Task


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is told from the others, one value per seed, as fractions."""

    name: str
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]


@dataclass(frozen=True)
class Mistake:
    """An example that at least one run got wrong.

    Attributes:
        index: its place in the split, from 0.
        text: empty where the examples are not at hand.
        said: what it was most often taken for.
        probability: that the runs that took it for that gave to it, mean.
        wrong: how many runs were.
    """

    index: int
    text: str
    label: str
    said: str
    probability: float
    wrong: int


@dataclass(frozen=True)
class Details:
    """One configuration's part of the page.

    Attributes:
        anchor: what links to it end in.
        confusion: (C, C) examples of a class (line) that were taken for a class (column), mean over seeds.
        classes: names with precision, recall and F1.
        areas: under the ROC curve, one per seed, empty where a class has no example; of more than two classes the mean
            over each against all others.
        seeds: a line per run, the cells below :func:`seed_columns`.
        problem: why there is nothing but the seeds.
    """

    row: TableRow
    anchor: str
    seeds: list[tuple[str, ...]]
    losses: Chart | None = None
    roc: Chart | None = None
    names: tuple[str, ...] = ()
    confusion: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    classes: list[ClassFigures] = field(default_factory=list)
    areas: tuple[float, ...] = ()
    mistakes: list[Mistake] = field(default_factory=list)
    problem: str = ""


def anchor_of(name: str) -> str:
    """``row-16``, ``row-1-with-weights-random``: what the part of this configuration is called in links."""
    return "row-" + "-".join(re.findall(r"[A-Za-z0-9.]+", name))


def details_of(task: Task, group: Group, row: TableRow, likeness: Likeness | None) -> Details:
    """Everything that a configuration's part of the page shows."""
    seeds = [_seed_line(task, run, name) for run, name in zip(group.runs.values(), row.seeds, strict=True)]
    basis = Details(row, anchor_of(group.name), seeds, losses=loss_chart(group))
    split = task.splits[-1]
    try:
        answers = [run.predictions(split) for run in group.runs.values()]
    except PredictionsError as error:
        return replace(basis, problem=str(error))
    own = group.own(likeness)
    names = class_names(answers)
    return replace(
        basis,
        names=names,
        confusion=confusion(answers),
        classes=class_figures(answers, names),
        areas=roc_areas(answers),
        roc=roc_chart(answers, row.seeds, names),
        mistakes=mistakes_of(answers, names, own.texts.get(split, ()) if own else ()),
    )


def class_names(answers: Sequence[Predictions]) -> tuple[str, ...]:
    """One per class; numbers where the task names other than it has."""
    count = answers[0].logits.shape[1]
    names = answers[0].names
    return names if len(names) == count else tuple(map(str, range(count)))


def probabilities(answers: Predictions) -> NDArray[np.float64]:
    """(N, C), from the logits."""
    return softmax(answers.logits, axis=1)


# ---- figures ---------------------------------------------------------------------------------------------------------


def said_by(answers: Predictions) -> NDArray[np.int64]:
    """(N,) the class with the largest logit, the first among equals."""
    return answers.logits.argmax(1)


def confusion(answers: Sequence[Predictions]) -> NDArray[np.float64]:
    """(C, C): the mean over runs of how many examples of a class (line) were taken for a class (column)."""
    from sklearn.metrics import confusion_matrix

    classes = range(answers[0].logits.shape[1])
    return np.mean([confusion_matrix(one.labels, said_by(one), labels=classes) for one in answers], axis=0)


def class_figures(answers: Sequence[Predictions], names: Sequence[str]) -> list[ClassFigures]:
    """Precision, recall and F1 of each class; 0 where a class is never said or has no example."""
    from sklearn.metrics import precision_recall_fscore_support

    runs = [
        precision_recall_fscore_support(one.labels, said_by(one), labels=range(len(names)), zero_division=0.0)[:3]
        for one in answers
    ]
    return [
        ClassFigures(name, *(tuple(float(run[figure][i]) for run in runs) for figure in range(3)))
        for i, name in enumerate(names)
    ]


def _has_curve(answers: Sequence[Predictions]) -> bool:
    """Whether every class has an example and all logits are numbers, which those of a run that broke down are not."""
    every = len(np.unique(answers[0].labels)) == answers[0].logits.shape[1]
    return every and all(np.isfinite(one.logits).all() for one in answers)


def roc_areas(answers: Sequence[Predictions]) -> tuple[float, ...]:
    """The area under the ROC curve of each run; none where there is no curve."""
    from sklearn.metrics import roc_auc_score

    count = answers[0].logits.shape[1]
    if not _has_curve(answers):
        return ()
    areas = []
    for one in answers:
        scores = probabilities(one)
        if count == 2:
            areas.append(roc_auc_score(one.labels, one.logits[:, 1] - one.logits[:, 0]))
        else:
            areas.append(roc_auc_score(one.labels, scores, multi_class="ovr"))
    return tuple(map(float, areas))


def roc_chart(answers: Sequence[Predictions], seeds: Sequence[str], names: Sequence[str]) -> Chart | None:
    """The ROC curves of two classes, one per run, the last class being the one to find; None for more classes."""
    from sklearn.metrics import roc_curve

    if len(names) != 2 or not _has_curve(answers):
        return None
    curves: list[tuple[str, Points]] = [("chance", [(0.0, 0.0), (1.0, 1.0)])]
    for one in answers:
        false, true, _ = roc_curve(one.labels, one.logits[:, 1] - one.logits[:, 0])
        curves.append(("first" if len(answers) == 1 else "first thin", list(zip(false, true, strict=True))))
    ours = "this row" if len(seeds) == 1 else f"its {len(seeds)} seeds"
    return line_chart(
        "ROC curve",
        (f"share of {names[0]} taken for {names[1]}", f"share of {names[1]} found"),
        curves,
        (("first", ours), ("chance", "guessing")),
        limits=(1.0, 1.0),
    )


def loss_chart(group: Group) -> Chart | None:
    """Losses during training over batches, each seed's; None where no run kept any."""
    tables = [table for run in group.runs.values() if (table := run.losses()) is not None]
    if not tables:
        return None
    thin = "" if len(tables) == 1 else " thin"
    lines: list[tuple[str, Points]] = [
        (style + thin, list(zip(table["step"], table[column], strict=True)))
        for column, style in (("validation_loss", "second"), ("train_loss", "first"))
        for table in tables
    ]
    keys = (("first", "training"), ("second", "validation"))
    return line_chart("Loss during training", ("batches", "cross-entropy loss"), lines, keys)


# ---- examples and seeds ----------------------------------------------------------------------------------------------


def mistakes_of(answers: Sequence[Predictions], names: Sequence[str], texts: Sequence[str]) -> list[Mistake]:
    """What any run got wrong: those that most runs did first, then those that they were surest of."""
    labels = answers[0].labels
    wrong = np.array([1 - one.correct for one in answers])
    said, sure = np.array([said_by(one) for one in answers]), np.array([probabilities(one).max(1) for one in answers])
    found = []
    for i in map(int, np.flatnonzero(wrong.any(0))):
        whose = wrong[:, i].astype(bool)
        most = int(np.bincount(said[whose, i]).argmax())
        probability = float(sure[whose & (said[:, i] == most), i].mean())
        text = texts[i] if len(texts) == len(labels) else ""
        found.append(Mistake(i, text, names[labels[i]], names[most], probability, int(whose.sum())))
    return sorted(found, key=lambda mistake: (-mistake.wrong, -mistake.probability, mistake.index))


def seed_columns(task: Task) -> list[str]:
    """The header of the runs' lines."""
    titles = [f"{metric.label.capitalize()}{' %' if metric.split else ''}" for metric in task.metrics]
    return ["Seed", *titles, "Minutes", "Device", "Folder"]


def _seed_line(task: Task, run: FinishedRun, seed: str) -> tuple[str, ...]:
    values = (f"{metric.scale * run.values[metric.name]:.2f}" for metric in task.metrics)
    return seed or "none", *values, f"{run.training_minutes:.2f}", run["device_name"], run["run_id"]
