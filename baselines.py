"""What every row of the ablation table has to beat, as rows B1, B2, … of the same results.

    python baselines.py [--rows B1,B2,B3] [--data_dir data] [--results_dir results]
    python baselines.py --rows B4,B5 --seeds 123-128             # GPT-2 untrained, and its frozen features
    python baselines.py --rows B6 --shots 4                      # GPT-2 asked in words, with four examples
    python baselines.py --rows B7 --hf_model NAME_OR_FOLDER      # another pretrained model, fine-tuned
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
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.baselines.registry import BASELINES, IN_SECONDS
from ablation.commands import FINISHED, INTERRUPTED, WRONG_COMMAND, fail, say, tell, warn
from ablation.config.baseline import COMMAND_LINE, DRAWS, BaselineConfig, own_settings
from ablation.config.experiment import ConfigError
from ablation.config.flags import Parser, report_command, typed
from ablation.config.flags import remarks as without_effect
from ablation.config.own_data import OWN_DATA_FIELDS
from ablation.config.settings import fields_of
from ablation.environment import require_packages
from ablation.results.baseline_columns import AREAS
from ablation.sweep.lists import parse_numbers

if TYPE_CHECKING:
    from ablation.config.experiment import ExperimentConfig

OWN_OPTIONS = ("rows", "seeds", "again", "list_rows")  # of this command alone
RUN_OPTIONS = (
    "data_dir", "results_dir", "demo", "offline", "trust_new_hash", "models_dir", "weights_path", "device", "threads",
    *OWN_DATA_FIELDS,
)  # fmt: skip
TAKEN = {name for baseline in BASELINES.values() for name in baseline.takes}


@dataclass(frozen=True)
class Planned:
    """One baseline with one seed, and its name on the screen."""

    name: str
    config: BaselineConfig

    @property
    def title(self) -> str:
        """``B5 …, --hf_model x, seed 123``"""
        baseline = BASELINES[self.name]
        own = own_settings(self.config, baseline.taken(self.config))
        seed = f"seed {own.pop('seed')}" if "seed" in own else ""
        return ", ".join(filter(None, [f"{self.name} {baseline.description}", typed(own), seed]))


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
    rows = "; ".join(f"{name} {baseline.description}" for name, baseline in BASELINES.items())
    usual = ",".join(IN_SECONDS)
    parser.add_argument("--rows", default=usual, metavar="NAMES", help=f"{rows} (default: {usual})")
    parser.add_argument("--seeds", metavar="LIST", help="one row for each, of those that draw anything: 123-128")
    parser.add_argument("--again", action="store_true", help="fit also those that the results hold already")
    parser.add_argument("--list_rows", action="store_true", help="show the rows, and which settings each takes")
    unknown = set(fields_of(BaselineConfig)) - TAKEN - {"seed", *RUN_OPTIONS}
    COMMAND_LINE.add_settings(parser, without=unknown)
    return parser


def read_config(options: argparse.Namespace) -> BaselineConfig:
    """What a command says of messages, model and results.

    Raises:
        ConfigError: all problems of it together.
    """
    given = {name: value for name, value in vars(options).items() if name not in OWN_OPTIONS}
    return COMMAND_LINE.configure(given)[0]


def plan(names: Sequence[str], config: BaselineConfig, seeds: Iterable[int]) -> list[Planned]:
    """Every baseline with every seed that changes anything.

    Raises:
        ConfigError: a baseline lacks a setting, or has contradicting ones; all problems together.
    """
    planned, problems = [], []
    for name in names:
        baseline = BASELINES[name]
        lacking = [need for need in baseline.needs if getattr(config, need) is None]
        problems += [f"--rows {name}: is {baseline.description}; add --{need}" for need in lacking]
        try:
            own = baseline.config(config)
        except ConfigError as error:
            problems += [f"--rows {name}: {problem}" for problem in error.problems]
        else:
            each = seeds if baseline.draws(vars(own)) else [own.seed]
            planned += [Planned(name, replace(own, seed=seed)) for seed in each]
    if problems:
        raise ConfigError(problems)
    return planned


def remarks(names: Sequence[str], planned: Sequence[Planned], given: Iterable[str]) -> list[str]:
    """One line for each setting that changes nothing in any of the baselines, or in one that takes it."""
    given = list(given)
    taken = {name for one in planned for name in (*BASELINES[one.name].takes, *BASELINES[one.name].taken(one.config))}
    taken |= {"seeds"} if "seed" in taken else set()
    about = {*TAKEN, "seed", "seeds"}
    lines = [f"--{name} has no effect on {', '.join(names)}" for name in given if name in about - taken]
    for one in planned:
        baseline = BASELINES[one.name]
        reasons = baseline.reasons(one.config)
        lines += [f"--{name} has no effect on {one.name} {reasons[name]}" for name in given if name in reasons]
        lines += without_effect(one.config, set(given) & set(baseline.taken(one.config)))
    return list(dict.fromkeys(lines))


def row_list() -> str:
    """Every baseline, and what of a command it takes."""
    lines = []
    for name, baseline in BASELINES.items():
        takes = " ".join(f"--{setting}" for setting in (*baseline.takes, *(["seeds"] if name in DRAWS else [])))
        indent = " " * 6
        lines.append(f"{name}  {baseline.description}")
        lines.append(textwrap.fill(takes, 79, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False))
    return "\n".join([*lines, "all of them take --data_dir, --results_dir, --demo and what else --help has"])


def figures(row: Mapping[str, Any]) -> str:
    """Accuracies and areas under the ROC curve of a row, as a person reads them."""
    shares = ", ".join(f"{name} {row[f'{name}_acc']:.2%}" for name in ("training", "validation", "test"))
    areas = ", ".join(f"{name.removesuffix('_auc')} {row[name]:.3f}" for name in AREAS if name in row)
    return f"{shares}; area under ROC: {areas}" if areas else shares


def time_of(row: Mapping[str, Any], kept: bool) -> str:
    return "already in the results" if kept else f"{60 * row['training_minutes']:.1f} s"


def _settled(one: Planned, config: ExperimentConfig) -> Planned:
    """The same with what the messages decide."""
    return replace(one, config=replace(one.config, labels=config.labels, n_train=config.n_train))


def run_all(planned: Sequence[Planned], *, again: bool) -> None:
    """Fit and show one after the other; what can be known beforehand is checked of all before the first.

    Raises:
        ConfigError, and what :func:`ablation.baselines.rows.answer` raises.
    """
    from ablation.baselines.baseline import Asked
    from ablation.baselines.rows import answer, check
    from ablation.data.demo import disclaimer
    from ablation.results.read import read_results
    from ablation.results.runs import check_writable, complete
    from ablation.run.console import Console
    from ablation.tasks.spam import SPAM, messages_of

    config = planned[0].config
    results_dir = Path(config.results_dir)
    if config.demo:
        tell(disclaimer(config.own_data).long)
    for repaired in complete(results_dir, SPAM):
        warn(repaired)
    check_writable(results_dir, SPAM)
    planned = [_settled(one, SPAM.settled(one.config)) for one in planned]  # all, before anything is fitted
    known = [] if again else read_results(results_dir, SPAM)[0]
    with closing(Console()) as console:
        all_asked = []
        for one in planned:
            splits, digest, _ = messages_of(one.config)
            all_asked.append((one, Asked(SPAM, one.config, BASELINES[one.name].settings, splits, console), digest))
        for one, asked, _ in all_asked:
            check(asked, one.name)
        for one, asked, digest in all_asked:
            row, kept = answer(asked, one.name, digest, known)
            tell(f"{one.title}\n   {figures(row)}; {time_of(row, kept)}")
    tell(f"rows are in {results_dir / SPAM.csv_name}; --again fits once more what is there already")
    tell(f"to compare them: {report_command(str(results_dir), config.data_dir)}")


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 for finished baselines, 1 for a failure, 2 for a wrong command, 130 after an interrupt."""
    options = make_parser().parse_args(arguments)
    try:
        names, config = parse_rows(options.rows), read_config(options)
        if options.list_rows:
            say(row_list())
            return FINISHED
        if options.seeds is not None and "seed" in options:
            raise ConfigError(["--seed with --seeds: both say which; give one of the two"])
        seeds = [config.seed] if options.seeds is None else parse_numbers(options.seeds)
        planned = plan(names, config, seeds)
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    except ValueError as error:
        return fail([str(error)], WRONG_COMMAND)

    require_packages()
    for warning in remarks(names, planned, [name for name, value in vars(options).items() if value is not None]):
        warn(warning)
    from ablation.run.inputs import EXPECTED_FAILURES

    try:
        run_all(planned, again=options.again)
    except KeyboardInterrupt:
        return fail(["interrupted; finished baselines are in the results"], INTERRUPTED)
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    except EXPECTED_FAILURES as error:
        return fail([str(error)])
    return FINISHED


if __name__ == "__main__":
    sys.exit(main())
