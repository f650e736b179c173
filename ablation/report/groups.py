"""Runs that differ only in their seeds, put together: the rows of the report's table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ablation.config.experiment import FIELDS, RANDOM, variant_settings
from ablation.config.flags import typed
from ablation.config.rows import ROWS, row_config
from ablation.results.read import Run
from ablation.words import plural

Seeds = tuple[int | None, int | None]


@dataclass
class Group:
    """All runs of one configuration on the same messages and weights, one per seed.

    Attributes:
        key: the configuration (:func:`ablation.results.read.variant_key`).
        name: what a reader calls it: "1", "B3", "2 with --weights random".
        runs: by seed and order seed, the newest where a seed was run twice.
    """

    key: str
    name: str
    runs: dict[Seeds, Run] = field(default_factory=dict)

    @property
    def first(self) -> Run:
        return next(iter(self.runs.values()))

    @property
    def is_baseline(self) -> bool:
        return self.first.seeds == (None, None)

    @property
    def is_published(self) -> bool:
        return not self.is_baseline and self.first.row != ""

    def values(self, column: str) -> Counter[str]:
        """How often each value of a column occurs among the runs."""
        return Counter(run[column] for run in self.runs.values())


def group_runs(runs: Iterable[Run], data_digest: str | None = None) -> tuple[list[Group], list[str]]:
    """Put runs together, and say what was left out.

    Runs on other messages than most (or than ``data_digest``) are never compared with the rest, and left out. Runs of
    a configuration with pretrained weights of other content than most of its runs are left out as well.

    Returns:
        The groups: published rows, baselines, variants; and one line for each thing left out.
    """
    runs = list(runs)
    notes = []
    digests = Counter(run["data_digest"] for run in runs)
    if runs and (data_digest is None or data_digest not in digests):
        data_digest = digests.most_common(1)[0][0]
    for digest, count in digests.items():
        if digest != data_digest:
            notes.append(
                f"{plural(count, 'run')} on other messages (data digest {digest[:8]}, this report is on"
                f" {str(data_digest)[:8]}): never compared, left out"
            )
    by_key: dict[str, list[Run]] = {}
    for run in runs:
        if run["data_digest"] == data_digest:
            by_key.setdefault(run.key, []).append(run)
    groups = []
    for key, members in by_key.items():
        group = Group(key, configuration_name(members[0]))
        weights = _usual_weights(members)
        repeats = 0
        for run in sorted(members, key=lambda run: run["timestamp_utc"]):
            if weights is not None and run["weights_digest"] != weights:
                notes.append(f"{run['run_id']}: weights {run['weights_digest'][:8]}, not {weights[:8]}; left out")
                continue
            repeats += run.seeds in group.runs
            group.runs[run.seeds] = run
        group.runs = dict(sorted(group.runs.items(), key=lambda item: tuple(-1 if s is None else s for s in item[0])))
        if repeats:
            notes.append(f"{group.name}: {plural(repeats, 'run')} repeated later with the same seed; the newest counts")
        groups.append(group)
    return sorted(groups, key=_position), notes


def _usual_weights(runs: list[Run]) -> str | None:
    """The pretrained weights of most of these runs; None where weights are drawn, or there are none."""
    if runs[0].settings.get("weights") == RANDOM or runs[0].seeds == (None, None):
        return None
    return Counter(run["weights_digest"] for run in runs).most_common(1)[0][0]


def _position(group: Group) -> tuple[int, int, str]:
    if group.is_published:
        return 0, int(group.name), ""
    if group.is_baseline:
        return 1, 0, group.name
    return 2, nearest_row(group.first.settings)[0], group.name


def configuration_name(run: Run) -> str:
    """A published row's number, a baseline's name, or the nearest row and the flags that differ from it."""
    if run.row:
        return run.row
    row, changes = nearest_row(run.settings)
    return f"{row} with {typed(changes)}"


def nearest_row(settings: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """The published row that differs from these settings in the fewest fields, and those fields with their values.

    Among equals a row that differs in its weights alone wins, then the lower number.
    """

    def changes(row: int) -> dict[str, Any]:
        other = variant_settings(row_config(row))
        return {
            name: settings.get(name, FIELDS[name].default)
            for name in FIELDS
            if settings.get(name) != other.get(name)
        }

    row = min(ROWS, key=lambda row: (len(changes(row)), set(changes(row)) != {"weights"}, row))
    return row, changes(row)
