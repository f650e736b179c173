"""Run many experiments: rows times seeds, skipping what the results already hold.

    python sweep.py --rows 1-19 --seeds 123-128
    python sweep.py --rows 1,3,16-19 --seeds 123-132 --jobs 2 -- --results_dir results --offline
    python sweep.py --rows 1-19 --seeds 123-128 --dry_run
    python sweep.py --demo --rows 1-19 --seeds 123-125
    python sweep.py --rows 1-19 --seeds 123-128 --engine ray --ray_address auto

Flags after ``--`` are those of additional_experiments.py and apply to every run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from ablation.commands import FAILED, FINISHED, INTERRUPTED, WRONG_COMMAND, fail, interrupt_on_signals
from ablation.config.experiment import ConfigError
from ablation.config.flags import Parser
from ablation.config.values import integer, number
from ablation.environment import require_packages
from ablation.sweep.plan import Status, SweepOptions, parse_numbers, parse_shard, plan_runs, shard_of

if TYPE_CHECKING:
    from ablation.results.task import Task
    from ablation.sweep.engines import Engine
    from ablation.sweep.state import SweepState

SET_BY_THE_SWEEP = ("row", "seed", "dry_run")


# ---- reading the command --------------------------------------------------------------------------------------------


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", required=True, metavar="LIST", help="rows of the table: 1,3,16-19")
    parser.add_argument("--seeds", default="123", metavar="LIST", help="seeds: 123-128 (default: 123)")
    parser.add_argument("--demo", action="store_true", help="the embedded miniature: as --demo behind the --")
    parser.add_argument("--jobs", default="1", metavar="N", help="runs at a time on this machine (default: 1)")
    parser.add_argument(
        "--shard", default="1/1", metavar="I/N", help="only part I of N of the plan, for clusters made by hand"
    )
    parser.add_argument("--dry_run", action="store_true", help="show the plan, what is done, and the estimated time")
    parser.add_argument("--retry_failed", action="store_true", help="try runs again that failed in an earlier sweep")
    parser.add_argument("--engine", default="local", choices=("local", "ray"), help="ray: more than one machine")
    parser.add_argument("--ray_address", default="auto", metavar="ADDRESS", help="of the Ray cluster (default: auto)")
    parser.add_argument("--num_cpus", default="2", metavar="N", help="CPUs that Ray gives each run (default: 2)")
    parser.add_argument("--num_gpus", default="0", metavar="X", help="GPUs that Ray gives each run: 0.5 (default: 0)")
    return parser


# What each flag of numbers means, but --rows, which depends on the task.
READERS: Mapping[str, Callable[[str], Any]] = {
    "seeds": parse_numbers,
    "shard": parse_shard,
    "jobs": integer(1),
    "num_cpus": integer(1),
    "num_gpus": number(positive=False),
}


def read_options(task: Task, given: argparse.Namespace, flags: Sequence[str]) -> SweepOptions:
    """What a command asks for.

    Args:
        given: its own flags, as typed.
        flags: those of the runner.

    Raises:
        ConfigError: all problems of the command together.
    """
    values, problems = vars(given).copy(), []
    rows: Callable[[str], Any] = partial(parse_numbers, allowed=range(min(task.rows), max(task.rows) + 1))
    for name, read in {"rows": rows, **READERS}.items():
        try:
            values[name] = read(values[name])
        except ValueError as error:
            problems.append(f"--{name} {values[name]}: {error}")
    named = {flag[2:].partition("=")[0] for flag in flags if flag.startswith("--")}
    problems += [f"--{name} after --: the sweep sets it; leave it out" for name in SET_BY_THE_SWEEP if name in named]
    if problems:
        raise ConfigError(problems)
    demo = ["--demo"] if values.pop("demo") else []
    return SweepOptions(**values, flags=(*demo, *flags))


# ---- running --------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if every planned run is in the results or was skipped with a reason, 1 if one failed, 2 for a
    wrong command, 130 after an interrupt."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    own, flags = arguments[:end], arguments[end + 1 :]  # those of the runner
    given = make_parser().parse_args(own)
    require_packages()
    from ablation.results.log import ResultsError
    from ablation.tasks.spam import SPAM

    try:
        return run_sweep(SPAM, read_options(SPAM, given, flags))
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    except ResultsError as error:
        return fail([str(error)])


def run_sweep(task: Task, options: SweepOptions) -> int:
    """Plan, sort out what is done, run the rest; returns the exit status.

    Raises:
        ConfigError: something that was asked for cannot be had.
    """
    from ablation.sweep.engines import ENGINES
    from ablation.sweep.progress import describe_plan
    from ablation.sweep.state import Results, foreign_of, survey

    whole, remarks = plan_runs(task.command_line, options.rows, options.seeds, options.flags, partial(foreign_of, task))
    results = Results.of(task, whole[0].config)
    engine = ENGINES[options.engine](results, options)
    print("\n".join(remarks), end="\n" if remarks else "")
    plan = shard_of(whole, *options.shard)
    if not plan:
        print("the plan is empty: this shard has no runs")
        return FINISHED
    interrupt_on_signals()
    state = survey(results, plan, retry_failed=options.retry_failed)
    print(describe_plan(state, options.jobs if options.engine == "local" else 1, details=options.dry_run))
    return FINISHED if options.dry_run else carry_out(task, state, engine)


def carry_out(task: Task, state: SweepState, engine: Engine) -> int:
    """Run what is to run, show how it goes, sum up; returns the exit status.

    Raises:
        ConfigError: the engine cannot be had as asked for.
    """
    from ablation.results.log import ResultsError
    from ablation.sweep.progress import Progress, summary
    from ablation.sweep.state import earlier_outcomes

    outcomes, interrupted = earlier_outcomes(state), False
    for outcome in outcomes:
        if outcome.status == Status.FAILED:
            print(f"{outcome.run.name}: {outcome.message}")
    try:
        with (
            closing(Progress(len(state.to_run), task.headline)) as progress,
            closing(engine.run_all(state.to_run)) as ended,  # closed, it ends what still runs
        ):
            for outcome in ended:
                outcomes.append(outcome)
                progress.show(outcome)
    except KeyboardInterrupt:
        interrupted = True
    except ResultsError as error:
        return fail([str(error)])
    print(summary(state.planned, outcomes, task.headline))
    if interrupted:
        return fail(["interrupted; finished runs are kept, the same command goes on with the rest"], INTERRUPTED)
    return FAILED if any(outcome.status == Status.FAILED for outcome in outcomes) else FINISHED


if __name__ == "__main__":
    sys.exit(main())
