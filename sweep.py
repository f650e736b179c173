"""Run many experiments: rows times seeds, skipping what the results already hold.

    python sweep.py --rows all --seeds 123-128
    python sweep.py --rows 1,3,16-19 --seeds 123-132 --jobs auto --learning_rate 0.001
    python sweep.py --rows 1 2 3 --seeds 123-128 --dry_run
    python sweep.py --demo --rows all --seeds 123-125
    python sweep.py --rows 1-19 --seeds 123-128 --engine ray --ray_address auto
    python sweep.py --rows 20,28,30 --learning_rate 1e-4,1e-3,1e-2 --seeds 123-125
    python sweep.py --task language_model --rows 1-16 --seeds 1-6

Besides its own flags it takes those of the task's command, which apply to every run; they may stand behind --. A comma
between values of a setting means a run with each of them: --learning_rate 1e-4,1e-3. Several linear maps or blocks
within one value are joined by +: --lora_targets query+value,query+key is two, --blocks 1+6+12,1+2+3 as well (and
--blocks 1,6,12 is one value). Flags of decoding keep their commas: every run generates in all these ways.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ablation.commands import FAILED, FINISHED, INTERRUPTED, WRONG_COMMAND, fail, interrupt_on_signals, say
from ablation.config.command_lines import COMMAND_LINES, SPAM
from ablation.config.experiment import ConfigError
from ablation.config.flags import EXPERIMENTS, FORCE, CommandLine, Parser, report_command
from ablation.config.values import integer, number
from ablation.environment import require_packages
from ablation.sweep.lists import parse_numbers, parse_rows, parse_shard, write_numbers
from ablation.sweep.plan import LOCAL, RAY, Status, SweepOptions, plan_runs, shard_of

if TYPE_CHECKING:
    from ablation.results.task import Task
    from ablation.sweep.engines import Engine
    from ablation.sweep.state import Results, SweepState

SET_BY_THE_SWEEP = ("row", "seed", "dry_run", "progress_file")
INSTEAD = {"row": "--rows", "seed": "--seeds"}  # what to give in place of a flag that the sweep sets


# ---- reading the command --------------------------------------------------------------------------------------------


def make_parser(runner: CommandLine = EXPERIMENTS) -> argparse.ArgumentParser:
    """The sweep's own flags, and the runner's that it does not set itself."""
    parser = Parser(
        "sweep.py", description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--task", default=SPAM, choices=COMMAND_LINES, help=f"what runs are about (default: {SPAM}); its flags follow"
    )
    parser.add_argument(
        "--rows", nargs="+", metavar="LIST", help=f"rows of the table: 1,3,16-19 or 1 3 5, or {described_sets(runner)}"
    )
    parser.add_argument("--list_rows", action="store_true", help="show the rows and their published figures")
    parser.add_argument(
        "--seeds", default=["123"], nargs="+", metavar="LIST", help="seeds: 123-128 or 1,2 or 1 2 (default: 123)"
    )
    parser.add_argument("--jobs", default="1", metavar="N", help="runs at a time on this machine, or auto (default: 1)")
    parser.add_argument(
        "--shard", default="1/1", metavar="I/N", help="only part I of N of the plan, for clusters made by hand"
    )
    parser.add_argument("--dry_run", action="store_true", help="show the plan, what is done, and the estimated time")
    parser.add_argument("--retry_failed", action="store_true", help="try runs again that failed in an earlier sweep")
    parser.add_argument("--quiet", action="store_true", help="show only what went wrong, and the summary")
    parser.add_argument("--engine", default=LOCAL, choices=(LOCAL, RAY), help="ray: more than one machine")
    parser.add_argument("--ray_address", default="auto", metavar="ADDRESS", help="of the Ray cluster (default: auto)")
    parser.add_argument("--num_cpus", default="2", metavar="N", help="CPUs that Ray gives each run (default: 2)")
    parser.add_argument("--num_gpus", default="0", metavar="X", help="GPUs that Ray gives each run: 0.5 (default: 0)")
    group = parser.add_argument_group(f"of {runner.program}, for every run")
    group.add_argument("--force", action="store_true", default=argparse.SUPPRESS, help=FORCE)
    runner.add_settings(group, without=SET_BY_THE_SWEEP)
    for name in INSTEAD:
        parser.add_argument(f"--{name}", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def asked_task(arguments: Sequence[str]) -> str:
    """The task that the sweep's flags name; whether there is such a one is for their parser to say."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--task", nargs="?", default=SPAM)
    return parser.parse_known_args(arguments)[0].task


def parser_for(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the task that arguments name."""
    return make_parser(COMMAND_LINES.get(asked_task(arguments), EXPERIMENTS))


def described_sets(runner: CommandLine) -> str:
    """Names that stand for several rows, with the rows."""
    return ", ".join(f"{name} ({write_numbers(rows)})" for name, rows in runner.row_sets.items()) or "all"


def runners_flags(given: Mapping[str, Any]) -> list[str]:
    """Flags that were given to the sweep, and are its runs', as they are given to them."""
    return [f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items()]


def jobs(text: str) -> int | None:
    """How many runs at a time; None for ``auto``.

    Raises:
        ValueError: neither that nor a number above zero.
    """
    try:
        return None if text == "auto" else integer(1)(text)
    except ValueError as error:
        raise ValueError(f"{error}, or auto") from None


# What each flag of numbers means, but --rows, which depends on the task.
READERS: Mapping[str, Callable[[str], Any]] = {
    "seeds": parse_numbers,
    "shard": parse_shard,
    "jobs": jobs,
    "num_cpus": integer(1),
    "num_gpus": number(positive=False),
}


def read_options(task: Task, given: argparse.Namespace, flags: Sequence[str]) -> SweepOptions:
    """What a command asks for.

    Args:
        given: its flags, as typed.
        flags: those of the runner that stood behind ``--``.

    Raises:
        ConfigError: all problems of the command together.
    """
    values, problems = vars(given).copy(), []
    del values["list_rows"], values["task"]
    for name in ("rows", "seeds"):
        values[name] = ",".join(values[name])
    rows: Callable[[str], Any] = partial(parse_rows, rows=list(task.rows), sets=task.command_line.row_sets)
    for name, read in {"rows": rows, **READERS}.items():
        try:
            values[name] = read(values[name])
        except ValueError as error:
            problems.append(f"--{name} {values[name]}: {error}")
    own = {field.name for field in fields(SweepOptions)}
    flags = [*runners_flags({name: value for name, value in values.items() if name not in own}), *flags]
    named = dict.fromkeys(flag[2:].partition("=")[0] for flag in flags if flag.startswith("--"))
    for name in (name for name in SET_BY_THE_SWEEP if name in named):
        advice = f"give {INSTEAD[name]}" if name in INSTEAD else "leave it out"
        problems.append(f"--{name}: the sweep sets it for each run; {advice}")
    if problems:
        raise ConfigError(problems)
    return SweepOptions(**{name: value for name, value in values.items() if name in own}, flags=tuple(flags))


# ---- running --------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if every planned run is in the results or was skipped with a reason, 1 if one failed, 2 for a
    wrong command, 130 after an interrupt."""
    began = time.monotonic()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    own, flags = arguments[:end], arguments[end + 1 :]
    parser = parser_for(own)
    given = parser.parse_args(own)
    if given.rows is None and not given.list_rows:
        parser.error("the following arguments are required: --rows")
    require_packages()
    from ablation.results.log import ResultsError
    from ablation.tasks.registry import TASKS

    task = TASKS[given.task]
    try:
        if given.list_rows:
            return list_rows(task, given)
        return run_sweep(task, read_options(task, given, flags), began)
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    except ResultsError as error:
        return fail([str(error)])


def list_rows(task: Task, given: argparse.Namespace) -> int:
    """Show what --rows takes; returns the exit status.

    Raises:
        ConfigError: the folder of the results is none.
        ResultsError: the published table is not there.
    """
    from ablation.results.row_list import row_list

    places = {name: value for name, value in vars(given).items() if name in ("demo", "results_dir")}
    config, _ = task.command_line.configure(places)
    say(f"{row_list(task, config)}\nof several, --rows takes a list, or {described_sets(task.command_line)}")
    return FINISHED


def run_sweep(task: Task, options: SweepOptions, began: float) -> int:
    """Plan, sort out what is done, run the rest; returns the exit status.

    Args:
        began: the second of the monotonic clock at which this program did. Its runs take as long to begin as this one
            does until the plan stands: both import the same, and look at the same files.

    Raises:
        ConfigError: something that was asked for cannot be had.
    """
    from ablation.results.runs import check_writable
    from ablation.sweep.engines import ENGINES
    from ablation.sweep.inputs import check_inputs
    from ablation.sweep.machine import automatic_jobs
    from ablation.sweep.progress import describe_plan
    from ablation.sweep.state import Results, foreign_of, settled, survey

    of_task = partial(foreign_of, task), partial(settled, task)
    whole, remarks = plan_runs(task.command_line, options.rows, options.seeds, options.flags, *of_task)
    if options.jobs is None:
        options = replace(options, jobs=automatic_jobs(whole[0].config))
    results = Results.of(task, whole)
    engine = ENGINES[options.engine](results, options)
    plan = shard_of(whole, *options.shard)
    remarks += [] if plan else ["the plan is empty: this shard has no runs"]
    if remarks:
        say("\n".join(remarks))
    if not plan:
        return FINISHED
    interrupt_on_signals()
    start_up = time.monotonic() - began
    state = survey(results, plan, options, start_up)
    if not options.quiet or options.dry_run:
        say(describe_plan(state, engine.jobs, details=options.dry_run))
    if options.dry_run:
        return FINISHED
    check_writable(results.folder, task)
    try:
        problems = check_inputs(task, state.to_run, forced=options.forced) if options.engine == LOCAL else []
    except KeyboardInterrupt:
        return fail(["interrupted; nothing was run"], INTERRUPTED)
    return fail(problems) if problems else carry_out(state, results, engine, options, start_up)


def carry_out(state: SweepState, results: Results, engine: Engine, options: SweepOptions, start_up: float) -> int:
    """Run what is to run, show how it goes, sum up; returns the exit status.

    Raises:
        ConfigError: the engine cannot be had as asked for.
    """
    from ablation.results.log import ResultsError
    from ablation.sweep.failures import LOGS_FOLDER, describe_failures
    from ablation.sweep.live import Screen
    from ablation.sweep.progress import summary
    from ablation.sweep.state import earlier_outcomes, estimate_all

    headline, interrupted = results.metric, False
    outcomes = earlier_outcomes(state)
    before = [outcome for outcome in outcomes if outcome.status == Status.FAILED]
    lines = describe_failures(before, "failed before from the same inputs (--retry_failed tries again)")
    if state.to_run and not options.quiet:
        lines.append(f"what each run says, while it runs and if it fails: {results.folder / LOGS_FOLDER}")
    if lines:
        say("\n".join(lines))
    estimate = partial(estimate_all, results, options=options, start_up=start_up)
    screen = Screen(state.to_run, state.estimates, estimate, headline, jobs=engine.jobs, quiet=options.quiet)
    ended = []
    try:
        with closing(screen), closing(engine.run_all(state.to_run, screen.watch)) as coming:  # closed, it ends its runs
            for outcome in coming:
                ended.append(outcome)
                screen.show(outcome)
    except KeyboardInterrupt:
        interrupted = True
    except ResultsError as error:
        return fail([str(error)])
    outcomes += ended
    say(summary(state.planned, outcomes, headline))
    failed = [outcome for outcome in ended if outcome.status == Status.FAILED]
    for line in describe_failures(failed, "failed"):
        say(line)
    if interrupted:
        return fail(["interrupted; finished runs are kept, the same command goes on with the rest"], INTERRUPTED)
    if any(outcome.headline is not None for outcome in outcomes):
        say(f"to compare them: {report_command(str(results.folder), state.planned[0].config.data_dir)}")
    return FAILED if before or failed else FINISHED


if __name__ == "__main__":
    sys.exit(main())
