"""What a person sees while a sweep goes on: on a terminal a line for each run under way and one for the sweep, renewed
in place; elsewhere a plain line now and then; and a line for each run that ends."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ablation.listener import TRAINING, is_epoch
from ablation.results.task import Metric
from ablation.run.progress_file import RunProgress
from ablation.sweep.failures import kind_of
from ablation.sweep.plan import Outcome, PlannedRun, Status, UnderWay
from ablation.sweep.progress import describe_outcome, time_of
from ablation.words import duration

SPARSE = 60.0  # seconds between two plain lines on the same run

Estimates = Mapping[str, float | None]  # seconds by hash of a run; None where nothing can tell


def left_of(run: UnderWay, estimate: float | None) -> float | None:
    """Seconds that a run still takes: what earlier runs tell, and at least what its own pace does. Without such runs
    that pace tells only while it trains: before, nobody knows how long that will take."""
    pace = run.progress.seconds_left if run.progress is not None else None
    if estimate is not None:
        return max(estimate - run.seconds, pace or 0.0, 0.0)
    return pace if run.progress is not None and run.progress.work == TRAINING else None


def describe_progress(progress: RunProgress | None) -> str:
    """``frozen pass 45 %``; ``step 120 of 650, loss 0.512``; ``epoch 3, step 120 of 469``."""
    if progress is None:
        return "starting"
    if progress.work == TRAINING:
        text = f"step {progress.done} of {progress.amount}"
        return text if progress.loss is None else f"{text}, loss {progress.loss:.3f}"
    if is_epoch(progress.work):
        return f"{progress.work}, step {progress.done} of {progress.amount}"
    if progress.work:
        return f"{progress.work} {progress.done / max(progress.amount, 1):.0%}"
    return "evaluating" if progress.trained else "preparing"


def fitted(text: str, width: int) -> str:
    """The text in one line of the terminal."""
    return text if len(text) <= width else text[: width - 1] + "…"


class Screen:
    """Shows how a sweep goes.

    Args:
        to_run: the runs that are still to do.
        estimates: of them.
        estimate: called after each run that finished, with what is left.
        jobs: runs at a time that can be watched.
    """

    def __init__(
        self,
        to_run: Sequence[PlannedRun],
        estimates: Estimates,
        estimate: Callable[[Sequence[PlannedRun]], Estimates],
        headline: Metric,
        *,
        jobs: int,
        quiet: bool,
    ) -> None:
        self._left = {run.hash: run for run in to_run}
        self._estimates, self._estimate, self._headline = estimates, estimate, headline
        self._total, self._jobs, self._quiet = len(to_run), jobs, quiet
        self._failures: dict[str, PlannedRun] = {}  # by the kind of what they said, the first that did
        self._said: dict[str, float] = {}  # by hash, the second of a run at which a plain line told of it
        lines = min(jobs, len(to_run), max(shutil.get_terminal_size().lines - 3, 1)) + 1
        # Rows for all lines, and columns for what is fitted here: of a terminal that says no size, tqdm assumes none.
        size = {"nrows": lines + 1, "ncols": 1000}
        bar = partial(tqdm, bar_format="{desc}", **size, leave=False, disable=True if quiet else None)
        self._lines = [bar(position=number) for number in range(lines)]
        self._is_live = not quiet and not self._lines[-1].disable
        self.watch([])

    def watch(self, running: Sequence[UnderWay]) -> None:
        """Show how far runs are."""
        self._running = running
        if self._is_live:
            width = shutil.get_terminal_size().columns - 1
            texts = [self._with_log(self._describe(run), run.log, width) for run in running]
            texts += [""] * (len(self._lines) - 1 - len(texts))
            texts[len(self._lines) - 1 :] = [self._describe_sweep(running)]
            for line, text in zip(self._lines, texts, strict=True):
                line.set_description_str(fitted(text, width))
        elif not self._quiet:
            for run in running:
                if run.seconds - self._said.get(run.run.hash, 0.0) >= SPARSE:
                    self._said[run.run.hash] = run.seconds
                    self._print(f"{self._describe(run)}; log: {run.log}")

    def show(self, outcome: Outcome) -> None:
        """Say what became of a run; when quiet only if that is not good."""
        self._left.pop(outcome.run.hash, None)
        if outcome.status == Status.FINISHED:
            self._estimates = self._estimate(list(self._left.values()))
        if not self._quiet or outcome.message:
            self._print(describe_outcome(outcome, self._headline, self._failures))
        if outcome.status == Status.FAILED:
            self._failures.setdefault(kind_of(outcome.message), outcome.run)
        self.watch([run for run in self._running if run.run.hash != outcome.run.hash])

    def close(self) -> None:
        for line in reversed(self._lines):
            line.close()

    def _print(self, text: str) -> None:
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def _describe(self, run: UnderWay) -> str:
        left = left_of(run, self._estimates.get(run.run.hash))
        time_left = "time left unknown" if left is None else f"about {duration(left)} left"
        return f"{run.run.short_name}: {describe_progress(run.progress)}, {time_left}"

    def _with_log(self, text: str, log: Path, width: int) -> str:
        """With the place of the log, where the line has room for it."""
        whole = f"{text}; log: {log}"
        return whole if len(whole) <= width else text

    def _describe_sweep(self, running: Sequence[UnderWay]) -> str:
        begun = {run.run.hash: left_of(run, self._estimates.get(run.run.hash)) for run in running}
        estimates = [begun[key] if key in begun else self._estimates.get(key) for key in self._left]
        ended = self._total - len(self._left)
        return f"sweep: {ended} of {self._total} ended, time left: {time_of(estimates, self._jobs)}"
