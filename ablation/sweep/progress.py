"""What a person reads of a sweep before and after it: the plan, what became of a run, the summary."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from ablation.results.task import Metric
from ablation.sweep.failures import kind_of
from ablation.sweep.plan import Outcome, PlannedRun, Status
from ablation.sweep.state import SweepState
from ablation.words import duration, plural


def shown(metric: Metric, value: float) -> str:
    """A share in percent, anything else as it is."""
    return f"{value:.2%}" if metric.split is not None else f"{value:.4g}"


def time_of(estimates: Iterable[float | None], jobs: int) -> str:
    """How long some runs take together, as far as that is known: ``about 12 min and 2 runs of unknown length``."""
    estimates = list(estimates)
    known = [seconds for seconds in estimates if seconds is not None]
    if len(known) < len(estimates) and not sum(known):
        return "unknown"
    seconds = max(sum(known) / jobs, *known) if known else 0.0  # the longest is done by one of them
    text, unknown = f"about {duration(seconds)}", len(estimates) - len(known)
    return text + (f" and {plural(unknown, 'run')} of unknown length" if unknown else "")


def describe_plan(state: SweepState, jobs: int, *, details: bool) -> str:
    """The plan in a line, or with ``details`` a line per run too."""
    lines = [f"{run.name}: {_describe_run(run, state)}" for run in state.planned] if details else []
    text = f"{len(state.planned)} planned, {len(state.done)} done, {len(state.to_run)} to run"
    if state.failed:
        text += f", {len(state.failed)} failed before (--retry_failed tries again)"
    if state.to_run:
        text += f"; time: {time_of(state.estimates.values(), jobs)}"
    return "\n".join([*lines, text])


def _describe_run(run: PlannedRun, state: SweepState) -> str:
    if run.hash in state.done:
        return "done"
    if run.hash in state.failed:
        return f"failed before, see {state.failed[run.hash]}; --retry_failed tries again"
    seconds = state.estimates[run.hash]
    return f"to run, {'time unknown' if seconds is None else f'about {duration(seconds)}'}"


def describe_outcome(outcome: Outcome, headline: Metric, failures: Mapping[str, PlannedRun]) -> str:
    """What became of a run, in a line.

    Args:
        failures: by the kind of what they said, the first run that failed so; what it said is not said again.
    """
    text = f"{outcome.run.name}: {outcome.status}"
    if outcome.headline is not None:
        text += f", {headline.title} {shown(headline, outcome.headline)}"
    if outcome.seconds:
        text += f", {duration(outcome.seconds)}"
    if outcome.status == Status.FAILED and kind_of(outcome.message) in failures:
        return f"{text}, with the same error as {failures[kind_of(outcome.message)].name}"
    place = f" (log: {outcome.log})" if outcome.log is not None else ""
    return f"{text}: {outcome.message}{place}" if outcome.message else text


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
    table = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    note = [f"{headline.title}: mean ± standard deviation over seeds"] if any("±" in line[-1] for line in lines) else []
    return "\n".join(note + table)


def mean_and_spread(metric: Metric, values: Sequence[float]) -> str:
    """The mean, and behind ± the standard deviation of more than one value; empty without values."""
    if not values:
        return ""
    mean = shown(metric, statistics.fmean(values))
    return f"{mean} ± {shown(metric, statistics.stdev(values)).removesuffix('%')}" if len(values) > 1 else mean
