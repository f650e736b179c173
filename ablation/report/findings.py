"""What the results say to the declared questions: how the test follows from the number of seeds, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ablation.config.experiment import PRETRAINED
from ablation.config.flags import typed
from ablation.report import significance
from ablation.report.groups import Group
from ablation.results.questions import BEST_BASELINE, Family, Question, side_name
from ablation.results.read import DATA_DIGEST, NO_SEED, FinishedRun, row_settings, variant_key
from ablation.results.task import Likeness, Predictions, PredictionsError, Task

DEFAULT_SEEDS = "123-132"  # ten: the fewest with which the sign-flip test can say anything


@dataclass(frozen=True)
class Finding:
    """What the results say to one question; differences are the second minus the first, as fractions.

    Attributes:
        seeds: number of common seeds.
        method: how it was compared, or why it was not.
        verdict: in words; empty where there is none.
        smallest: the smallest difference that these data could have shown.
        p: uncorrected; ``corrected`` by Holm's method for the whole family.
        sign_flip: uncorrected p of the sign-flip test, from ten seeds on.
        absent: the sides whose results an answer still needs.
        notes: what a reader must know besides.
    """

    question: Question
    seeds: int = 0
    method: str = ""
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    corrected: float | None = None
    sign_flip: float | None = None
    smallest: float | None = None
    verdict: str = ""
    absent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def answer_all(
    task: Task, groups: Iterable[Group], likeness: Likeness | None, questions: Sequence[Question]
) -> list[Finding]:
    """Answer the questions as far as the results go, and correct within each family."""
    by_key = {group.key: group for group in groups}
    findings = [_answer(task, question, by_key, likeness) for question in questions]
    for family in dict.fromkeys(question.family for question in questions):
        places = [i for i, q in enumerate(questions) if q.family == family and not q.identity]
        p_values = [findings[i].p for i in places]
        corrected = significance.holm([1.0 if p is None else p for p in p_values])
        for i, p, adjusted in zip(places, p_values, corrected, strict=True):
            if p is not None:
                findings[i] = _with_verdict(replace(findings[i], corrected=adjusted))
    return findings


def row_key(task: Task, family: Family, row: str) -> str:
    """The configuration that a row means in a family."""
    return variant_key({**row_settings(task, int(row), **family.overrides), **family.evaluation})


def best_baseline(task: Task, groups: Mapping[str, Group]) -> Group | None:
    """The baseline that is right most often on the split that chooses; the lowest name among equals."""
    baselines = [groups[name] for name in sorted(task.baselines) if name in groups]
    return max(baselines, key=lambda group: group.first.counts[task.splits[-2]].accuracy, default=None)


def _answer(task: Task, question: Question, groups: Mapping[str, Group], likeness: Likeness | None) -> Finding:
    first, second = (
        best_baseline(task, groups) if side == BEST_BASELINE else groups.get(row_key(task, question.family, side))
        for side in question.sides
    )
    if first is None or second is None:
        absent = tuple(side for side, group in zip(question.sides, (first, second), strict=True) if group is None)
        names = ("a baseline" if side == BEST_BASELINE else side_name(side) for side in absent)
        return Finding(question, method=f"no results of {' and '.join(names)}", absent=absent)
    return compare_groups(task, question, first, second, likeness)


def compare_groups(task: Task, question: Question, first: Group, second: Group, likeness: Likeness | None) -> Finding:
    """Compare two configurations on the last split; the verdict follows when the whole family is known."""
    runs = paired_runs(first, second)
    if not runs:
        return Finding(question, method="the two have no seed in common", absent=question.sides)
    split = task.splits[-1]
    try:
        pairs = [paired_predictions(a, b, split) for a, b in runs]
    except PredictionsError as error:
        return Finding(question, seeds=len(runs), method=f"not compared: {error}")
    notes = _unequal_conditions(runs)
    if question.identity:
        return replace(_identity(question, pairs), notes=notes)
    correct = [np.array([side.correct for side in column]) for column in zip(*pairs, strict=True)]
    known = first.own(likeness)
    clusters = np.arange(correct[0].shape[1]) if known is None else known.clusters[split]
    finding = _compared(task, question, correct[0], correct[1], clusters)
    if question.first == BEST_BASELINE:
        notes = (f"the baseline is {first.name}", *notes)
    return replace(finding, notes=(*finding.notes, *notes))


def paired_runs(first: Group, second: Group) -> list[tuple[FinishedRun, FinishedRun]]:
    """Runs with the seeds that both have; a baseline has none, and goes with every seed of the other."""
    if first.first.is_baseline:
        return [(first.runs[NO_SEED], run) for run in second.runs.values()]
    if second.first.is_baseline:
        return [(run, second.runs[NO_SEED]) for run in first.runs.values()]
    return [(first.runs[seeds], second.runs[seeds]) for seeds in first.runs if seeds in second.runs]


def paired_predictions(first: FinishedRun, second: FinishedRun, split: str) -> tuple[Predictions, Predictions]:
    """What both answered to the same examples.

    Raises:
        PredictionsError: there are no such answers, or the two differ in more than a question may be about.
    """
    if first[DATA_DIGEST] != second[DATA_DIGEST]:
        raise PredictionsError("the two were trained on different data")
    bases = {run["weights_digest"] for run in (first, second) if run["weights"] == PRETRAINED}
    if len(bases) > 1 and first["model_size"] == second["model_size"]:
        raise PredictionsError("the two started from different weights")
    answers = first.predictions(split), second.predictions(split)
    if not np.array_equal(answers[0].labels, answers[1].labels):
        raise PredictionsError("the two were tested on different labels")
    return answers


def _compared(
    task: Task, question: Question, first: NDArray[np.int64], second: NDArray[np.int64], clusters: NDArray[np.int64]
) -> Finding:
    """Compare ``correct`` (S, N) of two configurations, by the number of seeds S."""
    seeds, count = first.shape
    difference = float(second.mean() - first.mean())
    if seeds == 1:
        b, c = int((second > first).sum()), int((first > second).sum())
        return Finding(
            question,
            seeds=1,
            method=f"exact McNemar, {b} against {c} {task.examples}",
            difference=difference,
            interval=significance.paired_interval(b, c, count),
            p=significance.exact_mcnemar(b, c),
            smallest=significance.smallest_mcnemar_difference(b + c, count),
            notes=("of these two runs only: another seed may say otherwise",),
        )
    estimate = significance.paired_comparison(second, first, clusters)
    low, high = estimate.interval()
    finding = Finding(
        question,
        seeds=seeds,
        method="figures only: a verdict takes six common seeds",
        difference=difference,
        interval=(float(low), float(high)),
        smallest=float(significance.smallest_detectable_difference(estimate)),
    )
    if seeds < significance.SEEDS_FOR_A_TEST:
        return finding
    sign_flip = None
    if seeds >= significance.SEEDS_FOR_SIGN_FLIPS:
        sign_flip = significance.sign_flip_p_value(second.mean(1) - first.mean(1))
    freedom = float(estimate.degrees_of_freedom)
    method = f"seeds and {task.examples} crossed, t with {freedom:.1f} df"
    return replace(finding, method=method, p=float(estimate.p_value()), sign_flip=sign_flip)


def _with_verdict(finding: Finding) -> Finding:
    if finding.interval is None or finding.corrected is None:
        return finding
    words = significance.verdict(
        finding.interval,
        finding.corrected,
        first=_called(finding.question.second),
        second=_called(finding.question.first),
        margin=finding.question.family.margin,
    )
    low, high = finding.interval
    if words.startswith("cannot tell") and low * high > 0:
        words += "; not 0 by itself, but too close to it among so many questions"
    return replace(finding, verdict=words)


def _called(side: str) -> str:
    return "the baseline" if side == BEST_BASELINE else side_name(side)


def _identity(question: Question, pairs: Sequence[tuple[Predictions, Predictions]]) -> Finding:
    same = sum(np.array_equal(a.logits, b.logits) for a, b in pairs)
    words = f"identical to the last bit in {same} of {len(pairs)} common seeds"
    if same < len(pairs):
        largest = max(float(np.abs(a.logits - b.logits).max()) for a, b in pairs)
        words += f"; largest difference of a logit {largest:.2g}"
    return Finding(question, seeds=len(pairs), method="identity check, outside the family", verdict=words)


def _unequal_conditions(runs: Sequence[tuple[FinishedRun, FinishedRun]]) -> tuple[str, ...]:
    """What differs between the two sides besides the question: device or PyTorch version."""
    notes = []
    for column, words in (("device_name", "devices"), ("torch_version", "versions of PyTorch")):
        values = {run[column] for pair in runs for run in pair if not run.is_baseline}
        if len(values) > 1:
            notes.append(f"different {words}: {', '.join(sorted(values))}")
    return tuple(notes)


# ---- what to run ----------------------------------------------------------------------------------------------------


def with_commands(finding: Finding, *, demo: bool = False) -> Finding:
    """The finding with one more note if results are absent: the commands that make them."""
    if not finding.absent:
        return finding
    rows = [side for side in finding.absent if side != BEST_BASELINE]
    commands = [baselines_command(demo=demo)] if BEST_BASELINE in finding.absent else []
    if rows:
        commands.append(sweep_command(rows, finding.question.family, demo=demo))
    return replace(finding, notes=(*finding.notes, "; ".join(commands)))


def baselines_command(names: Iterable[str] = (), *, demo: bool = False) -> str:
    """The command that runs these baselines, or all."""
    rows = ",".join(names)
    return "python baselines.py" + (" --demo" if demo else "") + (f" --rows {rows}" if rows else "")


def sweep_command(rows: Iterable[str], family: Family, *, demo: bool = False) -> str:
    """The command that runs these rows as a family asks for them."""
    own = f"python sweep.py {'--demo ' if demo else ''}--rows {','.join(rows)} --seeds {DEFAULT_SEEDS}"
    return own + (f" -- {typed(family.overrides)}" if family.overrides else "")
