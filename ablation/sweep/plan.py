"""The plan of a sweep: configurations with seeds, in an order in which runs that share features follow one another;
what it is made from, and what becomes of its runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Any

from ablation.config.experiment import ExperimentConfig, config_hash
from ablation.config.flags import CommandLine
from ablation.config.settings import CommonSettings, ConfigError
from ablation.execution.plan import make_plan
from ablation.run.progress_file import RunProgress
from ablation.sweep.lists import write_numbers, write_rows
from ablation.sweep.several import Values, as_flags, combinations, in_words

LOCAL, RAY = "local", "ray"  # the engines by name

ForeignDigests = Callable[[CommonSettings], Mapping[str, str]]


@dataclass(frozen=True)
class SweepOptions:
    """The sweep's own flags (``sweep.py --help`` says what each means), and those of the runner for every run.

    Attributes:
        jobs: None for as many as the machine can do.
    """

    rows: Sequence[int]
    seeds: Sequence[int]
    flags: tuple[str, ...]
    shard: tuple[int, int]
    jobs: int | None
    dry_run: bool
    quiet: bool
    retry_failed: bool
    engine: str
    ray_address: str
    num_cpus: int
    num_gpus: float

    @property
    def forced(self) -> bool:
        """Whether runs try even if memory looks too small."""
        return "--force" in self.flags


@dataclass(frozen=True)
class PlannedRun:
    """One run.

    Attributes:
        row: the row of the task that it starts from.
        config: of the task's own class.
        arguments: the runner's flags that mean its configuration.
        foreign: digests of its data and base weights, as far as they are other than the published ones.
        values: what it has of the settings that the sweep tries several values of.
    """

    row: int
    seed: int
    config: Any
    arguments: tuple[str, ...]
    foreign: Mapping[str, str] = field(default_factory=dict)
    values: Values = ()

    @property
    def hash(self) -> str:
        return config_hash(self.config, self.foreign)

    @property
    def name(self) -> str:
        return f"row {self.row}{in_words(self.values)}, seed {self.seed}"

    @property
    def short_name(self) -> str:
        """As :attr:`name`, with the values alone: for lines that say how far it is, too."""
        return ", ".join([f"row {self.row}", *(value for _, value in self.values), f"seed {self.seed}"])

    @property
    def variant(self) -> tuple[int, Values]:
        """What it is, whichever seed it has."""
        return self.row, self.values


class Status(StrEnum):
    """How a planned run ended, as people read it."""

    FINISHED = "finished"
    DONE_BEFORE = "done before"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """What became of a planned run.

    Attributes:
        message: why it failed or was skipped.
        headline: of a run that finished, the value of the metric that the sweep shows.
        log: what a failed run said.
    """

    run: PlannedRun
    status: Status
    message: str = ""
    seconds: float = 0.0
    headline: float | None = None
    log: Path | None = None


@dataclass(frozen=True)
class UnderWay:
    """A run that is going on.

    Attributes:
        log: what it says goes there.
        seconds: since its process was started.
        progress: what it has said of itself so far.
    """

    run: PlannedRun
    log: Path
    seconds: float
    progress: RunProgress | None


Watcher = Callable[[Sequence[UnderWay]], None]  # is shown what is under way, again and again


def write_runs(runs: Sequence[PlannedRun]) -> str:
    """Which runs they are, in few words: ``row 1, seeds 123-125; row 3, learning_rate 1e-3, seed 123``."""
    seeds: dict[tuple[int, Values], list[int]] = {}
    for run in runs:
        seeds.setdefault(run.variant, []).append(run.seed)
    rows: dict[str, list[int]] = {}
    for (row, values), own in seeds.items():
        rows.setdefault(f"{in_words(values)}, seed{'s' * (len(own) > 1)} {write_numbers(own)}", []).append(row)
    return "; ".join(f"{write_rows(some)}{own}" for own, some in rows.items())


# ---- the plan -------------------------------------------------------------------------------------------------------


def plan_runs(
    command: CommandLine,
    rows: Sequence[int],
    seeds: Sequence[int],
    flags: Sequence[str],
    foreign_of: ForeignDigests = lambda config: {},
    settle: Callable[[Any], Any] = lambda config: config,
) -> tuple[list[PlannedRun], list[str]]:
    """Rows times seeds times the values that settings have, with the runner's ``flags`` on each.

    Args:
        command: the runner's.
        foreign_of: digests of data and base weights that are not the published ones. (Seeds change neither, so it is
            asked once for a row and its values.)
        settle: makes a configuration what its data let a run of it be; asked as often.

    Returns:
        The runs in order, and one line for all seeds of what is another's double (flags can make rows equal).

    Raises:
        ConfigError: all problems of all runs together, each once.
    """
    planned = _read_commands(command, rows, seeds, flags, settle)
    foreign: dict[tuple[int, Values], Mapping[str, str]] = {}
    runs: dict[str, PlannedRun] = {}
    doubles: dict[tuple[tuple[int, Values], ...], list[tuple[PlannedRun, PlannedRun]]] = {}
    for one in planned:
        if one.variant not in foreign:
            foreign[one.variant] = foreign_of(one.config)
        run = replace(one, foreign=foreign[one.variant])
        other = runs.setdefault(run.hash, run)
        if other is not run:
            doubles.setdefault((run.variant, other.variant), []).append((run, other))
    return together(list(runs.values())), [_double(*zip(*pairs, strict=True)) for pairs in doubles.values()]


def _double(runs: Sequence[PlannedRun], others: Sequence[PlannedRun]) -> str:
    same = "is the same as" if len(runs) == 1 else "are the same as"
    return f"{write_runs(runs)} {same} {write_runs(others)}; planned once"


def _read_commands(
    command: CommandLine,
    rows: Sequence[int],
    seeds: Sequence[int],
    flags: Sequence[str],
    settle: Callable[[Any], Any],
) -> list[PlannedRun]:
    """The run of each row, value and seed, foreign digests still missing."""
    runs: list[PlannedRun] = []
    problems: dict[str, list[int]] = {}  # with the rows that have them
    settled: dict[tuple[int, Values], Any] = {}
    variants, common = combinations(command, flags)
    for row, values, seed in product(rows, variants, seeds):
        arguments = ("--row", str(row), "--seed", str(seed), *common, *as_flags(values))
        try:
            config, _, _ = command.read(arguments)
            if (row, values) not in settled:
                settled[row, values] = settle(config)
            config = replace(settled[row, values], seed=seed)
            runs.append(PlannedRun(row, seed, config, arguments, values=values))
        except ConfigError as error:
            for problem in error.problems:
                problems.setdefault(problem, []).append(row)
    if problems:
        raise ConfigError(f"{write_rows(some)}: {problem}" for problem, some in problems.items())
    return runs


def feature_group(config: Any) -> Hashable:
    """Equal for runs that share features; None for runs that keep none, as all that are about no classifier."""
    return make_plan(config).feature_group if isinstance(config, ExperimentConfig) else None


def together(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Runs that share features one after the other, otherwise in the order given."""
    groups: dict[object, list[PlannedRun]] = {}
    for run in runs:
        group = feature_group(run.config)
        groups.setdefault(run.hash if group is None else group, []).append(run)
    return [run for group in groups.values() for run in group]


def shard_of(runs: Sequence[PlannedRun], part: int, parts: int) -> list[PlannedRun]:
    """Part ``part`` (from 1) of ``parts``: neighbours stay together, and the parts make up the plan."""
    return list(runs[(part - 1) * len(runs) // parts : part * len(runs) // parts])
