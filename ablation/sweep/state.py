"""What the results already hold of a plan, what failed before, and how long the rest will take."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablation.config.experiment import config_hash, variant_settings
from ablation.config.settings import RANDOM, CommonSettings
from ablation.listener import Listener
from ablation.results.read import FinishedRun, read_results, variant_key
from ablation.results.runs import complete
from ablation.results.task import Metric, Task
from ablation.run.estimate import has_kept_features
from ablation.sweep.failures import failed_from, failure_of, inputs_of, reason
from ablation.sweep.machine import as_run_here
from ablation.sweep.plan import LOCAL, Outcome, PlannedRun, Status, SweepOptions, feature_group
from ablation.sweep.several import RATE

# ---- what a run here would record -----------------------------------------------------------------------------------


def foreign_of(task: Task, config: CommonSettings) -> Mapping[str, str]:
    """Digests that a run here would have in its identity: those of data or base weights that were not published."""
    from ablation.run.inputs import foreign_digests  # brings torch, which a wrong command does without

    return foreign_digests(task, config)


def settled(task: Task, config: CommonSettings) -> Any:
    """The configuration that a run here would have, as far as its data are at hand."""
    from ablation.run.inputs import EXPECTED_FAILURES  # brings torch, too

    try:
        return task.settled(config)
    except EXPECTED_FAILURES:
        return config  # what is wrong is said where inputs are looked at


def data_settings(task: Task, config: CommonSettings) -> tuple[Hashable, ...]:
    """Equal for runs of a sweep that work on the same data."""
    return config.demo, *(getattr(config, name) for name in task.data_settings)


@dataclass
class Digests:
    """What the runs of this sweep would record of data and weights, as far as it is at hand; None where not.

    Attributes:
        data: of a configuration's data.
    """

    data: Callable[[Any], str | None]
    _weights: dict[tuple[str, str | None], str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task) -> Digests:
        """Those of a task's runs; data that several runs share are read once."""
        known: dict[Hashable, str | None] = {}

        def data(config: CommonSettings) -> str | None:
            key = data_settings(task, config)
            if known.get(key) is None:  # what is missing may have been fetched since
                known[key] = task.data_digest(config)
            return known[key]

        return cls(data)

    def weights(self, config: CommonSettings) -> str | None:
        """The digest of weights from a file; None for random ones (the configuration says all of them) and for files
        that are not here yet."""
        if config.weights == RANDOM:
            return None
        key = config.model_size, config.weights_path
        if self._weights.get(key) is None:  # what is missing may have been fetched since
            self._weights[key] = _digest_of_weights(config)
        return self._weights[key]


def _digest_of_weights(config: CommonSettings) -> str | None:
    from ablation.run.inputs import EXPECTED_FAILURES, open_weights

    try:
        return open_weights(dataclasses.replace(config, offline=True), Listener()).digest()
    except (*EXPECTED_FAILURES, OSError):
        return None  # the run itself will say what is wrong


# ---- what is done ---------------------------------------------------------------------------------------------------


def finished_runs(results_dir: Path, task: Task) -> dict[str, list[FinishedRun]]:
    """The readable lines of the results by configuration hash; a run whose folder is there has its line, too.

    Raises:
        ResultsError: the results are damaged, or cannot be written.
    """
    complete(results_dir, task)
    by_hash: dict[str, list[FinishedRun]] = {}
    for run in read_results(results_dir, task)[0]:
        by_hash.setdefault(run["config_hash"], []).append(run)
    return by_hash


def result_of(
    planned: PlannedRun, finished: Mapping[str, Sequence[FinishedRun]], digests: Digests
) -> FinishedRun | None:
    """The newest result of a planned run on these data and weights, if there is one. A run whose loss was not finite,
    as older versions kept it, is none: the report answers nothing from it, and asks for another.

    Rows from before foreign digests were in the hash have the configuration's own; what they trained from is told by
    their digests alone.
    """
    hashes = dict.fromkeys((config_hash(planned.config), planned.hash))
    candidates = [run for one in hashes for run in finished.get(one, ())]
    alike = (run for run in reversed(candidates) if _same_data_and_base(planned, run, digests))
    return next((run for run in alike if run.lost_at is None), None)


def _same_data_and_base(planned: PlannedRun, run: FinishedRun, digests: Digests) -> bool:
    data = digests.data(planned.config)
    if data is not None and run["data_digest"] != data:
        return False
    weights = digests.weights(planned.config)
    if weights is None:  # nothing to compare with; but a run that names a file has a base of its own
        return not run["weights_path"]
    return run["weights_digest"] == weights


@dataclass(frozen=True)
class Results:
    """A results folder as a sweep asks it; other sweeps may write there too, so every question reads it anew.

    Attributes:
        metric: what the sweep shows of its runs.
    """

    folder: Path
    task: Task
    digests: Digests
    metric: Metric

    @classmethod
    def of(cls, task: Task, plan: Sequence[PlannedRun]) -> Results:
        """Of a plan. Where it tries several learning rates, it shows what may choose among them, and no figures that
        questions are about."""
        config = plan[0].config
        tries_rates = RATE in dict(plan[0].values)
        metric = task.chooser if tries_rates else task.headline
        return cls(Path(config.results_dir), task, Digests.of(task), metric)

    def headlines(self, runs: Iterable[PlannedRun]) -> dict[str, float]:
        """By hash of those of the runs that are done, the value of the metric that is shown."""
        finished = finished_runs(self.folder, self.task)
        results = {run.hash: result_of(run, finished, self.digests) for run in runs}
        return {key: result.values[self.metric.name] for key, result in results.items() if result is not None}

    def inputs_of(self, run: PlannedRun) -> str:
        """A digest of what a run goes from, as it is now."""
        return inputs_of(run, self.digests.data(run.config), self.digests.weights(run.config))


@dataclass(frozen=True)
class SweepState:
    """How far a plan has come. Every planned run is done, failed before, or to run.

    Attributes:
        done: by hash, the value of the metric that is shown.
        failed: by hash, the log of a run that failed before from the same inputs and is not tried again.
        estimates: by hash of runs to do, seconds if earlier runs can tell.
    """

    planned: Sequence[PlannedRun]
    done: Mapping[str, float]
    failed: Mapping[str, Path]
    to_run: Sequence[PlannedRun]
    estimates: Mapping[str, float | None]


def survey(results: Results, plan: Sequence[PlannedRun], options: SweepOptions, start_up: float = 0.0) -> SweepState:
    """Hold a plan against the results.

    Args:
        start_up: seconds that a run takes until it begins.
    """
    done = results.headlines(plan)
    left = [run for run in plan if run.hash not in done]
    logs = {} if options.retry_failed else {run.hash: (run, failure_of(run, results.folder)) for run in left}
    failed = {key: log for key, (run, log) in logs.items() if log.exists() and failed_from(log, results.inputs_of(run))}
    to_run = [run for run in left if run.hash not in failed]
    return SweepState(plan, done, failed, to_run, estimate_all(results, to_run, options, start_up))


def earlier_outcomes(state: SweepState) -> list[Outcome]:
    """What became of the runs that are not to run."""
    runs = {run.hash: run for run in state.planned}
    return [
        *(Outcome(runs[key], Status.DONE_BEFORE, headline=value) for key, value in state.done.items()),
        *(Outcome(runs[key], Status.FAILED, reason(log), log=log) for key, log in state.failed.items()),
    ]


# ---- estimates ------------------------------------------------------------------------------------------------------


def estimate_all(
    results: Results, runs: Sequence[PlannedRun], options: SweepOptions, start_up: float
) -> dict[str, float | None]:
    """By hash of each run the seconds it will take as a process of this sweep, None where no finished run can tell. Of
    runs that share features only the first computes them, unless they are kept already."""
    if options.engine != LOCAL:  # other machines have their own pace
        return dict.fromkeys(run.hash for run in runs)
    from ablation.run.kinds import estimate_seconds

    task, finished = results.task, read_results(results.folder, results.task)[0]
    kept: dict[object, bool] = {}
    known: dict[tuple[str, bool], float | None] = {}  # seeds change nothing
    estimates = {}
    for planned in runs:
        config, group = as_run_here(planned.config, options.jobs or 1), feature_group(planned.config)
        if group not in kept:
            kept[group] = group is not None and has_kept_features(task, config, finished)
        kind = variant_key(variant_settings(config, planned.foreign)), kept[group]
        if kind not in known:
            known[kind] = estimate_seconds(task, config, finished, planned.foreign, reuses=kept[group])
        seconds = known[kind]
        estimates[planned.hash] = None if seconds is None else start_up + seconds
        kept[group] = group is not None
    return estimates
