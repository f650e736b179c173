"""The engine for more than one machine: each run is a Ray task; results travel here, and only here they are appended.

A node fetches messages, weights and vocabulary for itself and keeps them, and its features, under the same paths as on
this machine. A task whose worker or node dies is tried again elsewhere; what it did not bring home is not in the
results, so every planned run ends there once.
"""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ablation.config.settings import CommonSettings, ConfigError
from ablation.environment import PROJECT, git_commit
from ablation.results.run_folder import RunRecord, write_run
from ablation.results.task import Task
from ablation.sweep.failures import failure_of, keep_failure
from ablation.sweep.machine import shared_features
from ablation.sweep.plan import Outcome, PlannedRun, Status, SweepOptions, Watcher
from ablation.sweep.state import Results

NO_RAY = "--engine ray: Ray is not installed; python -m pip install -r requirements-ray.txt, or leave the flag out"
# Ray itself tries for minutes, and says so every second: a process of its own tries first, and is not waited for long.
TRIAL = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False); ray.shutdown()"
ANSWER = 10.0  # seconds; a cluster needs one
HEADS_TOKEN = "the head's ~/.ray/auth_token here, or name a copy in RAY_AUTH_TOKEN_PATH"  # how to get in
# A word of what Ray says of a trial -> what is wrong; the first that occurs counts.
REFUSALS = {
    "InvalidAuthToken": f"the cluster refuses this token, or none; set RAY_AUTH_MODE=token, and copy {HEADS_TOKEN}",
    "AuthenticationError": f"RAY_AUTH_MODE=token, but there is no token; copy {HEADS_TOKEN}",
}
PATHS = (
    "data_dir", "models_dir", "results_dir", "weights_path", "checkpoint_dir",
    "data_file", "train_file", "validation_file", "test_file",
)  # fmt: skip
RETRIES = 5  # of a run whose worker or node died
# What a node has no use for, or fetches for itself; as .gitignore has it, / is the project's own folder.
NOT_SENT = ("/models", "/results", "/tests", "/benchmarks", "/data/SMSSpamCollection.tsv*", "__pycache__")


def with_absolute_paths(config: Any) -> Any:
    """The configuration as it means the same from any working directory, with features kept below the models. (Of the
    results a node has but the checkpoints, so that a run that is tried again goes on.)"""
    paths = {name: value for name in PATHS if (value := getattr(config, name, None)) is not None}
    paths |= shared_features(config)
    return dataclasses.replace(config, **{name: str(Path(path).absolute()) for name, path in paths.items()})


@dataclass(frozen=True)
class NoResult:
    """Why a run has no result: the status of its outcome, and a message."""

    status: Status
    message: str


def run_on_node(task: Task, config: CommonSettings, forced: bool) -> RunRecord | NoResult:
    """What a Ray task does: run, and bring home what the results keep, or why there is nothing."""
    from ablation.results.run_folder import discard_checkpoint
    from ablation.run.inputs import EXPECTED_FAILURES, resolve_device
    from ablation.run.kinds import check_memory, describe, run

    try:
        if not forced:
            check_memory(config, resolve_device(config))
        result = run(task, config)
        record = describe(task, result)
        discard_checkpoint(result)
        return record
    except ConfigError as error:
        return NoResult(Status.SKIPPED, str(error))
    except EXPECTED_FAILURES as error:
        return NoResult(Status.FAILED, str(error))


def why_refused(address: str) -> str:
    """Why nobody gets into the cluster at an address, within seconds; an empty text if one does."""
    try:
        trial = subprocess.run([sys.executable, "-c", TRIAL, address], capture_output=True, timeout=ANSWER)
        if trial.returncode == 0:
            return ""
        said, reason = trial.stderr, ""
    except subprocess.TimeoutExpired as error:
        said, reason = error.stderr or b"", f"no answer within {ANSWER:.0f} seconds"
    text = said.decode(errors="replace").strip()
    for word, refusal in REFUSALS.items():
        if word in text:
            return refusal
    return no_cluster(reason or text.rpartition("\n")[2])


def no_cluster(reason: str) -> str:
    return f"no cluster there ({reason}); start one with: ray start --head"


@dataclass(frozen=True)
class RayEngine:
    """Raises:
    ConfigError: Ray is not installed.
    """

    results: Results
    options: SweepOptions

    def __post_init__(self) -> None:
        if find_spec("ray") is None:
            raise ConfigError([NO_RAY])

    @property
    def jobs(self) -> int:
        """Runs at a time that this machine knows of: how many there are elsewhere is the cluster's."""
        return 1

    def run_all(self, plan: Sequence[PlannedRun], watch: Watcher) -> Generator[Outcome]:
        """As :meth:`ablation.sweep.local.LocalEngine.run_all`; of runs on other machines nothing is seen until they
        end.

        Raises:
            ConfigError: there is no cluster at that address.
            ResultsError: the results cannot be written.
        """
        import ray

        if not plan:
            return
        self._connect()
        # A worker ends after its run, so that no run inherits another's memory or thread settings.
        remote = ray.remote(
            num_cpus=self.options.num_cpus, num_gpus=self.options.num_gpus, max_retries=RETRIES, max_calls=1
        )(run_on_node)
        started = time.monotonic()
        task, forced = self.results.task, self.options.forced
        pending = {remote.remote(task, with_absolute_paths(run.config), forced): run for run in plan}
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

        if refusal := why_refused(self.options.ray_address):
            raise ConfigError([f"--ray_address {self.options.ray_address}: {refusal}"])
        try:
            ray.init(
                address=self.options.ray_address,
                runtime_env={"working_dir": str(PROJECT), "excludes": list(NOT_SENT)},
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            problem = no_cluster(str(error).strip().splitlines()[0])
            raise ConfigError([f"--ray_address {self.options.ray_address}: {problem}"]) from None

    def _bring_home(self, run: PlannedRun, reference: Any, seconds: float) -> Outcome:
        """Append a run's result, or keep why there is none."""
        import ray

        try:
            brought: RunRecord | NoResult = ray.get(reference)
        except ray.exceptions.RayError as error:
            brought = NoResult(Status.FAILED, str(error).strip().splitlines()[-1])
        folder, failure = self.results.folder, failure_of(run, self.results.folder)
        if isinstance(brought, RunRecord):
            # The code is this machine's, and so is the folder; nodes have neither repository nor results.
            here = {"git_commit": git_commit(), "results_dir": str(folder)}
            record = dataclasses.replace(brought, rows=[{**row, **here} for row in brought.rows])
            write_run(folder, self.results.task, record)
            failure.unlink(missing_ok=True)
            return Outcome(run, Status.FINISHED, "", seconds, record.rows[-1][self.results.metric.name])
        if brought.status == Status.FAILED:
            failure.parent.mkdir(parents=True, exist_ok=True)
            failure.write_text(brought.message + "\n", encoding="utf-8")
            keep_failure(failure, self.results.inputs_of(run))
            return Outcome(run, Status.FAILED, brought.message, seconds, log=failure)
        return Outcome(run, brought.status, brought.message, seconds)
