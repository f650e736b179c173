"""What became of a planned run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ablation.sweep.plan import PlannedRun


class Status(StrEnum):
    """How a planned run ended, as people read it."""

    FINISHED = "finished"
    DONE_BEFORE = "done before"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """Attributes:
    message: why it failed or was skipped.
    headline: of a run that finished, the value of the task's headline.
    """

    run: PlannedRun
    status: Status
    message: str = ""
    seconds: float = 0.0
    headline: float | None = None
