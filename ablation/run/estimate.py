"""How long a run will take, told from finished runs on this machine alone; where none can tell, it is not known."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ablation.config.experiment import ExperimentConfig, variant_settings
from ablation.config.settings import CommonSettings
from ablation.environment import device_name
from ablation.execution.plan import make_plan
from ablation.results.read import DATA_DIGEST, WEIGHTS_DIGEST, FinishedRun
from ablation.results.task import Task
from ablation.run.inputs import resolve_device, thread_count

# What changes which values are computed, but not how many; how often steps are made is reckoned with.
_TAKES_NO_TIME = (
    "learning_rate", "weight_decay", "decayed", "ignore_index", "lora_alpha", "lora_scaling", "lora_init",
    "adapter_scale", "num_epochs", "max_steps", "truncation_side", "shift_positions", WEIGHTS_DIGEST,
)  # fmt: skip
_REUSED, _COMPUTED = "reused", "computed"


def estimate_seconds(
    task: Task,
    config: ExperimentConfig,
    finished_runs: Iterable[FinishedRun],
    foreign: Mapping[str, str] = {},
    reuses: bool = False,
) -> float | None:
    """Seconds from the beginning to the end of a run, without the start of Python: the median of what finished runs of
    the same work tell, whatever their seed, learning rate or number of steps.

    Only runs on this device, with as many threads and in the same execution can tell. A run's features are reckoned by
    themselves: what they took where they were computed is told by every run that shares them.

    Args:
        foreign: digests of the run's data and weights other than the published ones.
        reuses: its features are kept already.

    Returns:
        None if no finished run can tell.

    Raises:
        ConfigError: the device asked for is not there.
    """
    here = conditions(config)
    runs = [run for run in finished_runs if not run.is_baseline and conditions_of(run) == here]
    kind = _work(variant_settings(config, foreign))
    alike = [run for run in runs if _work(run.settings) == kind]
    bare = [seconds for run in alike if (seconds := _seconds_without_features(task, config, run)) is not None]
    if not bare:
        return None
    if reuses:
        reading = [number_in(run, "feature_seconds") for run in alike if run["features"] == _REUSED]
        return statistics.median(bare) + (statistics.median(reading) if reading else 0.0)
    features = _seconds_to_compute_features(task, config, runs, foreign.get(DATA_DIGEST))
    return None if features is None else statistics.median(bare) + features


def _seconds_to_compute_features(
    task: Task, config: ExperimentConfig, runs: Iterable[FinishedRun], data: str | None
) -> float | None:
    """What the runs that computed this configuration's features on these messages took for it; 0 if it has none."""
    group = make_plan(config).feature_group
    if group is None:
        return 0.0
    computing = [
        number_in(run, "feature_seconds")
        for run in runs
        if run["features"] == _COMPUTED
        and run.settings.get(DATA_DIGEST) == data
        and _group_of(task, run, config.seed) == group
    ]
    return statistics.median(computing) if computing else None


def has_kept_features(task: Task, config: ExperimentConfig, finished_runs: Iterable[FinishedRun]) -> bool:
    """Whether a finished run has left its features where this run looks for them."""
    group, folder = make_plan(config).feature_group, config.feature_cache
    if group is None or folder is None or not any(Path(folder).glob("*")):
        return False
    return any(
        run["feature_cache"] == folder and run["features"] != "none" and _group_of(task, run, run.seeds[0]) == group
        for run in finished_runs
        if not run.is_baseline
    )


# ---- which runs can tell --------------------------------------------------------------------------------------------


def conditions(config: CommonSettings) -> tuple[str, str, str]:
    """What the pace of a run depends on besides its work: device, threads, execution."""
    threads = thread_count(config) or torch.get_num_threads()
    return device_name(str(resolve_device(config))), str(threads), config.execution


def conditions_of(run: FinishedRun) -> tuple[str, str, str]:
    """The same of a finished run."""
    return run["device_name"], run["threads"], run["execution"]


def _work(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in _TAKES_NO_TIME}


def _config_of(task: Task, run: FinishedRun, seed: int | None) -> Any:
    settings = {name: value for name, value in run.settings.items() if name not in (WEIGHTS_DIGEST, DATA_DIGEST)}
    if seed is not None:
        settings["seed"] = seed
    return task.config_class(**settings, execution=run["execution"])


def _group_of(task: Task, run: FinishedRun, seed: int | None) -> object:
    """What its features would be shared by, had it had this seed (which with random weights makes others)."""
    return make_plan(_config_of(task, run, seed)).feature_group


# ---- what they tell -------------------------------------------------------------------------------------------------


def number_in(run: FinishedRun, column: str) -> float:
    """A column's number; 0 for what is none, as in a file that was edited by hand."""
    try:
        value = float(run[column] or 0)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0


def _seconds_without_features(task: Task, config: ExperimentConfig, run: FinishedRun) -> float | None:
    """What a run took besides its features, had it made as many steps as this configuration does."""
    if not number_in(run, "total_minutes"):
        return None
    features = number_in(run, "feature_seconds")
    seconds = 60 * number_in(run, "total_minutes") - features
    theirs = _config_of(task, run, config.seed)
    if (theirs.num_epochs, theirs.max_steps) == (config.num_epochs, config.max_steps):
        return max(seconds, 0.0)
    steps = _Steps.of(run, task.splits)
    if steps is None:
        return None
    training = 60 * run.training_minutes - features * steps.share_in_training(theirs)
    made = steps.count(theirs)
    return max(seconds + (steps.count(config) / made - 1) * max(training, 0.0), 0.0)


@dataclass(frozen=True)
class _Steps:
    """How many steps a run makes, from the numbers of its examples: those trained on, those that choose, all."""

    train: int
    validation: int
    total: int

    @classmethod
    def of(cls, run: FinishedRun, splits: tuple[str, ...]) -> _Steps | None:
        if any(split not in run.counts for split in splits):
            return None
        totals = [run.counts[split].total for split in splits]
        return cls(totals[0], totals[-2], sum(totals))

    def count(self, config: ExperimentConfig) -> int:
        per_epoch = max(self.train // config.batch_size, 1)  # a last batch that is not full is dropped
        return min(config.num_epochs * per_epoch, config.max_steps or config.num_epochs * per_epoch)

    def share_in_training(self, config: ExperimentConfig) -> float:
        """Of the examples, those whose features are computed before training; the others' come afterwards."""
        return (self.train + min(self.validation, config.eval_iter * config.batch_size)) / self.total
