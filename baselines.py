"""The cheap models that every row of the ablation table has to beat, as rows B1 to B3 of the same results.

    python baselines.py [--rows B1,B2,B3] [--data_dir data] [--results_dir results]
    python baselines.py --demo                                   # on the embedded messages, into results/demo

Same messages, same splits and same files as the runs of ``additional_experiments.py``: each baseline is fitted on the
training split alone, and what has to be chosen is chosen on the validation split. One that the results hold already, on
the same messages, is skipped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.baselines.words import BASELINES
from ablation.commands import FINISHED, INTERRUPTED, WRONG_COMMAND, fail, say
from ablation.config.experiment import DEMO_RESULTS_DIR, RESULTS_DIR, ConfigError
from ablation.config.flags import Parser
from ablation.environment import report_command, require_packages

if TYPE_CHECKING:
    from ablation.baselines.words import Splits
    from ablation.results.task import Task


def parse_rows(text: str) -> list[str]:
    """The names in ``B1,B3``, each once, in order.

    Raises:
        ValueError: a name is none of the baselines', or there is none.
    """
    names = [name.strip().upper() for name in text.split(",")]
    unknown = [name or "(empty)" for name in names if name not in BASELINES]
    if unknown:
        raise ValueError(f"--rows {text}: no baseline {', '.join(unknown)}; give some of {','.join(BASELINES)}")
    return list(dict.fromkeys(names))


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rows = ", ".join(f"{name} {baseline.description}" for name, baseline in BASELINES.items())
    parser.add_argument("--rows", default=",".join(BASELINES), metavar="NAMES", help=f"{rows} (default: all)")
    parser.add_argument("--data_dir", type=Path, default=Path("data"), metavar="FOLDER", help="folder of the messages")
    parser.add_argument(
        "--results_dir",
        type=Path,
        metavar="FOLDER",
        help=f"where rows go (default: {RESULTS_DIR}; with --demo: {DEMO_RESULTS_DIR})",
    )
    parser.add_argument("--demo", action="store_true", help="the embedded messages; no published figure beside them")
    parser.add_argument("--again", action="store_true", help="fit also those that the results hold already")
    parser.add_argument("--offline", action="store_true", help="never open a connection; say what is missing instead")
    parser.add_argument("--trust_new_hash", action="store_true", help="use messages other than the published ones")
    return parser


def run_baseline(task: Task, name: str, splits: Splits, results_dir: Path, *, demo: bool) -> dict[str, Any]:
    """Fit one baseline and keep it like any run; returns the row as appended.

    Raises:
        ResultsError: the results folder cannot be written.
    """
    from ablation.baselines.record import describe_baseline
    from ablation.results.run_folder import write_run

    baseline = BASELINES[name]
    started = time.perf_counter()
    fitted = baseline.fit(splits, baseline.settings)
    seconds = time.perf_counter() - started
    record = describe_baseline(task, name, baseline, fitted, splits, seconds, demo=demo)
    return write_run(results_dir, task, record)[0]


def accuracies(row: Mapping[str, Any]) -> str:
    """Those of a row, as a person reads them."""
    return ", ".join(f"{name} {row[f'{name}_acc']:.2%}" for name in ("training", "validation", "test"))


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 for finished baselines, 1 for a failure, 2 for a wrong command, 130 after an interrupt."""
    options = make_parser().parse_args(arguments)
    try:
        names = parse_rows(options.rows)
    except ValueError as error:
        return fail([str(error)], WRONG_COMMAND)

    require_packages()
    from ablation.baselines.record import identity, kept_baseline
    from ablation.data.demo import DISCLAIMER
    from ablation.data.spam import DataError, load_splits
    from ablation.files.download import DownloadError
    from ablation.results.log import ResultsError
    from ablation.results.read import read_results
    from ablation.results.runs import check_writable, complete
    from ablation.tasks.spam import SPAM

    results_dir = options.results_dir or Path(DEMO_RESULTS_DIR if options.demo else RESULTS_DIR)
    try:
        if options.demo:
            say(DISCLAIMER)
        for repaired in complete(results_dir, SPAM):
            say(f"warning: {repaired}", sys.stderr)
        check_writable(results_dir, SPAM)
        splits = load_splits(
            options.data_dir, demo=options.demo, offline=options.offline, trust_new_hash=options.trust_new_hash
        )
        known = [] if options.again else read_results(results_dir, SPAM)[0]
        for name in names:
            kept = kept_baseline(known, identity(name, BASELINES[name], demo=options.demo), splits)
            row: Mapping[str, Any]
            if kept is None:
                row = run_baseline(SPAM, name, splits, results_dir, demo=options.demo)
                said = f"{60 * row['training_minutes']:.1f} s"
            else:
                row, said = kept.values, "already in the results"
            say(f"{name} {BASELINES[name].description}\n   {accuracies(row)}; {said}")
    except KeyboardInterrupt:
        return fail(["interrupted; finished baselines are in the results"], INTERRUPTED)
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    except (DataError, DownloadError, ResultsError) as error:
        return fail([str(error)])
    say(f"rows are in {results_dir / SPAM.csv_name}; --again fits once more what is there already")
    say(f"to compare them: {report_command(str(results_dir), str(options.data_dir))}")
    return FINISHED


if __name__ == "__main__":
    sys.exit(main())
