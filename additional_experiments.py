"""Fine-tune GPT-2 as an SMS spam classifier, one row of the ablation table per command, and append the row to a CSV."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import NoReturn

from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.flags import read_command
from ablation.environment import python_command, require_packages
from ablation.run.remarks import recording_remarks


def run(config: ExperimentConfig, *, force: bool) -> None:
    """Run, append the row, show it."""
    from ablation.results import run_folder
    from ablation.results.log import CSV_NAME, RUNS_FOLDER
    from ablation.run import experiment
    from ablation.run.console import Console, summary
    from ablation.run.dry_run import next_command

    device = experiment.resolve_device(config)
    if not force:
        experiment.check_memory(config, device)
    row = run_folder.save_result(experiment.run_experiment(config, Console()))
    print(summary(row, Path(config.results_dir) / CSV_NAME))
    if config.save_model:
        folder = Path(config.results_dir) / RUNS_FOLDER / row["run_id"]
        print(f'model kept; to use it: {python_command()} classify.py --model {shlex.quote(str(folder))} "a message"')
    if config.demo:
        print(next_command(config))


def interrupt(signal_number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 for a finished run, 1 for one that failed or was interrupted, 2 for a wrong command."""
    try:
        config, warnings, options = read_command(arguments)
    except ConfigError as error:
        return fail(error.problems, status=2)
    for warning in [*warnings, *recording_remarks(config)]:
        print(f"warning: {warning}", file=sys.stderr)

    require_packages()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        if options.get("dry_run"):
            from ablation.run.dry_run import describe

            print(describe(config))
        else:
            run(config, force=options.get("force", False))
    except KeyboardInterrupt:
        return fail(["interrupted: nothing was appended to the results"], status=130)
    except ConfigError as error:
        return fail(error.problems, status=2)
    except Exception as error:
        from ablation.run.experiment import EXPECTED_FAILURES

        if not isinstance(error, EXPECTED_FAILURES):
            raise
        return fail([str(error)], status=1)
    return 0


def fail(lines: list[str] | tuple[str, ...], status: int) -> int:
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
