"""Which learning rate stands for a method: the one whose mean validation accuracy is best, among those that were tried.

Test figures choose nothing, and those of the others are not shown. Statistics alone; what is said of them is in
:mod:`ablation.report.tried`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ablation.config.settings import fields_of
from ablation.report.groups import Group
from ablation.results.read import FinishedRun, Seeds, variant_key
from ablation.results.task import Metric, Task

RATE = "learning_rate"


@dataclass(frozen=True)
class Tried:
    """One learning rate of a method.

    Attributes:
        figure: mean over the common seeds of the metric that chooses; None where there are none.
        loss: mean over them of the last validation loss; infinite where a run kept none.
    """

    rate: float
    group: Group
    figure: float | None
    loss: float


@dataclass(frozen=True)
class Choice:
    """The learning rates that were tried of one configuration, all else equal.

    Attributes:
        metric: that chooses.
        tried: in the order of their rates, at least two.
        seeds: those that every rate has which can be chosen.
    """

    task: Task
    metric: Metric
    tried: Sequence[Tried]
    seeds: Sequence[Seeds]

    @cached_property
    def chosen(self) -> Tried | None:
        """The best figure, the lowest loss among equals, the lowest rate among equals of these. None without a common
        seed. A rate with a run whose loss is not finite is never chosen."""
        sign = -1 if self.metric.more_is_better else 1
        order = {
            (round(sign * one.figure, 12), one.loss, one.rate): one
            for one in self.tried
            if one.figure is not None and not one.group.lost
        }
        return order[min(order)] if order else None

    @property
    def row(self) -> Tried | None:
        """The one that is a numbered row with its own rate, declared before any result; None if it was not tried."""
        return next((one for one in self.tried if one.group.first.row), None)

    @property
    def next_rate(self) -> float | None:
        """What to try next where the best is the smallest or the largest: as far off as its neighbour; None within."""
        rates = [one.rate for one in self.tried]
        if self.chosen is None or self.chosen.rate not in (rates[0], rates[-1]):
            return None
        beside = rates[1] if self.chosen.rate == rates[0] else rates[-2]
        return float(f"{self.chosen.rate**2 / beside:.2g}")

    @property
    def is_largest(self) -> bool:
        return self.chosen is self.tried[-1]


def rate_of(task: Task, run: FinishedRun) -> float:
    """The learning rate of a run; what all rows have where the settings do not say."""
    return float(run.settings.get(RATE, fields_of(task.config_class)[RATE].metadata["usual"]))


def without(settings: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    names = set(names)
    return {name: value for name, value in settings.items() if name not in names}


def choose(task: Task, groups: Iterable[Group]) -> list[Choice]:
    """A choice for every configuration of which several learning rates were tried, in the order of the groups."""
    families: dict[str, list[Group]] = {}
    for group in groups:
        if not group.first.is_baseline:
            run = group.first
            families.setdefault(variant_key({**without(run.settings, [RATE]), **run.evaluation}), []).append(group)
    return [_choice(task, family) for family in families.values() if len(family) > 1]


def _choice(task: Task, family: Sequence[Group]) -> Choice:
    sound = [group for group in family if not group.lost]
    seeds = [one for one in sound[0].runs if all(one in group.runs for group in sound)] if sound else []
    tried = [_tried(task, group, [] if group.lost else seeds) for group in family]
    return Choice(task, task.chooser, sorted(tried, key=lambda one: one.rate), seeds)


def _tried(task: Task, group: Group, seeds: Sequence[Seeds]) -> Tried:
    runs = [group.runs[one] for one in seeds]
    figure = statistics.fmean(run.values[task.chooser.name] for run in runs) if runs else None
    loss = statistics.fmean(map(last_validation_loss, runs)) if runs else math.inf
    return Tried(rate_of(task, group.first), group, figure, loss)


def last_validation_loss(run: FinishedRun) -> float:
    """Of the last evaluation during training; infinite if the run kept no losses."""
    losses = run.losses()
    return math.inf if losses is None else float(losses["validation_loss"].iloc[-1])


def shown_groups(task: Task, groups: Iterable[Group], choices: Iterable[Choice]) -> list[Group]:
    """The groups whose test figures are shown: of several rates the chosen one alone (where no seed is common to them,
    and so none is chosen, the row's own, which was declared before any result), and a row that published figures stand
    beside, whatever is chosen."""
    published = task.published()
    hidden = {
        one.group.key
        for choice in choices
        for one in choice.tried
        if one is not choice.chosen and one.group.first.row not in published
        and not (choice.chosen is None and one.group.first.row)
    }
    return [group for group in groups if group.key not in hidden]
