"""What a person sees of a sweep: the plan, a bar with a line per run, the summary."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

from tqdm import tqdm

from ablation.results.task import Metric
from ablation.sweep.plan import Outcome, PlannedRun, Status
from ablation.sweep.state import SweepState, failed_before
from ablation.words import plural


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def shown(metric: Metric, value: float) -> str:
    """A share in percent, anything else as it is."""
    return f"{value:.2%}" if metric.split is not None else f"{value:.4g}"


def describe_plan(state: SweepState, jobs: int, *, details: bool) -> str:
    """The plan in a line, or with ``details`` a line per run too."""
    lines = [f"{run.name}: {_describe_run(run, state)}" for run in state.planned] if details else []
    text = f"{len(state.planned)} planned, {len(state.done)} done, {len(state.to_run)} to run"
    if state.failed:
        text += f", {len(state.failed)} failed before (--retry_failed tries again)"
    known = [seconds for seconds in state.estimates.values() if seconds is not None]
    if known:
        unknown = len(state.to_run) - len(known)
        text += f", about {duration(sum(known) / jobs)}"
        text += f", and {plural(unknown, 'run')} of unknown length" if unknown else ""
    return "\n".join([*lines, text])


def _describe_run(run: PlannedRun, state: SweepState) -> str:
    if run.hash in state.done:
        return "done"
    if run.hash in state.failed:
        return failed_before(state.failed[run.hash])
    seconds = state.estimates[run.hash]
    return f"to run, {'no earlier run to tell how long' if seconds is None else f'about {duration(seconds)}'}"


class Progress:
    """A bar over all runs, on a terminal, and a line per run."""

    def __init__(self, total: int, headline: Metric) -> None:
        self._headline = headline
        self._bar = tqdm(total=total, desc="sweep", unit="run", disable=None)

    def show(self, outcome: Outcome) -> None:
        text = f"{outcome.run.name}: {outcome.status}"
        if outcome.headline is not None:
            text += f", {self._headline.title} {shown(self._headline, outcome.headline)}"
        if outcome.seconds:
            text += f", {duration(outcome.seconds)}"
        if outcome.message:
            text += f": {outcome.message}"
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()
        self._bar.update()

    def close(self) -> None:
        self._bar.close()


def summary(plan: Sequence[PlannedRun], outcomes: Sequence[Outcome], headline: Metric) -> str:
    """A table with a line per row of the plan."""
    by_hash = {outcome.run.hash: outcome for outcome in outcomes}
    titles = ("row", "planned", *Status, "not run", headline.title)
    lines: list[tuple[str, ...]] = [titles]
    for row in dict.fromkeys(run.row for run in plan):
        ended = [by_hash.get(run.hash) for run in plan if run.row == row]
        counts = [str(sum(o is not None and o.status == s for o in ended)) for s in Status]
        values = [o.headline for o in ended if o is not None and o.headline is not None]
        lines.append((str(row), str(len(ended)), *counts, str(ended.count(None)), mean_and_spread(headline, values)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def mean_and_spread(metric: Metric, values: Sequence[float]) -> str:
    """The mean, and behind ± the standard deviation of more than one value; empty without values."""
    if not values:
        return ""
    mean = shown(metric, statistics.fmean(values))
    return f"{mean} ± {shown(metric, statistics.stdev(values)).removesuffix('%')}" if len(values) > 1 else mean
