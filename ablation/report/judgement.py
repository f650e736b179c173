"""When a published claim is held, has failed, or cannot be told: the rules of :mod:`ablation.report.claims` as a
function of an interval."""

from __future__ import annotations

from typing import Literal

from ablation.results.claims import Claim, Measured, Shares

Status = Literal["held", "failed", "cannot be told", "not run"]
HELD: Status = "held"
FAILED: Status = "failed"
UNTOLD: Status = "cannot be told"
NOT_RUN: Status = "not run"
STATUSES: tuple[Status, ...] = (HELD, FAILED, UNTOLD, NOT_RUN)


def judge(claim: Claim, interval: tuple[float, float], *, differs: bool) -> tuple[Status, str]:
    """The status of a claim, and why.

    Args:
        interval: of the difference, first minus second: a fraction of examples, or of the second's figure where that is
            measured; else in the figure's own unit.
        differs: whether the test finds any difference.
    """
    if claim.relation == "=":
        return _equality(interval, claim.margin, _size(claim, claim.margin), differs=differs)
    low, high = interval if claim.relation == ">" else (-interval[1], -interval[0])
    least = least_that_matters(claim)
    if differs and low > 0:
        return HELD, "the difference is there, and as claimed"
    if differs and high < 0:
        return FAILED, "the difference is there, and the other way round"
    if high < least:
        return FAILED, f"a difference of {_size(claim, least)} or more, as claimed, is ruled out"
    if low > 0:
        return UNTOLD, "as claimed by itself, but too close to chance among so many claims"
    return UNTOLD, "the interval leaves it open"


def _equality(interval: tuple[float, float], margin: float, size: str, *, differs: bool) -> tuple[Status, str]:
    low, high = interval
    if -margin <= low and high <= margin:
        return HELD, f"the whole interval lies within {size}"
    if differs and (low > margin or high < -margin):
        return FAILED, f"the whole interval lies outside {size}"
    return UNTOLD, f"the interval reaches beyond {size}, and does not lie outside"


def _size(claim: Claim, margin: float) -> str:
    if isinstance(claim.quantity, Shares):
        return f"{100 * margin:.3g} points"
    return f"{100 * margin:.3g} %" if isinstance(claim.quantity, Measured) else f"{margin:.3g}"


def published_advantage(claim: Claim) -> float | None:
    """By how much the published figures differ the way a direction says: a fraction of examples, or of the second's
    figure where that is measured; else in the figure's own unit. None for what is no direction, or where no two figures
    are published."""
    sign = {">": 1, "<": -1}.get(claim.relation)
    try:
        first, second = float(claim.published_first), float(claim.published_second)
    except ValueError:
        return None
    if sign is None:
        return None
    if isinstance(claim.quantity, Measured):
        return sign * (first / second - 1)
    return sign * (first - second) / (100 if isinstance(claim.quantity, Shares) else 1)


def least_that_matters(claim: Claim) -> float:
    """The least difference as a direction says that matters: its margin, or the published one if that is less."""
    published = published_advantage(claim)
    return claim.margin if published is None or published <= 0 else min(claim.margin, published)
