"""Runs that differ only in their seeds, put together: the rows of the report's table."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ablation.config.base_words import base_words
from ablation.config.experiment import RANDOM
from ablation.config.flags import typed
from ablation.config.settings import fields_of
from ablation.results.baseline_columns import FEW
from ablation.results.read import BASE, DATA_DIGEST, WEIGHTS_DIGEST, FinishedRun, Seeds, row_settings
from ablation.results.task import Likeness, Task
from ablation.words import plural

GPU = "NVIDIA"  # in the names of such devices
DIGESTS = {WEIGHTS_DIGEST: "weights", DATA_DIGEST: "data"}  # what a name says of them


@dataclass
class Group:
    """All runs of one configuration on the same data and weights, one per seed.

    Attributes:
        key: the configuration (:attr:`ablation.results.read.FinishedRun.key`).
        name: what a reader calls it: "1", "B3", "2 with --weights random", "1 with weights 1a2b3c4d".
        runs: by seed and order seed, the newest where a seed was run twice.
    """

    key: str
    name: str
    runs: dict[Seeds, FinishedRun] = field(default_factory=dict)

    @property
    def first(self) -> FinishedRun:
        return next(iter(self.runs.values()))

    @property
    def lost(self) -> list[FinishedRun]:
        """Its runs with a loss that is not finite."""
        return [run for run in self.runs.values() if run.lost_at is not None]

    @property
    def first_examples(self) -> int | None:
        """To how many of the training examples, the first ones, training was kept; None where it has all."""
        count = self.first.settings.get(FEW)
        return None if count is None else int(count)

    @property
    def whole_name(self) -> str:
        """Its name, however many examples it was trained on."""
        if self.first_examples is None:
            return self.name
        rest = {name: value for name, value in self.first.settings.items() if name != FEW}
        return configuration_name(dataclasses.replace(self.first, settings=rest))

    def own(self, likeness: Likeness | None) -> Likeness | None:
        """The likeness of examples, if it is that of this group's data."""
        if likeness is None or likeness.digest != self.first[DATA_DIGEST]:
            return None
        return likeness if self.first_examples is None else likeness.of_first(self.first_examples)


def group_runs(runs: Iterable[FinishedRun]) -> tuple[list[Group], list[str]]:
    """Put runs together.

    Returns:
        The groups: published rows, baselines, variants; and one line for each configuration with repeated runs.
    """
    by_key: dict[str, list[FinishedRun]] = {}
    for run in _told_apart(_told_apart(runs, WEIGHTS_DIGEST), DATA_DIGEST):
        by_key.setdefault(run.key, []).append(run)
    groups, notes = [], []
    for key, members in by_key.items():
        newest = {run.seeds: run for run in sorted(members, key=lambda run: run["timestamp_utc"])}
        in_order = sorted(newest.items(), key=lambda item: tuple(-1 if seed is None else seed for seed in item[0]))
        group = Group(key, configuration_name(members[0]), dict(in_order))
        if repeats := len(members) - len(newest):
            notes.append(f"{group.name}: {plural(repeats, 'run')} repeated later with the same seed; the newest counts")
        groups.append(group)
    return sorted(groups, key=_position), notes


def sound_groups(groups: Iterable[Group]) -> list[Group]:
    """The groups with those runs alone whose losses are finite; the others answer nothing."""
    kept = [
        dataclasses.replace(group, runs={seeds: run for seeds, run in group.runs.items() if run.lost_at is None})
        for group in groups
    ]
    return [group for group in kept if group.runs]


def condition(run: FinishedRun) -> str:
    """What a run's time depends on besides its configuration: device, threads, features at hand, execution."""
    words = run["device_name"]
    if run["threads"] and GPU not in words:
        words += f", {run['threads']} thread{'' if run['threads'] == '1' else 's'}"
    if run["features"] == "reused":
        words += ", features reused"
    if run["execution"] in ("naive", "recorded"):
        words += f", {run['execution']}"
    return words


def _told_apart(runs: Iterable[FinishedRun], column: str) -> list[FinishedRun]:
    """Runs of one configuration on other weights or data than most of its runs become a variant named by the digest.

    Older versions left the digests out of the hash, so their configurations may hold both. Runs that named a file of
    weights decide only where there are no others; a run that does not say what it was on stays with the rest.
    """
    runs = list(runs)

    def digest(run: FinishedRun) -> str:
        """Empty where it tells nothing: random weights have one per seed."""
        return "" if column == WEIGHTS_DIGEST and run["weights"] == RANDOM else run[column]

    counts: dict[str, Counter[str]] = {}
    for run in runs:
        named = column == WEIGHTS_DIGEST and run["weights_path"]
        if digest(run):
            counts.setdefault(run.key, Counter())[digest(run)] += 1 if named else len(runs)
    usual = {key: counter.most_common(1)[0][0] for key, counter in counts.items()}
    return [
        run
        if digest(run) in ("", usual.get(run.key))
        else dataclasses.replace(run, settings={**run.settings, column: run[column]})
        for run in runs
    ]


def _position(group: Group) -> tuple[int, int, str, int, str]:
    """Rows, baselines, variants; those on fewer training examples behind those on more that are the same otherwise."""
    last = group.whole_name, -(group.first_examples or sys.maxsize), group.name
    if group.first.is_baseline:
        return 1, 0, *last
    if group.first.row:
        return 0, int(group.first.row), *last
    return 2, nearest_row(group.first.task, group.first.settings)[0], *last


def configuration_name(run: FinishedRun) -> str:
    """A published row's number, a baseline's name, or the nearest row and what differs from it."""
    row: object
    changes: Mapping[str, Any]
    if run.row:
        row, changes = run.row, {}
    else:
        row, changes = (run["row"], run.settings) if run.is_baseline else nearest_row(run.task, run.settings)
    flags = typed({name: value for name, value in {**changes, **run.evaluation}.items() if name not in DIGESTS})
    differences = ", ".join(filter(None, [flags, *inputs_in_words(run, changes)]))
    return f"{row} with {differences}" if differences else str(row)


def inputs_in_words(run: FinishedRun, changes: Mapping[str, Any]) -> list[str]:
    """What names say of weights and data that are not the published ones: a language model's training, and digests."""
    base = base_of(run)
    words = [] if base is None else [base_words(base)]
    return words + [f"{what} {str(changes[column])[:8]}" for column, what in DIGESTS.items() if column in changes]


def base_of(run: FinishedRun) -> dict[str, Any] | None:
    """How the language model was trained that a run starts from: settings by name. None where it starts from none, or
    does not say, as an older version's."""
    try:
        found = json.loads(run[BASE])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def nearest_row(task: Task, settings: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """The published row that differs from these settings in the fewest fields, and those fields with their values.

    Among equals a row that differs in its weights alone wins, then the lower number.
    """
    defaults = {name: field.metadata["usual"] for name, field in fields_of(task.config_class).items()}
    defaults |= dict.fromkeys(DIGESTS)

    def changes(row: int) -> dict[str, Any]:
        other = row_settings(task, row)
        return {
            name: settings.get(name, default)
            for name, default in defaults.items()
            if settings.get(name) != other.get(name)
        }

    row = min(task.rows, key=lambda row: (len(changes(row)), set(changes(row)) != {"weights"}, row))
    return row, changes(row)
