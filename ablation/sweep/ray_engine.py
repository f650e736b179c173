"""The engine for more than one machine: each run is a Ray task; results travel here, and only here they are appended.

A node fetches messages, weights and vocabulary for itself and keeps them, and its features, under the same paths as on
this machine. A task whose worker or node dies is tried again elsewhere; what it did not bring home is not in the
results, so every planned run ends there once.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.environment import PROJECT, git_commit
from ablation.results.run_folder import write_run
from ablation.sweep.outcome import FAILED, FINISHED, SKIPPED, Outcome
from ablation.sweep.plan import PlannedRun
from ablation.sweep.state import failure_of

FEATURES_FOLDER = "features"
RETRIES = 5  # of a run whose worker or node died
# What a node has no use for, or fetches for itself.
NOT_SENT = ("models", "results", "tests", "benchmarks", "data/SMSSpamCollection.tsv*", "__pycache__")


def require_ray() -> None:
    """Raises:
    ConfigError: Ray is not installed.
    """
    try:
        import ray  # noqa: F401
    except ImportError:
        raise ConfigError(
            ["--engine ray: Ray is not installed; python -m pip install -r requirements-ray.txt, or leave the flag out"]
        ) from None


def with_absolute_paths(config: ExperimentConfig) -> ExperimentConfig:
    """The configuration as it means the same from any working directory, with features kept below the models."""
    features = config.feature_cache or str(Path(config.models_dir) / FEATURES_FOLDER)
    paths = {"data_dir": config.data_dir, "models_dir": config.models_dir, "feature_cache": features}
    if config.weights_path is not None:
        paths["weights_path"] = config.weights_path
    return dataclasses.replace(config, **{name: str(Path(path).absolute()) for name, path in paths.items()})  # type: ignore[arg-type]


def run_on_node(config: ExperimentConfig, forced: bool) -> dict[str, Any]:
    """What a task does: run, and bring home the row and the files, or the reason why there are none."""
    from ablation.results.run_folder import describe_result
    from ablation.run.experiment import run_experiment
    from ablation.run.inputs import EXPECTED_FAILURES, resolve_device
    from ablation.run.memory import check_memory
    from ablation.tasks.spam import SPAM

    try:
        if not forced:
            check_memory(config, resolve_device(config))
        record = describe_result(SPAM, run_experiment(SPAM, config))
    except ConfigError as error:
        return {"status": SKIPPED, "message": str(error)}
    except EXPECTED_FAILURES as error:
        return {"status": FAILED, "message": str(error)}
    return {"status": FINISHED, "record": record}


@dataclasses.dataclass
class RayEngine:
    """Attributes:
    address: of the cluster, ``auto`` for the one that this machine belongs to.
    num_cpus, num_gpus: what Ray sets aside for each run; a fraction of a GPU lets runs share one.
    forced: whether runs try even if memory looks too small.
    """

    results_dir: Path
    address: str
    num_cpus: int
    num_gpus: float
    forced: bool

    def run_all(self, plan: Sequence[PlannedRun]) -> Generator[Outcome]:
        """Outcomes as they come.

        Raises:
            ConfigError: there is no cluster at the address.
            ResultsError: the results cannot be written.
        """
        import ray

        self._connect()
        # A worker ends after its run, so that no run inherits another's memory or thread settings.
        task = ray.remote(
            num_cpus=self.num_cpus, num_gpus=self.num_gpus, max_retries=RETRIES, max_calls=1
        )(run_on_node)
        started = time.monotonic()
        pending = {task.remote(with_absolute_paths(run.config), self.forced): run for run in plan}
        try:
            while pending:
                (ready, *_), _ = ray.wait(list(pending), num_returns=1)
                run = pending.pop(ready)
                yield self._bring_home(run, ready, time.monotonic() - started)
        finally:
            for reference in pending:
                ray.cancel(reference, force=True)
            ray.shutdown()

    def _connect(self) -> None:
        import ray

        try:
            ray.init(
                address=self.address,
                runtime_env={"working_dir": str(PROJECT), "excludes": list(NOT_SENT)},
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ConfigError(
                [f"--ray_address {self.address}: no cluster there ({reason}); start one with: ray start --head"]
            ) from None

    def _bring_home(self, run: PlannedRun, reference: Any, seconds: float) -> Outcome:
        """Append a task's result, or keep why there is none."""
        import ray

        try:
            result = ray.get(reference)
        except ray.exceptions.RayError as error:
            result = {"status": FAILED, "message": str(error).strip().splitlines()[-1]}
        failure = failure_of(run, self.results_dir)
        if result["status"] == FINISHED:
            # The code is this machine's, and so is the folder; nodes have neither repository nor results.
            from ablation.tasks.spam import SPAM

            here = {"git_commit": git_commit(), "results_dir": str(self.results_dir)}
            rows = [{**row, **here} for row in result["record"].rows]
            write_run(self.results_dir, SPAM, dataclasses.replace(result["record"], rows=rows))
            failure.unlink(missing_ok=True)
            return Outcome(run, FINISHED, seconds=seconds, test_accuracy=rows[0]["test_acc"])
        if result["status"] == FAILED:
            failure.parent.mkdir(parents=True, exist_ok=True)
            failure.write_text(result["message"] + "\n", encoding="utf-8")
        return Outcome(run, result["status"], result["message"], seconds)
