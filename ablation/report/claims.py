"""What a user's own runs say to the published claims: held, failed, cannot be told, not run.

The rules, declared before any result. All differences are the first side minus the second.

* **Six seeds** that both sides have, or six runs of both where time and memory are compared, are what a verdict takes.
  Fewer give figures only, one seed those of exact McNemar, too: it tells two trained models apart, where a claim is
  about configurations, and seeds alone move an accuracy by a point or two.
* **Shares** (accuracies, and training minus validation accuracy) are compared by seeds and examples crossed. In a
  difference of training and validation accuracy the training examples count as given. The p values of all claims on
  shares that the published rows can tell are one family and corrected by Holm's method, whether or not they were run;
  those of claims on rows beside them, the ways to fine-tune and those of padding, are one more family each.
* **Figures of whole runs** (perplexity, BLEU, steps) are compared seed by seed, by Student's t over the differences:
  the sentences count as given, and both sides must have generated as many. Where a figure is looked at once an epoch
  only, its rounding counts as error. The p values of a table's claims of this kind are one family. A direction on
  several pairs counts there once, with the largest p of them, for it has to hold for each; an equality with the
  smallest, times their number. Ways of decoding are compared within a row, and told by those rows that were run.
* **Curves** are as far apart as they are on average over the epochs that both runs trained, up or down; their interval
  is of that, and is held against the margin alone.
* **Two epochs** of each run, such as those of best perplexity and of best BLEU, *differ* if they do in each of at least
  six runs, and the claim *failed* if they are the same in each.
* **Several pairs** are compared where a claim is about more than two rows, such as “at any rank”: it is *held* if it is
  for each pair, and *failed* if it is for one. That one is not corrected for the number of pairs: of many, one may fail
  by chance, so look how many did. The p shown is the one that the verdict hangs on.
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
from ablation.report.claim_findings import ClaimFinding as ClaimFinding
from ablation.report.claim_findings import finding_of
from ablation.report.findings import row_key
from ablation.report.groups import Group
from ablation.report.judgement import FAILED, HELD, NOT_RUN, UNTOLD, judge
from ablation.report.measured import measure
from ablation.report.paired import Comparison, compare, identical, paired_predictions, paired_runs, unequal_conditions
from ablation.report.seed_claims import answer_by_seed, is_by_seed
from ablation.report.suggestions import Suggestions
from ablation.results.claims import Claim, EveryShare, Measured, Shares
from ablation.results.questions import Side, row_and_settings, side_name
from ablation.results.task import Likeness, PredictionsError, Task
from ablation.words import plural


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
    """Hold the claims against the groups, and correct the p values of each family of them."""
    groups = list(groups)
    by_seed = answer_by_seed(task, groups, [claim for claim in claims if is_by_seed(claim)], suggest)
    others = _answer_others(task, groups, likeness, [claim for claim in claims if claim.id not in by_seed], suggest)
    return [{**by_seed, **others}[claim.id] for claim in claims]


def _answer_others(
    task: Task, groups: Sequence[Group], likeness: Likeness | None, claims: Sequence[Claim], suggest: Suggestions
) -> dict[str, ClaimFinding]:
    """Those that are not compared seed by seed alone, by their ids."""
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
    return {claim.id: together(claim, findings[claim.id]) for claim in claims}


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


def _not_run(claim: Claim, first: Group | None, second: Group | None, suggest: Suggestions) -> ClaimFinding:
    if claim.why_not:
        return finding_of(claim, NOT_RUN, [claim.why_not])
    sides = zip(claim.compared[0], (first, second), strict=True)
    absent = _in_order(side for side, group in sides if group is None)
    how = f"no results of {' and '.join(map(side_name, absent))}"
    return finding_of(claim, NOT_RUN, [how], command=suggest.sweep(absent, claim.family))


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
        own_first=all_of("own_first"),
        own_second=all_of("own_second"),
        interval=all_of("interval"),
        p=all_of("p"),
    )


# ---- how each kind of quantity is told -------------------------------------------------------------------------------


def _tell_shares(case: _Case) -> ClaimFinding:
    claim, found = case.claim, case.compared
    assert found is not None
    if found.means is None:
        return finding_of(claim, UNTOLD, [found.method])
    own = {name: f"{100 * mean:.2f}" for name, mean in zip(("own_first", "own_second"), found.means, strict=True)}
    if found.interval is not None:
        own["interval"] = " to ".join(f"{100 * bound:+.2f}" for bound in found.interval) + " points"
    if case.corrected is None or found.interval is None:
        words = significance.few_seeds(found.by_seed, first=claim.first, second=claim.second)
        return finding_of(claim, UNTOLD, [words, _how_few(found), *found.notes], **own)
    status, why = judge(claim, found.interval, differs=case.corrected <= 1 - significance.LEVEL)
    how = [why, plural(found.seeds, "common seed"), found.method, *found.notes]
    return finding_of(claim, status, how, p=significance.p_words(case.corrected), **own)


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
        return finding_of(claim, UNTOLD, [ratio.method])
    low, high = ratio.interval
    first, second = (f"{median:.{digits}f}" for median in ratio.medians)
    own = {"own_first": first, "own_second": second, "interval": f"{low:.2f} to {high:.2f} times"}
    if not ratio.enough:
        return finding_of(claim, UNTOLD, [ratio.method], **own)
    status, why = judge(claim, (low - 1, high - 1), differs=not low <= 1 <= high)
    return finding_of(claim, status, [why, ratio.method], **own)


def _tell_every_share(case: _Case) -> ClaimFinding:
    claim, split, runs = case.claim, case.task.splits[-1], paired_runs(case.first, case.second)
    if not runs:
        return finding_of(claim, UNTOLD, ["the two have no seed in common"])
    equal = sum(a.counts == b.counts for a, b in runs)
    how = [f"all counts of right answers equal in {equal} of {plural(len(runs), 'common seed')}"]
    try:
        how.append("logits " + identical([paired_predictions(a, b, split) for a, b in runs]))
    except PredictionsError as error:
        how.append(f"logits not compared: {error}")
    unequal = unequal_conditions(runs)
    status = HELD if equal == len(runs) else UNTOLD if unequal else FAILED
    means = [100 * sum(run.counts[split].accuracy for run in side) / len(runs) for side in zip(*runs, strict=True)]
    return finding_of(claim, status, [*how, *unequal], own_first=f"{means[0]:.2f}", own_second=f"{means[1]:.2f}")


TELL: Mapping[Any, Callable[[_Case], ClaimFinding]] = {
    Shares: _tell_shares,
    Measured: _tell_measured,
    EveryShare: _tell_every_share,
}
