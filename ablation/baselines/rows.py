"""The row of a baseline: found among the results, or fitted and kept like any run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ablation.baselines.baseline import Asked
from ablation.baselines.record import describe_baseline, identity, kept_baseline
from ablation.baselines.registry import BASELINES
from ablation.config.baseline import is_local
from ablation.results.baseline_columns import AREAS
from ablation.results.read import FinishedRun
from ablation.results.run_folder import write_run


def check(asked: Asked, name: str) -> None:
    """What can be known of a baseline before anything is fitted.

    Raises:
        ConfigError, DataError: its settings do not go with these messages.
        HubError: a package is missing.
    """
    if asked.config.hf_model is not None:
        from ablation.baselines.hf_models import import_transformers

        import_transformers(asked.config.hf_model)
    BASELINES[name].check(asked)


def answer(asked: Asked, name: str, digest: str, known: Iterable[FinishedRun]) -> tuple[Mapping[str, Any], bool]:
    """The row of one baseline on messages of this digest, and whether the results had it already; else it is fitted and
    kept like any run.

    Raises:
        ResultsError: the results folder cannot be written.
        HubError, RunError, WeightsError, DownloadError, DataError: its model cannot be had or used.
    """
    baseline = BASELINES[name]
    settings = identity(name, baseline, asked.config, foreign_weights(asked, name))
    if kept := kept_baseline(known, settings, digest):
        return {**kept.values, **{name: float(kept[name]) for name in AREAS if kept[name]}}, True
    started = time.perf_counter()
    fitted = baseline.fit(asked)
    seconds = time.perf_counter() - started
    record = describe_baseline(name, baseline, asked, fitted, settings, seconds, digest)
    return write_run(Path(asked.config.results_dir), asked.task, record)[0], False


def foreign_weights(asked: Asked, name: str) -> dict[str, str]:
    """The digest of weights that are known by no name: those of a file or folder of one's own."""
    config, takes = asked.config, BASELINES[name].takes
    if config.hf_model is not None and is_local(config.hf_model):
        from ablation.baselines.hf_models import local_digest

        return {"weights_digest": local_digest(config.hf_model)}
    if config.hf_model is None and "weights" in takes:
        from ablation.run.inputs import foreign_digests

        found = foreign_digests(asked.task, config)
        return {name: digest for name, digest in found.items() if name == "weights_digest"}
    return {}
