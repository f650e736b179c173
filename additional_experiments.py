"""Fine-tune GPT-2 as an SMS spam classifier, one row of the ablation table per command, and append the row to a CSV."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablation.commands import FINISHED, INTERRUPTED, WRONG_COMMAND, fail, interrupt_on_signals, interrupts_held, say
from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.flags import EXPERIMENTS
from ablation.environment import python_command, require_packages


def experiment(config: ExperimentConfig, *, force: bool, progress_file: str | None) -> None:
    """Run, append the row, show it."""
    from ablation.listener import Listeners
    from ablation.results.log import RUNS_FOLDER
    from ablation.results.run_folder import save_result
    from ablation.results.runs import complete
    from ablation.run.console import Console, summary
    from ablation.run.dry_run import next_command
    from ablation.run.experiment import run_experiment
    from ablation.run.inputs import resolve_device
    from ablation.run.memory import check_memory
    from ablation.run.progress_file import progress_told
    from ablation.tasks.spam import SPAM

    device = resolve_device(config)
    if not force:
        check_memory(config, device)
    results_dir = Path(config.results_dir)
    for repaired in complete(results_dir, SPAM):  # what is wrong with the results is better known before training
        say(f"warning: {repaired}", sys.stderr)
    with progress_told(progress_file) as told:
        result = run_experiment(SPAM, config, Listeners(Console(), told))
    with interrupts_held("the run had ended before, and its row is in the results"):
        rows = save_result(SPAM, result)
        say(summary(SPAM, rows, results_dir / SPAM.csv_name))
        if config.save_model:
            folder = shlex.quote(str(results_dir / RUNS_FOLDER / rows[0]["run_id"]))
            say(f'model kept; to use it: {python_command()} classify.py --model {folder} "a message"')
        if config.demo:
            say(next_command(SPAM, config))


def run(config: ExperimentConfig, options: Mapping[str, Any]) -> int:
    """Do what the command means; returns the exit status.

    Raises:
        ConfigError: the device asked for is not there, or the memory is too small.
    """
    from ablation.run.dry_run import describe
    from ablation.run.inputs import EXPECTED_FAILURES
    from ablation.tasks.spam import SPAM

    try:
        if options.get("dry_run"):
            say(describe(SPAM, config))
        else:
            experiment(config, force=options.get("force", False), progress_file=options.get("progress_file"))
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
        say(f"warning: {warning}", sys.stderr)
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
