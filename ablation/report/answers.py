"""Answers to the declared questions: how the test follows from the number of seeds, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ablation.report import significance as statistics
from ablation.report.groups import Group, Seeds
from ablation.report.messages import Messages
from ablation.report.questions import BEST_BASELINE, MARGIN, RANDOM_TWINS, Question
from ablation.results.read import Predictions, PredictionsError

DEFAULT_SEEDS = "123-132"  # ten: the fewest with which the sign-flip test can say anything
NO_SEED: Seeds = (None, None)


@dataclass(frozen=True)
class Answer:
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
    groups: Iterable[Group], messages: Messages | None, questions: Sequence[Question]
) -> list[Answer]:
    """Answer the questions as far as the results go, and correct within each family."""
    by_key = {group.key: group for group in groups}
    answers = [_answer(question, by_key, messages) for question in questions]
    for family in dict.fromkeys(question.family for question in questions):
        places = [i for i, q in enumerate(questions) if q.family == family and not q.identity]
        p_values = [answers[i].p for i in places]
        corrected = statistics.holm([1.0 if p is None else p for p in p_values])
        for i, p, adjusted in zip(places, p_values, corrected, strict=True):
            if p is not None:
                answers[i] = _with_verdict(replace(answers[i], corrected=adjusted))
    return answers


def best_baseline(groups: Mapping[str, Group]) -> Group | None:
    """The baseline that is right most often on the validation split; the lowest name among equals."""
    baselines = [group for _, group in sorted(groups.items()) if group.is_baseline]
    return max(baselines, key=lambda group: group.first.counts["validation"].accuracy, default=None)


def _answer(question: Question, groups: Mapping[str, Group], messages: Messages | None) -> Answer:
    sides = []
    for side in (question.first, question.second):
        key = question.key(side)
        sides.append(best_baseline(groups) if key is None else groups.get(key))
    first, second = sides
    if first is None or second is None:
        both = zip((question.first, question.second), sides, strict=True)
        absent = tuple(side for side, group in both if group is None)
        return Answer(question, method=f"no results of {_listed(absent)}", absent=absent)
    seeds = _common_seeds(first, second)
    if not seeds:
        absent = (question.first, question.second)
        return Answer(question, method="the two have no seed in common", absent=absent)
    try:
        pairs = [(_run_predictions(first, seed), _run_predictions(second, seed)) for seed in seeds]
    except PredictionsError as error:
        return Answer(question, seeds=len(seeds), method=f"not compared: {error}")
    if any(not np.array_equal(a.labels, b.labels) for a, b in pairs):
        return Answer(question, seeds=len(seeds), method="not compared: the two were tested on different labels")
    notes = _unequal_conditions(first, second, seeds)
    if question.identity:
        return replace(_identity(question, pairs), notes=notes)
    correct = [np.array([side.correct for side in column]) for column in zip(*pairs, strict=True)]
    clusters = np.arange(correct[0].shape[1]) if messages is None else messages.clusters["test"]
    answer = _compared(question, correct[0], correct[1], clusters)
    if question.first == BEST_BASELINE:
        notes = (f"the baseline is {first.name}", *notes)
    return replace(answer, notes=(*answer.notes, *notes))


def _common_seeds(first: Group, second: Group) -> list[Seeds]:
    """Seeds that both were run with; a baseline has none, and goes with every seed of the other."""
    if first.is_baseline:
        return list(second.runs)
    if second.is_baseline:
        return list(first.runs)
    return [seed for seed in first.runs if seed in second.runs]


def _run_predictions(group: Group, seed: Seeds) -> Predictions:
    return group.runs[NO_SEED if group.is_baseline else seed].predictions("test")


def _compared(
    question: Question, first: NDArray[np.int64], second: NDArray[np.int64], clusters: NDArray[np.int64]
) -> Answer:
    """Compare ``correct`` (S, N) of two configurations, by the number of seeds S."""
    seeds, count = first.shape
    difference = float(second.mean() - first.mean())
    if seeds == 1:
        b, c = int((second > first).sum()), int((first > second).sum())
        return Answer(
            question,
            seeds=1,
            method=f"exact McNemar, {b} against {c} messages",
            difference=difference,
            interval=statistics.paired_interval(b, c, count),
            p=statistics.exact_mcnemar(b, c),
            smallest=statistics.smallest_mcnemar_difference(b + c, count),
            notes=("of these two runs only: another seed may say otherwise",),
        )
    estimate = statistics.paired_comparison(second, first, clusters)
    low, high = estimate.interval()
    answer = Answer(
        question,
        seeds=seeds,
        method="figures only: a verdict takes six common seeds",
        difference=difference,
        interval=(float(low), float(high)),
        smallest=float(statistics.smallest_detectable_difference(estimate)),
    )
    if seeds < statistics.SEEDS_FOR_A_TEST:
        return answer
    sign_flip = None
    if seeds >= statistics.SEEDS_FOR_SIGN_FLIPS:
        sign_flip = statistics.sign_flip_p_value(second.mean(1) - first.mean(1))
    freedom = float(estimate.degrees_of_freedom)
    method = f"seeds and messages crossed, t with {freedom:.1f} df"
    return replace(answer, method=method, p=float(estimate.p_value()), sign_flip=sign_flip)


def _with_verdict(answer: Answer) -> Answer:
    if answer.interval is None or answer.corrected is None:
        return answer
    words = statistics.verdict(
        answer.interval,
        answer.corrected,
        first=_called(answer.question.second),
        second=_called(answer.question.first),
        margin=MARGIN,
    )
    low, high = answer.interval
    if words.startswith("cannot tell") and low * high > 0:
        words += "; not 0 by itself, but too close to it among so many questions"
    return replace(answer, verdict=words)


def _called(side: str) -> str:
    return "the baseline" if side == BEST_BASELINE else f"row {side}"


def _identity(question: Question, pairs: Sequence[tuple[Predictions, Predictions]]) -> Answer:
    same = sum(np.array_equal(a.logits, b.logits) for a, b in pairs)
    words = f"identical to the last bit in {same} of {len(pairs)} common seeds"
    if same < len(pairs):
        largest = max(float(np.abs(a.logits - b.logits).max()) for a, b in pairs)
        words += f"; largest difference of a logit {largest:.2g}"
    return Answer(question, seeds=len(pairs), method="identity check, outside the family", verdict=words)


def _unequal_conditions(first: Group, second: Group, seeds: Sequence[Seeds]) -> tuple[str, ...]:
    """What differs between the two sides besides the question: device or PyTorch version."""
    notes = []
    for column, words in (("device_name", "devices"), ("torch_version", "versions of PyTorch")):
        values = {
            group.runs[seed][column]
            for group in (first, second)
            if not group.is_baseline
            for seed in seeds
        }
        if len(values) > 1:
            notes.append(f"different {words}: {', '.join(sorted(values))}")
    return tuple(notes)


# ---- what to run ----------------------------------------------------------------------------------------------------


def _listed(sides: Sequence[str]) -> str:
    return " and ".join("a baseline" if side == BEST_BASELINE else f"row {side}" for side in sides)


def with_commands(answer: Answer, *, demo: bool = False) -> Answer:
    """The answer with one more note if results are absent: the commands that make them."""
    if not answer.absent:
        return answer
    rows = [side for side in answer.absent if side != BEST_BASELINE]
    commands = [baselines_command(demo=demo)] if BEST_BASELINE in answer.absent else []
    if rows:
        commands.append(sweep_command(rows, random=answer.question.family == RANDOM_TWINS, demo=demo))
    return replace(answer, notes=(*answer.notes, "; ".join(commands)))


def baselines_command(names: Iterable[str] = (), *, demo: bool = False) -> str:
    """The command that runs these baselines, or all."""
    rows = ",".join(names)
    return "python baselines.py" + (" --demo" if demo else "") + (f" --rows {rows}" if rows else "")


def sweep_command(
    rows: Iterable[str], *, random: bool = False, seeds: str = DEFAULT_SEEDS, demo: bool = False
) -> str:
    """The command that runs these published rows, or their twins with random weights."""
    own = f"python sweep.py {'--demo ' if demo else ''}--rows {','.join(rows)} --seeds {seeds}"
    return own + (" -- --weights random" if random else "")
