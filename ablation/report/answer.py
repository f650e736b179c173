"""What the results say in plain sentences, for who reads nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ablation.report import significance
from ablation.report.claims import ClaimFinding
from ablation.report.findings import best_baseline
from ablation.report.groups import Group
from ablation.report.judgement import FAILED, HELD, NOT_RUN, UNTOLD
from ablation.report.paired import Comparison, compare
from ablation.report.suggestions import Suggestions
from ablation.report.table import TableRow
from ablation.results.read import DATA_DIGEST
from ablation.results.task import Likeness, Metric, Task
from ablation.words import plural

MINIATURE = (
    "These runs are of the demo, a miniature of this project's own: they show how everything works, and say nothing"
    " about GPT-2 or about published figures."
)
NO_RUNS = "There are no results yet, so there is nothing to say; “Missing” has the commands that make some."


@dataclass(frozen=True)
class Best:
    """A configuration that stands for its kind: its runs, and its line of the table."""

    group: Group
    row: TableRow

    @property
    def called(self) -> str:
        return f"row {self.row.name}" if self.row.name[0].isdecimal() else self.row.name

    @property
    def described(self) -> str:
        if self.row.description in ("", self.row.name):
            return self.called
        # The description of a baseline says all that makes it a variant of itself.
        name = self.group.first["row"] if self.group.first.is_baseline else self.called
        return f"{name} ({self.row.description})"


def plain_answer(
    task: Task,
    lines: Sequence[tuple[Group, TableRow]],
    likeness: Likeness | None,
    claims: Sequence[ClaimFinding],
    suggest: Suggestions,
) -> list[str]:
    """The answer, a sentence or two an entry.

    Args:
        lines: groups whose runs all count, each with its line of the table.
    """
    sentences = [MINIATURE] if suggest.demo else []
    best, baseline = _best_trained(task, lines), _best_baseline(task, lines)
    other = _best_baseline(task, lines, tuned=True)
    if best is baseline is other is None:
        return [*sentences, NO_RUNS]
    if best is None:
        sentences.append("No row was run yet, only baselines: simple models that a trained row has to beat.")
    else:
        chosen = f"The best configuration by {task.chooser.title} is {best.described}: it"
        sentences.append(_figure(task, best, chosen))
    if baseline is None:
        sentences.append(f"No baseline was run beside it; {suggest.baselines()} says what simple models get.")
    else:
        sentences.append(_figure(task, baseline, f"The best cheap baseline, {baseline.described},"))
    if best is not None and baseline is not None:
        sentences.append(_difference(task, best, baseline, likeness))
    if other is not None:
        sentences.append(_figure(task, other, f"Of other models that were fine-tuned, the best, {other.described},"))
    if claims:
        sentences.append(_claims(claims))
    return sentences


def _best_trained(task: Task, lines: Sequence[tuple[Group, TableRow]]) -> Best | None:
    """The trained configuration that is best on the split that chooses, as :func:`best_baseline` is; among those on the
    data of the first line, so that only like is compared with like."""
    trained = [Best(group, row) for group, row in lines if not group.first.is_baseline]
    alike = [line for line in trained if _trained_on(line.group) == _trained_on(trained[0].group)]
    chooser = task.chooser
    sign = 1 if chooser.more_is_better else -1
    return max(alike, key=lambda line: sign * line.row.figures[chooser.name].mean, default=None)


def _best_baseline(task: Task, lines: Sequence[tuple[Group, TableRow]], *, tuned: bool = False) -> Best | None:
    """Of the baselines on the data of the trained configuration, which may be the user's own."""
    trained = [group for group, _ in lines if not group.first.is_baseline]
    data = _trained_on((trained or [group for group, _ in lines])[0]) if lines else None
    alike = [group for group, _ in lines if group.first.is_baseline and _trained_on(group) == data]
    found = best_baseline(task, {group.key: group for group in alike}, tuned=tuned)
    return next((Best(group, row) for group, row in lines if group is found), None)


def _trained_on(group: Group) -> tuple[str, int | None]:
    """Which examples, and how many of those to train on."""
    return group.first[DATA_DIGEST], group.first_examples


def _figure(task: Task, best: Best, subject: str) -> str:
    """What it gets, how sure that is, and from how many runs."""
    metric, figures = task.headline, best.row.figures[task.headline.name]
    verb, seeds = _gets(task, metric, figures.mean, best), len(best.row.seeds)
    runs = f" on average over {seeds} runs that differ in their random seed alone" if seeds > 1 else ""
    if seeds == 1 and best.row.seeds[0]:
        runs = f" in one run (seed {best.row.seeds[0]})"
    text = f"{subject} {verb}{runs}."
    if figures.interval is None:
        return text
    low, high = (f"{metric.scale * bound:.1f}" for bound in figures.interval)
    chance = f"which {task.examples} were drawn" if seeds == 1 else f"seeds and of which {task.examples} were drawn"
    return (
        f"{text} Allowing for the chance of {chance}, it may truly be anything from {low} to {high} % (95 % interval)."
    )


def _gets(task: Task, metric: Metric, mean: float, best: Best) -> str:
    if metric.split is None:
        return f"has {metric.title} of {mean:.3g}"
    total = best.group.first.counts[metric.split].total
    return f"answers {metric.scale * mean:.2f} % of the {total:,} {metric.split} {task.examples} correctly"


def _difference(task: Task, best: Best, baseline: Best, likeness: Likeness | None) -> str:
    """Whether the two can be told apart. One comparison, chosen without a look at what it is made on: no correction."""
    found = compare(task, best.group, baseline.group, likeness)
    if found.interval is None:
        return f"Whether it is better than the baseline cannot be told: {found.method}."
    if found.p is None:
        words = significance.few_seeds(found.by_seed, first=best.called, second=baseline.called)
        return f"Whether the difference is more than chance cannot be told yet: {words}."
    return _told(found, best, baseline)


def _told(found: Comparison, best: Best, baseline: Best) -> str:
    assert found.interval is not None and found.p is not None
    low, high = (100 * bound for bound in found.interval)
    span = "{:.1f} to {:.1f} points".format(*sorted((abs(low), abs(high))))
    caution = " This is of one run: another seed may say otherwise." if found.seeds == 1 else ""
    if found.p <= 1 - significance.LEVEL and low * high > 0:
        better, worse = (best, baseline) if low > 0 else (baseline, best)
        return f"That is more than chance: {better.called} is better than {worse.called} by {span}.{caution}"
    return (
        f"Which of the two is better cannot be told: {best.called} may be anything from {low:+.1f} to {high:+.1f}"
        f" points away from {baseline.called}.{caution}"
    )


def _claims(claims: Sequence[ClaimFinding]) -> str:
    counts = Counter(claim.status for claim in claims)
    beyond = sum(claim.status == NOT_RUN and not claim.command for claim in claims)
    about = f"{plural(len(claims), 'published claim')} about this table"
    unable = f" ({beyond} of them no row can tell)" if beyond else ""
    if counts[NOT_RUN] == len(claims):
        return f"None of {about} was put to the test by these runs{unable}."
    return (
        f"Of {about}, {counts[HELD]} held in these runs and {counts[FAILED]} failed; {counts[UNTOLD]} cannot be told"
        f" (too few runs, or too small a difference), and {counts[NOT_RUN]} were not run{unable}."
    )
