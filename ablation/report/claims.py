"""What a user's own runs say to the published claims: held, failed, cannot be told, not run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["held", "failed", "cannot be told", "not run"]
HELD: Status = "held"
FAILED: Status = "failed"
UNTOLD: Status = "cannot be told"
NOT_RUN: Status = "not run"
STATUSES: tuple[Status, ...] = (HELD, FAILED, UNTOLD, NOT_RUN)


@dataclass(frozen=True)
class ClaimFinding:
    """One published claim beside the user's own runs, everything as a reader sees it.

    Attributes:
        text: the claim in words.
        relation: ``>``, ``<`` or ``=``, between first and second.
        first, second: names of the two sides, such as ``row 1``.
        published_first, published_second: their published figures; empty where none are published.
        own_first, own_second: the user's, in the same unit; empty where there are none.
        interval: 95 % interval of the difference, first minus second.
        p: corrected by Holm's method for all tested claims.
        how: how it was told, or why it was not.
        command: what to run for an answer; empty where nothing is missing or this program cannot do it.
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
