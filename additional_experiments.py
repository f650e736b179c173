"""Fine-tune GPT-2 as an SMS spam classifier, one row of the ablation table per command, and append the row to a CSV."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ablation.config.flags import EXPERIMENTS
from ablation.run.command import run_command

if TYPE_CHECKING:
    from ablation.results.task import Task


def spam() -> Task:
    """What the experiments are about."""
    from ablation.tasks.spam import SPAM

    return SPAM


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 for a finished run, 1 for one that failed, 2 for a wrong command, 130 for an interrupted one."""
    return run_command(EXPERIMENTS, spam, arguments)


if __name__ == "__main__":
    sys.exit(main())
