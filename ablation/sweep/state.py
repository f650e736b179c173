"""What the results already hold of a plan, what failed before, and how long the rest will take."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablation.config.experiment import PRETRAINED, ExperimentConfig, config_hash, variant_settings
from ablation.environment import device_name
from ablation.listener import Listener
from ablation.results.read import FinishedRun, read_results, variant_key
from ablation.results.runs import complete
from ablation.results.task import Task
from ablation.sweep.plan import Outcome, PlannedRun, Status, feature_group

LOGS_FOLDER = "sweep"  # below the results: a log per run that is under way, was ended with its sweep, or failed


def log_of(run: PlannedRun, results_dir: Path) -> Path:
    return results_dir / LOGS_FOLDER / f"{run.hash[:16]}.log"


def failure_of(run: PlannedRun, results_dir: Path) -> Path:
    """Where a failed run's log is kept, until the run succeeds."""
    return results_dir / LOGS_FOLDER / f"{run.hash[:16]}.failed.log"


# ---- what a run here would record -----------------------------------------------------------------------------------


def foreign_of(task: Task, config: ExperimentConfig) -> Mapping[str, str]:
    """Digests that a run here would have in its identity: those of data or base weights that were not published."""
    from ablation.run.inputs import foreign_digests  # brings torch, which a wrong command does without

    return foreign_digests(task, config)


@dataclass
class Digests:
    """What the runs of this sweep would record of data and weights, as far as it is at hand; None where not."""

    data: str | None
    _weights: dict[tuple[str, str | None], str | None] = field(default_factory=dict)

    def weights(self, config: ExperimentConfig) -> str | None:
        """The digest of pretrained weights; None for random ones (the configuration says all of them) and for files
        that are not here yet."""
        if config.weights != PRETRAINED:
            return None
        key = config.model_size, config.weights_path
        if key not in self._weights:
            self._weights[key] = _digest_of_weights(config)
        return self._weights[key]


def _digest_of_weights(config: ExperimentConfig) -> str | None:
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
    """The newest result of a planned run on these data and weights, if there is one.

    Rows from before foreign digests were in the hash have the configuration's own; what they trained from is told by
    their digests alone.
    """
    hashes = dict.fromkeys((config_hash(planned.config), planned.hash))
    candidates = [run for one in hashes for run in finished.get(one, ())]
    return next((run for run in reversed(candidates) if _same_data_and_base(planned, run, digests)), None)


def _same_data_and_base(planned: PlannedRun, run: FinishedRun, digests: Digests) -> bool:
    if digests.data is not None and run["data_digest"] != digests.data:
        return False
    weights = digests.weights(planned.config)
    if weights is None:  # nothing to compare with; but a run that names a file has a base of its own
        return not run["weights_path"]
    return run["weights_digest"] == weights


@dataclass(frozen=True)
class Results:
    """A results folder as a sweep asks it; other sweeps may write there too, so every question reads it anew."""

    folder: Path
    task: Task
    digests: Digests

    @classmethod
    def of(cls, task: Task, config: ExperimentConfig) -> Results:
        return cls(Path(config.results_dir), task, Digests(task.data_digest(config)))

    def headlines(self, runs: Iterable[PlannedRun]) -> dict[str, float]:
        """By hash of those of the runs that are done, the value of the task's headline."""
        finished = finished_runs(self.folder, self.task)
        results = {run.hash: result_of(run, finished, self.digests) for run in runs}
        return {key: result.values[self.task.headline.name] for key, result in results.items() if result is not None}


@dataclass(frozen=True)
class SweepState:
    """How far a plan has come. Every planned run is done, failed before, or to run.

    Attributes:
        done: by hash, the value of the task's headline.
        failed: by hash, the log of a run that failed before and is not tried again.
        estimates: by hash of runs to do, seconds if earlier runs can tell.
    """

    planned: Sequence[PlannedRun]
    done: Mapping[str, float]
    failed: Mapping[str, Path]
    to_run: Sequence[PlannedRun]
    estimates: Mapping[str, float | None]


def survey(results: Results, plan: Sequence[PlannedRun], *, retry_failed: bool) -> SweepState:
    """Hold a plan against the results."""
    from ablation.run.inputs import resolve_device

    done = results.headlines(plan)
    left = [run for run in plan if run.hash not in done]
    logs = {} if retry_failed else {run.hash: failure_of(run, results.folder) for run in left}
    failed = {key: log for key, log in logs.items() if log.exists()}
    to_run = [run for run in left if run.hash not in failed]
    earlier = read_results(results.folder, results.task)[0]
    device = device_name(resolve_device(plan[0].config).type) if earlier else ""
    return SweepState(plan, done, failed, to_run, estimate_all(to_run, earlier, device))


def failed_before(log: Path) -> str:
    return f"failed before, see {log}; --retry_failed tries again"


def earlier_outcomes(state: SweepState) -> list[Outcome]:
    """What became of the runs that are not to run."""
    runs = {run.hash: run for run in state.planned}
    return [
        *(Outcome(runs[key], Status.DONE_BEFORE, headline=value) for key, value in state.done.items()),
        *(Outcome(runs[key], Status.FAILED, failed_before(log)) for key, log in state.failed.items()),
    ]


# ---- estimates ------------------------------------------------------------------------------------------------------


def estimate_seconds(planned: PlannedRun, reuses: bool, runs: Iterable[FinishedRun], device_name: str) -> float | None:
    """Mean wall-clock seconds of earlier runs of the same configuration on this device, whatever their seed; of those
    that had their features in the same way, if there are such. None without earlier runs."""
    key = variant_key(variant_settings(planned.config, planned.foreign))
    same = [run for run in runs if variant_key(run.settings) == key and run["device_name"] == device_name]
    alike = [run for run in same if (run["features"] == "reused") == reuses]
    minutes = [float(run["total_minutes"]) for run in alike or same if run["total_minutes"]]
    return 60 * statistics.fmean(minutes) if minutes else None


def estimate_all(plan: Sequence[PlannedRun], runs: Sequence[FinishedRun], device_name: str) -> dict[str, float | None]:
    """:func:`estimate_seconds` of each run by its hash; of runs that share features only the first computes them."""
    seen: set[object] = set()
    estimates = {}
    for planned in plan:
        group = feature_group(planned.config)
        estimates[planned.hash] = estimate_seconds(planned, group is not None and group in seen, runs, device_name)
        seen.add(group)
    return estimates
