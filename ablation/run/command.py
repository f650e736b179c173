"""What every command that runs one experiment does: read it and refuse it, say what it would do, or do it and show the
result. Nothing heavy is imported before the command is known to be right."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ablation.commands import (
    FINISHED,
    INTERRUPTED,
    WRONG_COMMAND,
    fail,
    interrupt_on_signals,
    interrupts_held,
    say,
    tell,
    terminal_width,
    warn,
)
from ablation.config.flags import CommandLine
from ablation.config.settings import CommonSettings, ConfigError
from ablation.environment import require_packages

if TYPE_CHECKING:
    from ablation.results.task import Task


def run_command(asked: CommandLine, find_task: Callable[[], Task], arguments: list[str] | None) -> int:
    """Exit status 0 for a finished run, 1 for one that failed, 2 for a wrong command, 130 for an interrupted one.

    Args:
        find_task: gives the task; called once the command is known to be right, because tasks are slow to import.
    """
    try:
        config, warnings, options = asked.read(arguments)
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    require_packages()
    return carry_out(lambda: do(find_task(), config, options, warnings))


def carry_out(work: Callable[[], None]) -> int:
    """Do what a command means, in which it may be interrupted; what goes wrong becomes one line and a status."""
    from ablation.run.inputs import EXPECTED_FAILURES

    interrupt_on_signals()
    try:
        work()
    except KeyboardInterrupt as interrupt:
        what_is_true = str(interrupt) or "nothing was appended to the results"
        return fail([f"interrupted: {what_is_true}"], INTERRUPTED)
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    except EXPECTED_FAILURES as error:
        return fail([str(error)])
    return FINISHED


def do(task: Task, config: CommonSettings, options: Mapping[str, Any], warnings: list[str]) -> None:
    """List the rows, say what would be done, or run.

    Raises:
        ConfigError: the device asked for is not there, or the memory is too small.
        DataError, WeightsError, DownloadError, ResultsError, RunError: as the run's.
    """
    from ablation.results.row_list import row_list
    from ablation.run.kinds import describe_plan, remarks

    for warning in [*warnings, *remarks(config)]:
        warn(warning)
    if options.get("list_rows"):
        say(row_list(task, config))
    elif options.get("dry_run"):
        tell(describe_plan(task, config))
    else:
        _experiment(task, config, options)


def _experiment(task: Task, config: CommonSettings, options: Mapping[str, Any]) -> None:
    """Run, append the rows, show them, and say what to do next."""
    from ablation.listener import Listeners
    from ablation.run import kinds
    from ablation.run.beforehand import check_beforehand
    from ablation.run.console import Console
    from ablation.run.next_steps import next_steps, show_steps
    from ablation.run.progress_file import progress_told

    quiet = options.get("quiet", False)
    for repaired in check_beforehand(task, config, force=options.get("force", False)):
        warn(repaired)
    with closing(Console(quiet=quiet)) as console, progress_told(options.get("progress_file")) as told:
        result = kinds.run(task, config, Listeners(console, told))
    with interrupts_held("the run had ended before, and its row is in the results"):
        summary = kinds.summarize(task, result, kinds.save_result(task, result))
        console.message("")
        tell(summary.describe())
        if not quiet:
            say(show_steps(next_steps(summary), terminal_width(sys.stdout)))
