"""What became of a planned run."""

from __future__ import annotations

from dataclasses import dataclass

from ablation.sweep.plan import PlannedRun

FINISHED, FAILED, SKIPPED, DONE_BEFORE = "finished", "failed", "skipped", "done before"


@dataclass(frozen=True)
class Outcome:
    """Attributes:
    status: one of the constants above.
    message: why it failed or was skipped.
    test_accuracy: of a run that finished, as a fraction.
    """

    run: PlannedRun
    status: str
    message: str = ""
    seconds: float = 0.0
    test_accuracy: float | None = None
