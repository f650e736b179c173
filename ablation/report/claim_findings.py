"""What the report says of one published claim."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ablation.report.judgement import Status, published_advantage
from ablation.results.claims import Claim


@dataclass(frozen=True)
class ClaimFinding:
    """One published claim beside the user's own runs, everything as a reader sees it.

    Attributes:
        text: the claim in words.
        relation: ``>``, ``<`` or ``=``, between first and second.
        first, second: names of the two sides, such as ``row 1``.
        published_first, published_second: their published figures; empty where none are published.
        own_first, own_second: the user's, in the same unit; empty where there are none.
        interval: 95 % interval of the difference, first minus second; of a ratio for time and memory; of how far two
            curves are apart.
        p: corrected by Holm's method for all tested claims.
        how: how it was told, or why it was not.
        command: what to run for an answer; empty where nothing is missing or this program cannot do it.
        quantity: what is compared, with its unit; empty where rows have none such.
        seeds: that both sides have, or all pairs of them; 0 where nothing was compared by seed.
        parts: the same of each pair, where it is about several that are compared by seed.
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
    seeds: int = 0
    parts: tuple[ClaimFinding, ...] = ()


def finding_of(claim: Claim, status: Status, how: Iterable[str], **own: Any) -> ClaimFinding:
    """What the publication says beside one's own; also where its figures do not bear out its words."""
    reasons, published = [*how], published_advantage(claim)
    if published is not None and published <= 0:
        figures = f"{claim.published_first} and {claim.published_second}"
        reasons.append(f"the published figures themselves, {figures}, do not say so")
    return ClaimFinding(
        claim.id, claim.text, claim.relation, claim.first, claim.second, claim.published_first, claim.published_second,
        status, how="; ".join(reasons), quantity=claim.quantity.title if claim.quantity else "", **own,
    )  # fmt: skip
