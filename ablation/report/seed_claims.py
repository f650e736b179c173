"""Published claims on figures that are compared seed by seed; the rules are those of :mod:`ablation.report.claims`."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ablation.config.flags import typed
from ablation.report import significance
from ablation.report.by_seed import BySeedComparison, Runs, compare_by_seed, runs_of
from ablation.report.claim_findings import ClaimFinding, finding_of
from ablation.report.groups import Group
from ablation.report.judgement import FAILED, HELD, NOT_RUN, STATUSES, UNTOLD, Status, judge
from ablation.report.suggestions import Suggestions
from ablation.results.claims import Claim
from ablation.results.quantities import BestEpochs, BySeed, Curve, Figure, LossJump
from ablation.results.questions import Side, Variant, evaluation_of, row_and_settings, side_name
from ablation.results.task import Task
from ablation.words import plural

SEEDS = "123-128"  # as many as a verdict takes
FEW_PARTS = 4  # are told one by one; more are counted


def is_by_seed(claim: Claim) -> bool:
    return isinstance(claim.quantity, BySeed) and not claim.why_not


@dataclass(frozen=True)
class _Tried:
    """One pair of a claim with what was run for it.

    Attributes:
        sides: the runs of both.
        trained: those of both sides' rows, whatever they were evaluated as.
        found: None where a side has no runs.
    """

    part: Claim
    sides: tuple[Runs, Runs]
    trained: tuple[Runs, Runs]
    found: BySeedComparison | None

    @property
    def absent(self) -> dict[str, Side]:
        """The sides without runs, by name; whole rows where nothing of them was run."""
        both = zip(self.part.compared[0], self.sides, self.trained, strict=True)
        missing = [side if trained else _row_of(side) for side, runs, trained in both if not runs]
        return {side_name(side): side for side in missing}

    @property
    def p(self) -> float | None:
        return self.found.p if self.found is not None and self.found.enough else None


def answer_by_seed(
    task: Task, groups: Sequence[Group], claims: Sequence[Claim], suggest: Suggestions
) -> dict[str, ClaimFinding]:
    """Hold claims against the runs, by the claims' ids; each family's p values are corrected together."""
    tried = {claim.id: [_try(task, groups, part) for part in claim.parts or (claim,)] for claim in claims}
    corrected: dict[str, list[float | None]] = {}
    for family in dict.fromkeys(claim.family for claim in claims):
        tested = [c for c in claims if c.family == family and not isinstance(c.quantity, BestEpochs)]
        holm = holm_of_claims([([one.p for one in tried[c.id]], c.relation == "=") for c in tested])
        corrected |= {claim.id: own for claim, own in zip(tested, holm, strict=True)}
    findings = {}
    for claim in claims:
        own = corrected.get(claim.id) or [None] * len(tried[claim.id])
        parts = [_tell(one, p) for one, p in zip(tried[claim.id], own, strict=True)]
        command = _command(task, claim, tried[claim.id], suggest)
        findings[claim.id] = replace(_together(claim, parts, deciding_p(claim, parts, own)), command=command)
    return findings


def _try(task: Task, groups: Sequence[Group], part: Claim) -> _Tried:
    ((first, second),) = part.compared
    whole = replace(part.family, evaluation={})
    sides = runs_of(task, part.family, first, groups), runs_of(task, part.family, second, groups)
    trained = runs_of(task, whole, _row_of(first), groups), runs_of(task, whole, _row_of(second), groups)
    return _Tried(part, sides, trained, compare_by_seed(part, *sides) if all(sides) else None)


def _row_of(side: Side) -> Side:
    """A side whatever it was evaluated as."""
    row, settings = row_and_settings(side)
    return Variant(row, settings) if settings else row


def holm_of_claims(claims: Sequence[tuple[Sequence[float | None], bool]]) -> list[list[float | None]]:
    """Holm's method over claims that may be on several pairs.

    A direction has to hold for every pair, so that the largest p of its pairs is its own, and no more correction is due
    for their number (the intersection-union test: R. L. Berger, Technometrics 24, 1982). That is so of a direction that
    holds; one that fails may do so by one pair, and is not corrected for their number. An equality is refuted by one
    pair, so that its own is the smallest, times their number.

    Args:
        claims: of each, the p of each of its pairs (None: not told), and whether it is an equality.

    Returns:
        The corrected p of each pair: where all of a claim's are small, so is the claim's own.
    """
    scaled = [[None if p is None else p * (len(ps) if equality else 1) for p in ps] for ps, equality in claims]
    own = [
        (min if equality else max)((p for p in ps if p is not None), default=1.0)
        for ps, (_, equality) in zip(scaled, claims, strict=True)
    ]
    corrected: list[list[float | None]] = [[] for _ in claims]
    before = 0.0
    for rank, place in enumerate(sorted(range(len(claims)), key=lambda i: own[i])):
        left = len(claims) - rank
        corrected[place] = [None if p is None else min(1.0, max(before, left * p)) for p in scaled[place]]
        before = min(1.0, max(before, left * own[place]))
    return corrected


def deciding_p(claim: Claim, parts: Sequence[ClaimFinding], corrected: Sequence[float | None]) -> float | None:
    """The p that a claim's verdict hangs on: of a direction that held the largest of its pairs, of one that failed the
    smallest of those that failed; of an equality the smallest."""
    known = [(part.status, p) for part, p in zip(parts, corrected, strict=True) if p is not None]
    failed = [p for status, p in known if status == FAILED]
    if claim.relation == "=" or failed:
        return min(failed or [p for _, p in known], default=None)
    return max((p for _, p in known), default=None)


# ---- one pair --------------------------------------------------------------------------------------------------------


def _tell(tried: _Tried, corrected: float | None) -> ClaimFinding:
    part, found = tried.part, tried.found
    if found is None:
        return finding_of(part, NOT_RUN, [f"no results of {' and '.join(tried.absent)}"])
    lacking = [f"{plural(found.lacking, 'common seed')} without a figure of both"] if found.lacking else []
    if not found.seeds:
        return finding_of(part, UNTOLD, [*(lacking or ["the two have no seed in common"]), *found.notes])
    own: dict[str, Any] = {"own_first": _own(part, found, 0), "own_second": _own(part, found, 1), "seeds": found.seeds}
    seeds = plural(found.seeds, "common seed")
    if isinstance(part.quantity, BestEpochs):
        status, why = _differ(found)
        return finding_of(part, status, [why, *lacking, *found.notes], **own)
    if found.interval is not None:
        own["interval"] = _interval(part, found.interval)
    if not found.enough or corrected is None or found.interval is None:
        few = [] if lacking else [f"a verdict takes {significance.SEEDS_IN_WORDS} common seeds"]
        return finding_of(part, UNTOLD, [_few_seeds(part, found), *few, *lacking, *found.notes], **own)
    status, why = judge(part, found.interval, differs=corrected <= 1 - significance.LEVEL)
    how = [why, f"{seeds}, t with {found.seeds - 1} df", *found.notes]
    return finding_of(part, status, how, p=significance.p_words(corrected), **own)


def _differ(found: BySeedComparison) -> tuple[Status, str]:
    """Of two epochs in each run: they differ in all of enough runs, in none, or it depends on the seed."""
    count = sum(apart != 0 for apart in found.apart)
    why = f"they differ in {count} of {plural(found.seeds, 'run')}"
    if not found.enough:
        return UNTOLD, f"{why}; a verdict takes {significance.SEEDS_IN_WORDS}"
    return {found.seeds: HELD, 0: FAILED}.get(count, UNTOLD), why


def _digits(part: Claim) -> int:
    return part.quantity.digits if isinstance(part.quantity, Figure | Curve | LossJump) else 1


def _own(part: Claim, found: BySeedComparison, side: int) -> str:
    """Mean, and standard deviation where there are several seeds."""
    values, digits = [compared[side] for compared in found.values], _digits(part)
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread}"


def _interval(part: Claim, interval: tuple[float, float]) -> str:
    digits = _digits(part) and _digits(part) + 1  # a difference is smaller than what it is one of
    if isinstance(part.quantity, Curve):
        return f"{max(interval[0], 0):.{digits}f} to {interval[1]:.{digits}f} apart"
    return " to ".join(f"{bound:+.{digits}f}" for bound in interval)


def _few_seeds(part: Claim, found: BySeedComparison) -> str:
    """What seeds too few for a verdict say."""
    mean, seeds, digits = statistics.fmean(found.apart), plural(found.seeds, "seed"), _digits(part) + 1
    if isinstance(part.quantity, Curve):
        return f"the two are {mean:.{digits}f} apart on average of {seeds}"
    above, below, sign = (part.first, part.second, 1) if mean > 0 else (part.second, part.first, -1)
    agreeing = sum(sign * apart > 0 for apart in found.apart)
    if not agreeing or mean == 0:
        return f"{part.first} and {part.second} are equal on average of {seeds}"
    return f"{above} is {abs(mean):.{digits}f} above {below} on average, in {agreeing} of {seeds}"


# ---- all pairs of a claim --------------------------------------------------------------------------------------------


def _together(claim: Claim, parts: Sequence[ClaimFinding], p: float | None) -> ClaimFinding:
    """One finding of what was found of each pair."""
    if len(parts) == 1:
        return parts[0]
    asked = [part for part in parts if part.status != NOT_RUN] if within_rows(claim) else parts
    statuses = {part.status for part in asked} or {NOT_RUN}
    status = FAILED if FAILED in statuses else next(iter(statuses)) if len(statuses) == 1 else UNTOLD
    whole = finding_of(claim, status, _how(parts))
    mixed = len(parts) > FEW_PARTS and len({part.quantity for part in parts}) > 1  # no range is of two quantities
    return replace(
        whole,
        own_first="" if mixed else _all_of([part.own_first for part in parts]),
        own_second="" if mixed else _all_of([part.own_second for part in parts]),
        interval="" if len(parts) > FEW_PARTS else _all_of([part.interval for part in parts]),
        p="" if p is None else significance.p_words(p),
        seeds=min((part.seeds for part in asked), default=0),
        parts=tuple(parts),
    )


def within_rows(claim: Claim) -> bool:
    """Whether each pair is of one row, as where ways of decoding are compared: then those rows that were run tell."""
    return all(len({row_and_settings(side)[0] for side in pair}) == 1 for pair in claim.compared)


def _how(parts: Sequence[ClaimFinding]) -> list[str]:
    """Each pair in words; of many how many there are of each verdict, and why some are not held."""
    if len(parts) <= FEW_PARTS:
        return [f"{_pair(part, parts)}: {part.status}, {part.how}" for part in parts]
    counts = {status: sum(part.status == status for part in parts) for status in STATUSES}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    reasons: dict[tuple[str, str], list[str]] = {}
    for part in parts:
        if part.status in (FAILED, UNTOLD):
            reasons.setdefault((part.status, part.how), []).append(_pair(part, parts))
    absent = dict.fromkeys(part.how for part in parts if part.status == NOT_RUN)
    return [
        f"of {len(parts)} pairs {told}",
        *(f"{_some(pairs)}: {status}, {how}" for (status, how), pairs in reasons.items()),
        *absent,
    ]


def _some(pairs: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    return pairs[0] if len(pairs) == 1 else f"{pairs[0]} and {len(pairs) - 1} more"


def _pair(part: ClaimFinding, parts: Sequence[ClaimFinding]) -> str:
    """What is compared, with the quantity where that is not the same in all parts; a row that both sides share once."""
    row, _, way = part.second.partition(", ")
    second = way if way and part.first.startswith(f"{row}, ") else part.second
    of = f"{part.quantity}, " if len({other.quantity for other in parts}) > 1 else ""
    return f"{of}{part.first} {part.relation} {second}"


def _all_of(texts: Sequence[str]) -> str:
    """Of a few all; of many, from the smallest to the largest; what is the same of each once."""
    known = [text for text in texts if text]
    if not known or len(set(texts)) == 1:
        return texts[0]
    if len(texts) <= FEW_PARTS:
        return ", ".join(text or "–" for text in texts)
    figures = sorted((text.partition(" ")[0] for text in known), key=float)
    return f"{figures[0]} to {figures[-1]}"


# ---- what to run -----------------------------------------------------------------------------------------------------


def _command(task: Task, claim: Claim, tried: Iterable[_Tried], suggest: Suggestions) -> str:
    """What makes the runs that a verdict still takes; of a row that was run, but not evaluated so, what does that."""
    rows: dict[str, Side] = {}
    evaluations: dict[str, None] = {}
    for one in tried:
        if one.found is not None and one.found.seeds + one.found.lacking >= significance.SEEDS_FOR_A_TEST:
            continue
        for side, runs, trained in zip(one.part.compared[0], one.sides, one.trained, strict=True):
            if one.found is None and runs:
                continue
            evaluation = evaluation_of(side, claim.family)
            if evaluation and not runs and len(trained) >= significance.SEEDS_FOR_A_TEST:
                evaluations[f"python {task.command} --run RUN {typed(evaluation)}"] = None
            else:
                rows[side_name(_row_of(side))] = _row_of(side)
    in_order = sorted(rows.values(), key=lambda side: int(row_and_settings(side)[0]))
    return "; ".join([*([suggest.sweep(in_order, claim.family, SEEDS)] if rows else []), *evaluations])
