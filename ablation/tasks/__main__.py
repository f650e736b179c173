"""``python -m ablation.tasks --rebuild RESULTS_DIR``: make the CSVs of a results folder anew from its runs."""

from __future__ import annotations

import sys
from pathlib import Path

from ablation.commands import FINISHED, WRONG_COMMAND, fail, say
from ablation.environment import require_packages
from ablation.results.log import REBUILD_COMMAND, ResultsError
from ablation.results.runs import rebuild
from ablation.words import plural


def main(arguments: list[str]) -> int:
    """Exit status 0 for rebuilt files, 1 for a failure, 2 for a wrong command."""
    if len(arguments) != 2 or arguments[0] != "--rebuild":
        say(f"usage: {REBUILD_COMMAND} RESULTS_DIR", sys.stderr)
        return WRONG_COMMAND
    require_packages()
    from ablation.tasks.registry import TASKS

    try:
        found, problems = rebuild(Path(arguments[1]), TASKS)
    except ResultsError as error:
        return fail([str(error)])
    for path, rows in found.items():
        say(f"{path}: {plural(rows, 'row')}")
    return fail(problems) if problems else FINISHED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
