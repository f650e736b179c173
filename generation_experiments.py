"""Train GPT-2 as a language model on sentences, one row of its table per command; generate, and append rows to a CSV."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ablation.config.generation_rows import GENERATION
from ablation.run.command import run_command

if TYPE_CHECKING:
    from ablation.results.task import Task


def language_model() -> Task:
    """What the experiments are about."""
    from ablation.tasks.language_model import LANGUAGE_MODEL

    return LANGUAGE_MODEL


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 for a finished run, 1 for one that failed, 2 for a wrong command, 130 for an interrupted one."""
    return run_command(GENERATION, language_model, arguments)


if __name__ == "__main__":
    sys.exit(main())
