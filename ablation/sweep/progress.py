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
    """A table with a line for each row of the plan, and for each of its values where settings have several."""
    by_hash = {outcome.run.hash: outcome for outcome in outcomes}
    settings = [name for name, _ in plan[0].values]
    titles = ("row", *["values"][: len(settings)], "planned", *Status, "not run", headline.title)
    lines: list[tuple[str, ...]] = [titles]
    for row, values in dict.fromkeys(run.variant for run in plan):
        ended = [by_hash.get(run.hash) for run in plan if run.variant == (row, values)]
        counts = [str(sum(o is not None and o.status == s for o in ended)) for s in Status]
        found = [o.headline for o in ended if o is not None and o.headline is not None]
        tried, not_run = [" ".join(value for _, value in values)][: len(settings)], str(ended.count(None))
        lines.append((str(row), *tried, str(len(ended)), *counts, not_run, mean_and_spread(headline, found)))
    notes = (
        [f"{headline.title}: mean ± standard deviation over seeds"] if any("±" in line[-1] for line in lines) else []
    )
    notes += [f"values: {', '.join(settings)}"] if settings else []
    return "\n".join([*notes, *_aligned(lines, folded=bool(settings))])


def _aligned(lines: Sequence[Sequence[str]], *, folded: bool) -> list[str]:
    """Cells under one another, to the right; titles, the first line, with a word per line where ``folded``,
    so that more columns fit beside one another."""
    words = [title.split() if folded else [title] for title in lines[0]]
    height = max(map(len, words))
    titles = [["" for _ in range(height - len(title))] + title for title in words]
    table = [*zip(*titles, strict=True), *lines[1:]]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in table]


def mean_and_spread(metric: Metric, values: Sequence[float]) -> str:
    """The mean, and behind ± the standard deviation of more than one value; empty without values."""
    if not values:
        return ""
    mean = shown(metric, statistics.fmean(values))
    return f"{mean} ± {shown(metric, statistics.stdev(values)).removesuffix('%')}" if len(values) > 1 else mean
