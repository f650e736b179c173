"""How the runs of a sweep share this machine: how many at a time, on how many threads, from which kept features."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ablation.config.experiment import ExperimentConfig
from ablation.run.inputs import resolve_device, thread_count

FEATURES_FOLDER = "features"  # below the models: where runs share features unless --feature_cache says otherwise
THREADS_OF_A_RUN = 2  # that --jobs auto gives each; as --num_cpus, what Ray gives each


def processors() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads(jobs: int) -> int:
    """CPU threads for each of ``jobs`` processes at a time."""
    return max(1, processors() // jobs)


def automatic_jobs(config: ExperimentConfig) -> int:
    """How many runs at a time ``--jobs auto`` means: as many as have threads of their own; on a GPU one.

    Raises:
        ConfigError: the device asked for is not there.
    """
    if resolve_device(config).type != "cpu":
        return 1
    return max(1, processors() // (thread_count(config) or THREADS_OF_A_RUN))


def features_folder(config: ExperimentConfig) -> Path:
    """Where a run of a sweep keeps its features."""
    return Path(config.models_dir, FEATURES_FOLDER) if config.feature_cache is None else Path(config.feature_cache)


def as_run_here(config: ExperimentConfig, jobs: int) -> ExperimentConfig:
    """The configuration with what a sweep adds: where features are shared, and the run's share of the threads."""
    threads = default_threads(jobs) if jobs > 1 and thread_count(config) is None else config.threads
    return replace(config, feature_cache=str(features_folder(config)), threads=threads)


def added_flags(config: ExperimentConfig, jobs: int) -> list[str]:
    """What :func:`as_run_here` adds, as flags of the runner."""
    here = as_run_here(config, jobs)
    added = (name for name in ("feature_cache", "threads") if getattr(here, name) != getattr(config, name))
    return [part for name in added for part in (f"--{name}", str(getattr(here, name)))]
