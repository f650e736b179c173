"""What a user's own runs say to the published claims: held, failed, cannot be told, not run.

The rules, declared before any result. All differences are the first side minus the second.

* **Six seeds** that both sides have, or six runs of both where time and memory are compared, are what a verdict takes.
  Fewer give figures only, one seed those of exact McNemar, too: it tells two trained models apart, where a claim is
  about configurations, and seeds alone move an accuracy by a point or two.
* **Shares** (accuracies, and training minus validation accuracy) are compared by seeds and examples crossed. In a
  difference of training and validation accuracy the training examples count as given. The p values of all claims on
  shares that the published rows can tell are one family and corrected by Holm's method, whether or not they were run;
  those of claims on rows beside them, the ways to fine-tune, are another.
* **Several pairs** are compared where a claim is about more than two rows, such as “at any rank”: it is *held* if it is
  for each pair, and *failed* if it is for one.
* **A direction** (>, <) is *held* if the corrected test finds it. It *failed* if the corrected test finds the opposite,
  or if the 95 % interval excludes any advantage that matters: one of the margin that the questions have, or of the
  published advantage where that is smaller, so that a claim of “slightly better” is not refuted by an interval that
  contains it.
* **An equality** is *held* if the whole interval lies within the claim's margin. It *failed* if the whole interval lies
  outside and the corrected test finds a difference.
* **Time and memory** are compared by medians of runs under the same conditions: device, threads, execution, features
  at hand. Their interval is that of the ratio, from the middle halves of both sides' runs, widened by what a repeated
  run differs by at best. The rules for direction and equality are the same; a difference is found if the interval of
  the ratio excludes 1.
* **Every figure** is *held* if all shares are equal in every common seed, and *failed* if one is not though both sides
  ran under the same conditions.
* Sizes that a claim names in words (“by 3.33 points”, “almost three times”) are not judged, only shown beside yours.
* Whatever is neither held nor failed *cannot be told*. A claim of which a side has no results is *not run*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ablation.report import significance
from ablation.report.findings import row_key
from ablation.report.groups import Group
from ablation.report.judgement import FAILED, HELD, NOT_RUN, UNTOLD, Status, judge, published_advantage
from ablation.report.measured import measure
from ablation.report.paired import Comparison, compare, identical, paired_predictions, paired_runs, unequal_conditions
from ablation.report.suggestions import Suggestions
from ablation.results.claims import Claim, EveryShare, Measured, Shares
from ablation.results.questions import Side, row_and_settings, side_name
from ablation.results.task import Likeness, PredictionsError, Task
from ablation.words import plural


@dataclass(frozen=True)
class ClaimFinding:
    """One published claim beside the user's own runs, everything as a reader sees it.

    Attributes:
        text: the claim in words.
        relation: ``>``, ``<`` or ``=``, between first and second.
        first, second: names of the two sides, such as ``row 1``.
        published_first, published_second: their published figures; empty where none are published.
        own_first, own_second: the user's, in the same unit; empty where there are none.
        interval: 95 % interval of the difference, first minus second; of a ratio for time and memory.
        p: corrected by Holm's method for all tested claims.
        how: how it was told, or why it was not.
        command: what to run for an answer; empty where nothing is missing or this program cannot do it.
        quantity: what is compared, with its unit; empty where rows have none such.
    """

    id: str
    text: str
    relation: str
    first: str
    second: str
    published_first: str
    published_second: str
    status: Status
    own_first: str = ""
    own_second: str = ""
    interval: str = ""
    p: str = ""
    how: str = ""
    command: str = ""
    quantity: str = ""


@dataclass(frozen=True)
class _Case:
    """A claim of which both sides were run, with the comparison of its shares where it is about shares."""

    task: Task
    claim: Claim
    first: Group
    second: Group
    compared: Comparison | None
    corrected: float | None


def answer_claims(
    task: Task, groups: Iterable[Group], likeness: Likeness | None, claims: Sequence[Claim], suggest: Suggestions
) -> list[ClaimFinding]:
    """Hold the claims against the groups, and correct the p values of their one family."""
    by_key = {group.key: group for group in groups}
    parts = [part for claim in claims for part in pair_by_pair(claim)]
    sides = [_sides(task, part, by_key) for part in parts]
    compared = [_compared(task, part, *pair, likeness) for part, pair in zip(parts, sides, strict=True)]
    corrected = _corrected(parts, compared)
    findings: dict[str, list[ClaimFinding]] = {}
    for number, (claim, (first, second)) in enumerate(zip(parts, sides, strict=True)):
        if first is None or second is None:
            finding = _not_run(claim, first, second, suggest)
        else:
            case = _Case(task, claim, first, second, compared[number], corrected.get(number))
            finding = _with_command(TELL[type(claim.quantity)](case), case, suggest)
        findings.setdefault(claim.id, []).append(finding)
    return [together(claim, findings[claim.id]) for claim in claims]


def _corrected(claims: Sequence[Claim], compared: Sequence[Comparison | None]) -> dict[int, float]:
    """Holm's p values by place, each family of claims on shares for itself, run or not."""
    shares = [i for i, claim in enumerate(claims) if isinstance(claim.quantity, Shares) and not claim.why_not]
    p_values = {i: found.p if (found := compared[i]) and _has_enough(found) else None for i in shares}
    corrected: dict[int, float] = {}
    for family in dict.fromkeys(claims[i].family for i in shares):
        places = [i for i in shares if claims[i].family == family]
        holm = significance.holm([1.0 if (p := p_values[i]) is None else p for i in places])
        corrected |= {i: p for i, p in zip(places, holm, strict=True) if p_values[i] is not None}
    return corrected


def _sides(task: Task, claim: Claim, groups: Mapping[str, Group]) -> tuple[Group | None, Group | None]:
    if claim.why_not:
        return None, None
    ((first, second),) = claim.compared
    return groups.get(row_key(task, claim.family, first)), groups.get(row_key(task, claim.family, second))


def _compared(
    task: Task, claim: Claim, first: Group | None, second: Group | None, likeness: Likeness | None
) -> Comparison | None:
    if first is None or second is None or not isinstance(claim.quantity, Shares):
        return None
    return compare(task, first, second, likeness, claim.quantity.weights)


def _has_enough(found: Comparison) -> bool:
    return found.seeds >= significance.SEEDS_FOR_A_TEST


def _with_command(finding: ClaimFinding, case: _Case, suggest: Suggestions) -> ClaimFinding:
    """More seeds help where there are fewer than a verdict takes."""
    few = len(paired_runs(case.first, case.second)) < significance.SEEDS_FOR_A_TEST
    if finding.status != UNTOLD or not few:
        return finding
    return replace(finding, command=suggest.sweep(_in_order(case.claim.compared[0]), case.claim.family))


def _in_order(sides: Iterable[Side]) -> list[Side]:
    return sorted(sides, key=lambda side: int(row_and_settings(side)[0]))


def _finding(claim: Claim, status: Status, how: Iterable[str], **own: str) -> ClaimFinding:
    """What the publication says beside one's own; also where its figures do not bear out its words."""
    reasons, published = [*how], published_advantage(claim)
    if published is not None and published <= 0:
        figures = f"{claim.published_first} and {claim.published_second}"
        reasons.append(f"the published figures themselves, {figures}, do not say so")
    return ClaimFinding(
        claim.id, claim.text, claim.relation, claim.first, claim.second, claim.published_first, claim.published_second,
        status, how="; ".join(reasons), quantity=claim.quantity.title if claim.quantity else "", **own,
    )  # fmt: skip


def _not_run(claim: Claim, first: Group | None, second: Group | None, suggest: Suggestions) -> ClaimFinding:
    if claim.why_not:
        return _finding(claim, NOT_RUN, [claim.why_not])
    sides = zip(claim.compared[0], (first, second), strict=True)
    absent = _in_order(side for side, group in sides if group is None)
    how = f"no results of {' and '.join(map(side_name, absent))}"
    return _finding(claim, NOT_RUN, [how], command=suggest.sweep(absent, claim.family))


# ---- claims on more than two rows ------------------------------------------------------------------------------------


def pair_by_pair(claim: Claim) -> list[Claim]:
    """The claim for each pair that it compares."""
    return [
        replace(claim, first=side_name(pair[0]), second=side_name(pair[1]), pairs=(pair,)) for pair in claim.pairs
    ] or [claim]


def together(claim: Claim, parts: Sequence[ClaimFinding]) -> ClaimFinding:
    """One finding of what was found of each pair."""
    if not claim.pairs:
        return parts[0]
    statuses = {part.status for part in parts}
    status = FAILED if FAILED in statuses else next(iter(statuses)) if len(statuses) == 1 else UNTOLD

    def all_of(name: str) -> str:
        texts = [getattr(part, name) for part in parts]
        return " / ".join(text or "–" for text in texts) if any(texts) else ""

    return replace(
        parts[0],
        first=claim.first,
        second=claim.second,
        status=status,
        how="; ".join(
            f"{part.first}: {part.status}" + ("" if part.status == NOT_RUN else f", {part.how}") for part in parts
        ),
        command="; ".join(dict.fromkeys(one for part in parts for one in part.command.split("; ") if one)),
        **{name: all_of(name) for name in ("own_first", "own_second", "interval", "p")},
    )


# ---- how each kind of quantity is told -------------------------------------------------------------------------------


def _tell_shares(case: _Case) -> ClaimFinding:
    claim, found = case.claim, case.compared
    assert found is not None
    if found.means is None:
        return _finding(claim, UNTOLD, [found.method])
    own = {name: f"{100 * mean:.2f}" for name, mean in zip(("own_first", "own_second"), found.means, strict=True)}
    if found.interval is not None:
        own["interval"] = " to ".join(f"{100 * bound:+.2f}" for bound in found.interval) + " points"
    if case.corrected is None or found.interval is None:
        words = significance.few_seeds(found.by_seed, first=claim.first, second=claim.second)
        return _finding(claim, UNTOLD, [words, _how_few(found), *found.notes], **own)
    status, why = judge(claim, found.interval, differs=case.corrected <= 1 - significance.LEVEL)
    how = [why, plural(found.seeds, "common seed"), found.method, *found.notes]
    return _finding(claim, status, how, p=significance.p_words(case.corrected), **own)


def _how_few(found: Comparison) -> str:
    """How seeds too few for a verdict were compared: one by McNemar's test, which is of two models."""
    if found.p is None:
        return found.method
    test = f"{found.method}, p {significance.p_words(found.p)} uncorrected"
    return f"{test}; a verdict takes {significance.SEEDS_IN_WORDS} common seeds"


def _tell_measured(case: _Case) -> ClaimFinding:
    claim = case.claim
    assert isinstance(claim.quantity, Measured)
    ratio, digits = measure(claim.quantity, case.first, case.second), claim.quantity.digits
    if ratio.interval is None:
        return _finding(claim, UNTOLD, [ratio.method])
    low, high = ratio.interval
    first, second = (f"{median:.{digits}f}" for median in ratio.medians)
    own = {"own_first": first, "own_second": second, "interval": f"{low:.2f} to {high:.2f} times"}
    if not ratio.enough:
        return _finding(claim, UNTOLD, [ratio.method], **own)
    status, why = judge(claim, (low - 1, high - 1), differs=not low <= 1 <= high)
    return _finding(claim, status, [why, ratio.method], **own)


def _tell_every_share(case: _Case) -> ClaimFinding:
    claim, split, runs = case.claim, case.task.splits[-1], paired_runs(case.first, case.second)
    if not runs:
        return _finding(claim, UNTOLD, ["the two have no seed in common"])
    equal = sum(a.counts == b.counts for a, b in runs)
    how = [f"all counts of right answers equal in {equal} of {plural(len(runs), 'common seed')}"]
    try:
        how.append("logits " + identical([paired_predictions(a, b, split) for a, b in runs]))
    except PredictionsError as error:
        how.append(f"logits not compared: {error}")
    unequal = unequal_conditions(runs)
    status = HELD if equal == len(runs) else UNTOLD if unequal else FAILED
    means = [100 * sum(run.counts[split].accuracy for run in side) / len(runs) for side in zip(*runs, strict=True)]
    return _finding(claim, status, [*how, *unequal], own_first=f"{means[0]:.2f}", own_second=f"{means[1]:.2f}")


TELL: Mapping[Any, Callable[[_Case], ClaimFinding]] = {
    Shares: _tell_shares,
    Measured: _tell_measured,
    EveryShare: _tell_every_share,
}
