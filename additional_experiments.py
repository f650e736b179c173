"""Fine-tune GPT-2 as an SMS spam classifier, one row of the ablation table per command, and append the row to a CSV."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from ablation.config.experiment import FIELDS, ConfigError, ExperimentConfig
from ablation.config.flags import Parser, config_from_flags
from ablation.config.rows import ROWS
from ablation.environment import python_command, require_packages

COMMAND_OPTIONS = ("row", "dry_run", "force")


def make_parser() -> argparse.ArgumentParser:
    """The flags, generated from the fields of ``ExperimentConfig``. Values are read and checked there, all at once."""
    parser = Parser(
        "additional_experiments.py", description=__doc__, allow_abbrev=False, argument_default=argparse.SUPPRESS
    )
    parser.add_argument(
        "--row", help=f"row of the published table, {min(ROWS)} to {max(ROWS)}; other flags override it"
    )
    parser.add_argument("--dry_run", action="store_true", help="say what would be done and downloaded; load nothing")
    parser.add_argument("--force", action="store_true", help="try even if the memory looks too small")
    for name, field in FIELDS.items():
        help_text = field.metadata["help"].replace("%", "%%")
        if isinstance(field.default, bool):
            parser.add_argument(f"--{name}", action="store_true", help=help_text)
        else:
            default = "" if field.default is None else f" (default: {field.default})"
            choices = field.metadata["choices"]
            metavar = f"{{{','.join(choices)}}}" if choices else "VALUE"
            parser.add_argument(f"--{name}", metavar=metavar, help=help_text + default)
    return parser


def read_command(arguments: list[str] | None = None) -> tuple[ExperimentConfig, list[str], dict[str, Any]]:
    """The configuration that a command line means, settings without effect, and the command's own options.

    Raises:
        ConfigError: the command is wrong.
        SystemExit: from argparse, for an unknown flag or ``--help``.
    """
    flags = vars(make_parser().parse_args(arguments))
    options = {name: flags.pop(name) for name in COMMAND_OPTIONS if name in flags}
    config, warnings = config_from_flags(flags, options.get("row"))
    return config, warnings, options


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
    for warning in warnings:
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
