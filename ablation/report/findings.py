"""What the results say to the declared questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ablation.report import significance
from ablation.report.groups import Group, base_of
from ablation.report.paired import (
    Comparison,
    compare,
    identical,
    paired_predictions,
    paired_runs,
    unequal_conditions,
)
from ablation.report.suggestions import Suggestions
from ablation.results.questions import (
    BEST_BASELINE,
    Family,
    Question,
    Side,
    base_of_side,
    evaluation_of,
    row_and_settings,
    side_name,
)
from ablation.results.read import BASE, WEIGHTS_DIGEST, row_settings, variant_key
from ablation.results.task import Likeness, PredictionsError, Task

ONE_TRAINING = "all its seeds start from one training of the language model: another training may do otherwise"


@dataclass(frozen=True)
class Finding:
    """What the results say to one question; differences are the second minus the first, as fractions.

    Attributes:
        seeds: number of common seeds.
        method: how it was compared, or why it was not.
        verdict: in words, cautious ones where seeds are too few for a test; empty where there is none.
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
    absent: tuple[Side, ...] = ()
    notes: tuple[str, ...] = ()


def answer_all(
    task: Task, groups: Iterable[Group], likeness: Likeness | None, questions: Sequence[Question]
) -> list[Finding]:
    """Answer the questions as far as the results go, and correct within each family."""
    by_key = keyed(groups)
    findings = [_answer(task, question, by_key, likeness) for question in questions]
    for family in dict.fromkeys(question.family for question in questions):
        places = [i for i, q in enumerate(questions) if q.family == family and not q.identity]
        p_values = [findings[i].p for i in places]
        corrected = significance.holm([1.0 if p is None else p for p in p_values])
        for i, p, adjusted in zip(places, p_values, corrected, strict=True):
            if p is not None:
                findings[i] = _with_verdict(replace(findings[i], corrected=adjusted))
    return findings


def keyed(groups: Iterable[Group]) -> dict[str, Group]:
    """The groups as questions know them, see :func:`row_key`. Those on a language model stand there twice: as what they
    are, a variant by the digest of their base, and by how that was trained. Where it was trained more than once, the
    group with the most seeds is taken, the newest among equals."""
    groups = list(groups)
    found = {group.key: group for group in groups}
    for group in sorted(groups, key=_seeds_and_time):
        base = base_of(group.first)
        if base is not None and WEIGHTS_DIGEST in group.first.settings:
            own = {name: value for name, value in group.first.settings.items() if name != WEIGHTS_DIGEST}
            found[variant_key({**own, **group.first.evaluation, BASE: base})] = group
    return found


def _seeds_and_time(group: Group) -> tuple[int, str]:
    return len(group.runs), max(run["timestamp_utc"] for run in group.runs.values())


def row_key(task: Task, family: Family, side: Side) -> str:
    """The configuration that a row, or a variant of one, means in a family; a base is known by how it was trained."""
    (row, settings), base = row_and_settings(side), base_of_side(side)
    own = row_settings(task, int(row), **{**family.overrides, **settings})
    return variant_key({**own, **evaluation_of(side, family), **({} if base is None else {BASE: base})})


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
    if question.identity:
        return _identity(task, question, first, second)
    found = compare(task, second, first, likeness)
    finding = Finding(
        question,
        seeds=found.seeds,
        method=found.method,
        difference=found.difference,
        interval=found.interval,
        p=found.p,
        sign_flip=found.sign_flip,
        smallest=found.smallest,
        verdict=_cautious(question, found),
        absent=() if found.seeds else question.sides,
        notes=found.notes,
    )
    about = [ONE_TRAINING] if any(base_of_side(side) is not None for side in question.sides) else []
    about += [f"the baseline is {first.name}"] if question.first == BEST_BASELINE else []
    return replace(finding, notes=(*finding.notes, *about))


def _cautious(question: Question, found: Comparison) -> str:
    """What is said of seeds too few for a test, and of more than McNemar takes."""
    if found.p is not None or not found.by_seed:
        return ""
    return significance.few_seeds(found.by_seed, first=_called(question.second), second=_called(question.first))


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


def _called(side: Side) -> str:
    return "the baseline" if side == BEST_BASELINE else side_name(side)


def _identity(task: Task, question: Question, first: Group, second: Group) -> Finding:
    runs = paired_runs(first, second)
    if not runs:
        return Finding(question, method="the two have no seed in common", absent=question.sides)
    try:
        pairs = [paired_predictions(a, b, task.splits[-1]) for a, b in runs]
    except PredictionsError as error:
        return Finding(question, seeds=len(runs), method=f"not compared: {error}")
    verdict, notes = identical(pairs), unequal_conditions(runs)
    method = "identity check, outside the family"
    return Finding(question, seeds=len(runs), method=method, verdict=verdict, notes=notes)


def with_commands(finding: Finding, suggest: Suggestions) -> Finding:
    """The finding with one more note if results are absent: the commands that make them."""
    if not finding.absent:
        return finding
    rows = [side for side in finding.absent if side != BEST_BASELINE]
    commands = [suggest.baselines()] if BEST_BASELINE in finding.absent else []
    if rows:
        commands.append(suggest.sweep(rows, finding.question.family))
    return replace(finding, notes=(*finding.notes, "; ".join(commands)))
