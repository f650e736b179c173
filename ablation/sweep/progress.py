"""What a person sees of a sweep: the plan, a bar with a line per run, the summary."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from ablation.sweep.outcome import DONE_BEFORE, FAILED, FINISHED, SKIPPED, Outcome
from ablation.sweep.plan import PlannedRun
from ablation.words import plural

MOST_SEEDS_NAMED = 12


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def describe_plan(
    plan: Sequence[PlannedRun],
    to_run: Sequence[PlannedRun],
    done: set[str],
    failed_before: Mapping[str, str],
    estimates: Mapping[str, float | None],
    jobs: int,
    *,
    details: bool,
) -> str:
    """The plan in a line, or with ``details`` a line per run too."""
    lines = []
    if details:
        running = {run.hash for run in to_run}
        for run in plan:
            if run.hash in running:
                seconds = estimates.get(run.hash)
                time = "no earlier run to tell how long" if seconds is None else f"about {duration(seconds)}"
                state = f"to run, {time}"
            elif run.hash in done:
                state = "done"
            else:
                state = f"failed before, see {failed_before[run.hash]}; --retry_failed tries again"
            lines.append(f"{run.name}: {state}")
    known = [seconds for run in to_run if (seconds := estimates.get(run.hash)) is not None]
    text = f"{len(plan)} planned, {len(done)} done, {len(to_run)} to run"
    waiting = len(plan) - len(done) - len(to_run)
    if waiting:
        text += f", {waiting} failed before (--retry_failed tries again)"
    if known:
        unknown = len(to_run) - len(known)
        text += f", about {duration(sum(known) / jobs)}"
        text += f", and {plural(unknown, 'run')} of unknown length" if unknown else ""
    return "\n".join([*lines, text])


class Progress:
    """A bar over all runs, on a terminal, and a line per run."""

    def __init__(self, total: int) -> None:
        self._bar = tqdm(total=total, desc="sweep", unit="run", disable=None)

    def show(self, outcome: Outcome) -> None:
        text = f"{outcome.run.name}: {outcome.status}"
        if outcome.test_accuracy is not None:
            text += f", test accuracy {outcome.test_accuracy:.2%}"
        if outcome.seconds:
            text += f", {duration(outcome.seconds)}"
        if outcome.message:
            text += f": {outcome.message}"
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()
        self._bar.update()

    def close(self) -> None:
        self._bar.close()


def summary(plan: Sequence[PlannedRun], outcomes: Sequence[Outcome]) -> str:
    """A table with a line per row of the plan."""
    by_hash = {outcome.run.hash: outcome for outcome in outcomes}
    titles = ("row", "planned", FINISHED, DONE_BEFORE, FAILED, SKIPPED, "not run", "test accuracy")
    lines: list[tuple[str, ...]] = [titles]
    for row in dict.fromkeys(run.row for run in plan):
        ended = [by_hash.get(run.hash) for run in plan if run.row == row]
        counts = [str(sum(o is not None and o.status == s for o in ended)) for s in titles[2:6]]
        accuracies = [o.test_accuracy for o in ended if o is not None and o.test_accuracy is not None]
        text = ""
        if accuracies:
            text = f"{statistics.fmean(accuracies):.2%}"
            text += f" ± {100 * statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
        lines.append((str(row), str(len(ended)), *counts, str(ended.count(None)), text))
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
