"""The cheap models that every row of the ablation table has to beat, as rows B1 to B3 of the same results.

    python baselines.py [--rows B1,B2,B3] [--data_dir data] [--results_dir results]
    python baselines.py --demo                                   # on the embedded messages, into results/demo
    python baselines.py --data_file mail.csv                     # on messages of your own
    python baselines.py --n_train 100                            # fitted to the first 100 training messages

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
from ablation.commands import FINISHED, INTERRUPTED, WRONG_COMMAND, fail, tell, warn
from ablation.config.experiment import DEMO_RESULTS_DIR, FIELDS, RESULTS_DIR, ConfigError, ExperimentConfig
from ablation.config.flags import EXPERIMENTS, Parser, report_command
from ablation.config.own_data import OWN_DATA_FIELDS
from ablation.environment import require_packages

if TYPE_CHECKING:
    from ablation.baselines.words import Splits
    from ablation.results.task import ClassifierTask


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
    parser = Parser(description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    rows = ", ".join(f"{name} {baseline.description}" for name, baseline in BASELINES.items())
    parser.add_argument("--rows", default=",".join(BASELINES), metavar="NAMES", help=f"{rows} (default: all)")
    parser.add_argument("--data_dir", metavar="FOLDER", help="folder of the messages (default: data)")
    parser.add_argument(
        "--results_dir",
        metavar="FOLDER",
        help=f"where rows go (default: {RESULTS_DIR}; with --demo: {DEMO_RESULTS_DIR})",
    )
    parser.add_argument("--demo", action="store_true", help="the embedded messages; no published figure beside them")
    parser.add_argument("--again", action="store_true", help="fit also those that the results hold already")
    parser.add_argument("--offline", action="store_true", help="never open a connection; say what is missing instead")
    parser.add_argument("--trust_new_hash", action="store_true", help="use messages other than the published ones")
    for name, field in {"n_train": FIELDS["n_train"], **OWN_DATA_FIELDS}.items():
        parser.add_argument(f"--{name}", metavar="VALUE", help=field.metadata["help"].replace("%", "%%"))
    return parser


def read_config(options: argparse.Namespace) -> ExperimentConfig:
    """What a command says of messages and results, as the runner takes it.

    Raises:
        ConfigError: all problems of it together.
    """
    own = ("rows", "again")  # of this command alone
    given = {name: value for name, value in vars(options).items() if name not in own and value not in (None, False)}
    return EXPERIMENTS.configure(given)[0]


def run_baseline(
    task: ClassifierTask, name: str, splits: Splits, digest: str, config: ExperimentConfig
) -> dict[str, Any]:
    """Fit one baseline to splits of this digest and keep it like any run; returns the row as appended.

    Raises:
        ResultsError: the results folder cannot be written.
    """
    from ablation.baselines.record import describe_baseline
    from ablation.results.run_folder import write_run

    baseline = BASELINES[name]
    started = time.perf_counter()
    fitted = baseline.fit(splits, baseline.settings)
    seconds = time.perf_counter() - started
    record = describe_baseline(task, name, baseline, fitted, splits, seconds, config, digest)
    return write_run(Path(config.results_dir), task, record)[0]


def accuracies(row: Mapping[str, Any]) -> str:
    """Those of a row, as a person reads them."""
    return ", ".join(f"{name} {row[f'{name}_acc']:.2%}" for name in ("training", "validation", "test"))


def time_of(row: Mapping[str, Any], kept: bool) -> str:
    return "already in the results" if kept else f"{60 * row['training_minutes']:.1f} s"


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 for finished baselines, 1 for a failure, 2 for a wrong command, 130 after an interrupt."""
    options = make_parser().parse_args(arguments)
    try:
        names, config = parse_rows(options.rows), read_config(options)
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    except ValueError as error:
        return fail([str(error)], WRONG_COMMAND)

    require_packages()
    from ablation.baselines.record import identity, kept_baseline
    from ablation.data.demo import disclaimer
    from ablation.data.labels import DataError
    from ablation.files.download import DownloadError
    from ablation.results.log import ResultsError
    from ablation.results.read import read_results
    from ablation.results.runs import check_writable, complete
    from ablation.tasks.spam import SPAM, messages_of

    results_dir = Path(config.results_dir)
    try:
        if config.demo:
            tell(disclaimer(config.own_data).long)
        for repaired in complete(results_dir, SPAM):
            warn(repaired)
        check_writable(results_dir, SPAM)
        config = SPAM.settled(config)
        splits, digest, _ = messages_of(config)
        known = [] if options.again else read_results(results_dir, SPAM)[0]
        for name in names:
            kept = kept_baseline(known, identity(name, BASELINES[name], config), digest)
            row = kept.values if kept else run_baseline(SPAM, name, splits, digest, config)
            tell(f"{name} {BASELINES[name].description}\n   {accuracies(row)}; {time_of(row, kept is not None)}")
    except KeyboardInterrupt:
        return fail(["interrupted; finished baselines are in the results"], INTERRUPTED)
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    except (DataError, DownloadError, ResultsError) as error:
        return fail([str(error)])
    tell(f"rows are in {results_dir / SPAM.csv_name}; --again fits once more what is there already")
    tell(f"to compare them: {report_command(str(results_dir), config.data_dir)}")
    return FINISHED


if __name__ == "__main__":
    sys.exit(main())
