"""Fine-tune GPT-2 as an SMS spam classifier, one row of the ablation table per command, and append the row to a CSV."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from typing import Any

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
from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.flags import EXPERIMENTS
from ablation.environment import require_packages


def experiment(config: ExperimentConfig, options: Mapping[str, Any]) -> None:
    """Run, append the row, show it, and say what to do next."""
    from ablation.listener import Listeners
    from ablation.run.beforehand import check_beforehand
    from ablation.run.console import Console
    from ablation.run.experiment import run_experiment
    from ablation.run.kinds import save_result
    from ablation.run.next_steps import next_steps, show_steps
    from ablation.run.progress_file import progress_told
    from ablation.run.summary import Summary
    from ablation.tasks.spam import SPAM

    quiet = options.get("quiet", False)
    for repaired in check_beforehand(SPAM, config, force=options.get("force", False)):
        warn(repaired)
    with closing(Console(quiet=quiet)) as console, progress_told(options.get("progress_file")) as told:
        result = run_experiment(SPAM, config, Listeners(console, told))
    with interrupts_held("the run had ended before, and its row is in the results"):
        summary = Summary.of(SPAM, result.config, save_result(SPAM, result), result.answers.majority)
        console.message("")
        tell(summary.describe())
        if not quiet:
            say(show_steps(next_steps(summary), terminal_width(sys.stdout)))


def run(config: ExperimentConfig, options: Mapping[str, Any]) -> int:
    """Do what the command means; returns the exit status.

    Raises:
        ConfigError: the device asked for is not there, or the memory is too small.
    """
    from ablation.results.row_list import row_list
    from ablation.run.dry_run import describe
    from ablation.run.inputs import EXPECTED_FAILURES
    from ablation.tasks.spam import SPAM

    try:
        if options.get("list_rows"):
            say(row_list(SPAM, config))
        elif options.get("dry_run"):
            tell(describe(SPAM, config))
        else:
            experiment(config, options)
    except EXPECTED_FAILURES as error:
        return fail([str(error)])
    return FINISHED


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 for a finished run, 1 for one that failed, 2 for a wrong command, 130 for an interrupted one."""
    try:
        config, warnings, options = EXPERIMENTS.read(arguments)
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    require_packages()
    from ablation.run.recorded import recording_remarks

    for warning in [*warnings, *recording_remarks(config)]:
        warn(warning)
    interrupt_on_signals()
    try:
        return run(config, options)
    except KeyboardInterrupt as interrupt:
        what_is_true = str(interrupt) or "nothing was appended to the results"
        return fail([f"interrupted: {what_is_true}"], INTERRUPTED)
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)


if __name__ == "__main__":
    sys.exit(main())
