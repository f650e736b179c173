"""The engine for one machine: each run is a process of its own.

So memory goes back to the system after every run, a crash takes nothing with it, and an interrupt ends runs as Ctrl-C
would. A run ends with its sweep, even with one that was killed (:mod:`ablation.sweep.child`). Its log file is also its
lock: it is locked as long as the process that writes it lives, so no two sweeps do the same run at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import IO

from ablation.config.experiment import ConfigError
from ablation.environment import PROJECT
from ablation.run.progress_file import read_progress
from ablation.sweep import child
from ablation.sweep.failures import failure_of, keep_failure, log_of, progress_of, reason
from ablation.sweep.machine import added_flags
from ablation.sweep.plan import Outcome, PlannedRun, Status, SweepOptions, UnderWay, Watcher, feature_group
from ablation.sweep.state import Results, foreign_of

try:
    import fcntl
except ImportError:  # Windows: two sweeps at once may do a run twice there
    fcntl = None  # type: ignore[assignment]

PAUSE = 0.1  # seconds between two looks at the processes
LOOK = 0.5  # seconds between two looks at how far they are
PATIENCE = 30.0  # seconds that an interrupted run has to end


@dataclass
class _Process:
    run: PlannedRun
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    started: float

    def close(self) -> None:
        """Let go of the log and of the pipe by which a run notices that its sweep is gone; only when it has ended."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.log.close()


@dataclass(frozen=True)
class LocalEngine:
    """Runs planned runs as processes, some at a time (``jobs`` of the options is a number here)."""

    results: Results
    options: SweepOptions

    @property
    def jobs(self) -> int:
        return self.options.jobs or 1

    def run_all(self, plan: Sequence[PlannedRun], watch: Watcher) -> Generator[Outcome]:
        """Run them and add them to the results; outcomes as they come. Whoever stops listening, or is interrupted, ends
        what still runs.

        Args:
            watch: shown what is under way.

        Raises:
            ConfigError: the device asked for is not there.
            ResultsError: the results cannot be read.
        """
        waiting, running = list(plan), list[_Process]()
        computed: set[object] = set()
        looked = 0.0
        try:
            while waiting or running:
                while len(running) < self.jobs and (run := self._next(waiting, running, computed)):
                    waiting.remove(run)
                    started = self._start(run)
                    if isinstance(started, Outcome):
                        yield started
                    else:
                        running.append(started)
                for process in [p for p in running if p.process.poll() is not None]:
                    running.remove(process)
                    computed.add(feature_group(process.run.config))
                    yield self._finish(process)
                if not running and waiting and (reason := self._does_not_fit(waiting[0])):
                    yield Outcome(waiting.pop(0), Status.SKIPPED, reason)
                if time.monotonic() - looked >= LOOK:
                    looked = time.monotonic()
                    watch([self._under_way(process) for process in running])
                time.sleep(PAUSE if running else 0)
        finally:
            self._stop(running)

    def _next(
        self, waiting: Sequence[PlannedRun], running: Sequence[_Process], computed: set[object]
    ) -> PlannedRun | None:
        """The first run whose features nobody is computing for the first time just now, if it fits into memory."""
        being_computed = {feature_group(process.run.config) for process in running} - computed - {None}
        candidates = [run for run in waiting if feature_group(run.config) not in being_computed]
        if not candidates or self._does_not_fit(candidates[0]):
            return None
        return candidates[0]

    def _does_not_fit(self, run: PlannedRun) -> str:
        """Why a run does not fit into the memory that is free now, or an empty text."""
        from ablation.run.inputs import resolve_device
        from ablation.run.kinds import check_memory

        device = resolve_device(run.config)
        if self.options.forced:
            return ""
        try:
            check_memory(run.config, device)
        except ConfigError as error:
            return str(error)
        return ""

    def _start(self, run: PlannedRun) -> _Process | Outcome:
        path = log_of(run, self.results.folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("ab")
        if not _lock(log):
            log.close()
            return Outcome(run, Status.SKIPPED, "another sweep is running it")
        if (headline := self._headline(run)) is not None:  # another sweep did it since this one began
            path.unlink(missing_ok=True)
            progress_of(run, self.results.folder).unlink(missing_ok=True)
            log.close()
            return Outcome(run, Status.DONE_BEFORE, headline=headline)
        log.truncate(0)
        progress_of(run, self.results.folder).unlink(missing_ok=True)  # of a sweep that was killed with its run
        runner = PROJECT / self.results.task.command
        progress = ["--progress_file", str(progress_of(run, self.results.folder))]
        flags = [*run.arguments, *added_flags(run.config, self.jobs), *progress]
        # A session of its own: a Ctrl-C at the terminal reaches the sweep alone, which ends its runs in order.
        process = subprocess.Popen(
            [sys.executable, child.__file__, str(runner), *flags],
            stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        return _Process(run, process, log, time.monotonic())

    def _under_way(self, process: _Process) -> UnderWay:
        run, folder = process.run, self.results.folder
        seconds = time.monotonic() - process.started
        return UnderWay(run, log_of(run, folder), seconds, read_progress(progress_of(run, folder)))

    def _headline(self, run: PlannedRun) -> float | None:
        return self.results.headlines([run]).get(run.hash)

    def _finish(self, ended: _Process) -> Outcome:
        path, failure = log_of(ended.run, self.results.folder), failure_of(ended.run, self.results.folder)
        seconds = time.monotonic() - ended.started
        # What the run fetched is at hand only now.
        run = dataclasses.replace(ended.run, foreign=foreign_of(self.results.task, ended.run.config))
        headline = self._headline(run) if ended.process.returncode == 0 else None
        if headline is None:
            path.replace(failure)
            message = reason(failure, ended.process.returncode)
            keep_failure(failure, self.results.inputs_of(ended.run))
            outcome = Outcome(ended.run, Status.FAILED, message, seconds, log=failure)
        else:
            path.unlink(missing_ok=True)
            failure.unlink(missing_ok=True)
            outcome = Outcome(ended.run, Status.FINISHED, "", seconds, headline)
        self._forget(ended)
        return outcome

    def _stop(self, running: Sequence[_Process]) -> None:
        for process in running:
            process.process.terminate()
        deadline = time.monotonic() + PATIENCE
        for process in running:
            try:
                process.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.process.kill()
                process.process.wait()
            log = log_of(process.run, self.results.folder)
            if not os.fstat(process.log.fileno()).st_size:  # one that says something stays
                log.unlink(missing_ok=True)
            self._forget(process)

    def _forget(self, ended: _Process) -> None:
        """Let go of a run that has ended; one that was killed may have left what it said of its progress."""
        progress_of(ended.run, self.results.folder).unlink(missing_ok=True)
        ended.close()


def _lock(log: IO[bytes]) -> bool:
    """Lock a file for as long as any process has it open through this handle; False if another holds it."""
    if fcntl is None:
        return True
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
