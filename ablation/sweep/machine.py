"""How the runs of a sweep share this machine: how many at a time, on how many threads, from which kept features."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablation.config.classifier_settings import ClassifierSettings
from ablation.config.settings import CommonSettings
from ablation.run.inputs import resolve_device, thread_count

FEATURES_FOLDER = "features"  # below the models: where runs share features unless --feature_cache says otherwise
THREADS_OF_A_RUN = 2  # that --jobs auto gives each; as --num_cpus, what Ray gives each


def processors() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads(jobs: int) -> int:
    """CPU threads for each of ``jobs`` processes at a time."""
    return max(1, processors() // jobs)


def automatic_jobs(config: CommonSettings) -> int:
    """How many runs at a time ``--jobs auto`` means: as many as have threads of their own; on a GPU one.

    Raises:
        ConfigError: the device asked for is not there.
    """
    if resolve_device(config).type != "cpu":
        return 1
    return max(1, processors() // (thread_count(config) or THREADS_OF_A_RUN))


def shared_features(config: CommonSettings) -> dict[str, str]:
    """Where a run of a sweep keeps its features, as a setting by name; empty for runs that have none."""
    if not isinstance(config, ClassifierSettings):
        return {}
    return {"feature_cache": config.feature_cache or str(Path(config.models_dir, FEATURES_FOLDER))}


def as_run_here(config: Any, jobs: int) -> Any:
    """The configuration with what a sweep adds: where features are shared, and the run's share of the threads."""
    threads = default_threads(jobs) if jobs > 1 and thread_count(config) is None else config.threads
    return replace(config, **shared_features(config), threads=threads)


def added_flags(config: CommonSettings, jobs: int) -> list[str]:
    """What :func:`as_run_here` adds, as flags of the runner."""
    here = as_run_here(config, jobs)
    added = (name for name in (*shared_features(config), "threads") if getattr(here, name) != getattr(config, name))
    return [part for name in added for part in (f"--{name}", str(getattr(here, name)))]
