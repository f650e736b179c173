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
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import additional_experiments
from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.flags import Parser
from ablation.config.rows import ROWS
from ablation.environment import require_packages
from ablation.sweep.plan import PlannedRun, make_plan, parse_numbers, parse_shard, shard_of

if TYPE_CHECKING:
    from ablation.sweep.outcome import Outcome
    from ablation.sweep.state import Digests

FEATURES_FOLDER = "features"  # below the models: where runs share features unless --feature_cache says otherwise
SET_BY_THE_SWEEP = ("row", "seed", "dry_run")


# ---- the command ----------------------------------------------------------------------------------------------------


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", required=True, metavar="LIST", help=f"published rows, 1 to {max(ROWS)}: 1,3,16-19")
    parser.add_argument("--seeds", default="123", metavar="LIST", help="seeds: 123-128 (default: 123)")
    parser.add_argument("--demo", action="store_true", help="the embedded miniature: as --demo behind the --")
    parser.add_argument("--jobs", default="1", metavar="N", help="runs at a time on this machine (default: 1)")
    parser.add_argument("--shard", metavar="I/N", help="only part I of N of the plan, for clusters made by hand")
    parser.add_argument("--dry_run", action="store_true", help="show the plan, what is done, and the estimated time")
    parser.add_argument("--retry_failed", action="store_true", help="try runs again that failed in an earlier sweep")
    parser.add_argument("--engine", default="local", choices=("local", "ray"), help="ray: more than one machine")
    parser.add_argument("--ray_address", default="auto", metavar="ADDRESS", help="of the Ray cluster (default: auto)")
    parser.add_argument("--num_cpus", default="2", metavar="N", help="CPUs that Ray gives each run (default: 2)")
    parser.add_argument("--num_gpus", default="0", metavar="X", help="GPUs that Ray gives each run: 0.5 (default: 0)")
    return parser


def split_command(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The sweep's own arguments, and the runner's after the first ``--``."""
    if "--" not in arguments:
        return list(arguments), []
    place = list(arguments).index("--")
    return list(arguments[:place]), list(arguments[place + 1 :])


def read_plan(options: argparse.Namespace, flags: list[str]) -> tuple[list[PlannedRun], list[str]]:
    """The runs that a command means, and remarks.

    Raises:
        ConfigError: all problems of the command together.
    """
    problems: list[str] = []

    def attempt(read: Callable[..., Any], *values: Any) -> Any:
        try:
            return read(*values)
        except ValueError as error:
            problems.append(str(error))
            return None

    rows = attempt(parse_numbers, "--rows", options.rows, range(min(ROWS), max(ROWS) + 1))
    seeds = attempt(parse_numbers, "--seeds", options.seeds)
    shard: Any = (1, 1) if options.shard is None else attempt(parse_shard, options.shard)
    options.jobs = attempt(positive, "--jobs", options.jobs, int)
    options.num_cpus = attempt(positive, "--num_cpus", options.num_cpus, int)
    options.num_gpus = attempt(positive, "--num_gpus", options.num_gpus, float)
    given = {flag[2:].partition("=")[0] for flag in flags if flag.startswith("--")}
    problems += [f"--{name} after --: the sweep sets it; leave it out" for name in SET_BY_THE_SWEEP if name in given]
    if problems:
        raise ConfigError(problems)
    plan, remarks = make_plan(rows, seeds, flags, read_configuration)
    return shard_of(plan, *shard), remarks


def positive(flag: str, text: str, kind: type) -> float:
    """A number above 0, or for fractions (kind float) 0 itself.

    Raises:
        ValueError: it is none.
    """
    try:
        value = kind(text)
    except ValueError:
        value = -1
    if not (0 < value < 10**6 or (kind is float and value == 0)):
        needed = "a number that is not negative" if kind is float else "a whole number of at least 1"
        raise ValueError(f"{flag} {text}: give {needed}")
    return value


def read_configuration(arguments: list[str]) -> ExperimentConfig:
    """The configuration of one run of the runner, features kept unless its flags say where."""
    config, _, _ = additional_experiments.read_command(arguments)
    return config


def with_feature_cache(flags: list[str], models_dir: str) -> list[str]:
    """The runner's flags, with a folder for features where none is given."""
    if any(flag.partition("=")[0] == "--feature_cache" for flag in flags):
        return flags
    return [*flags, "--feature_cache", str(Path(models_dir) / FEATURES_FOLDER)]


# ---- running --------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if every planned run is in the results or was skipped with a reason, 1 if one failed, 2 for a
    wrong command, 130 after an interrupt."""
    own, flags = split_command(sys.argv[1:] if arguments is None else arguments)
    options = make_parser().parse_args(own)
    if options.demo:
        flags = ["--demo", *flags]
    require_packages()
    try:
        plan, remarks = read_plan(options, flags)
        if options.engine == "ray":
            from ablation.sweep.ray_engine import require_ray

            require_ray()
    except ConfigError as error:
        return additional_experiments.fail(error.problems, status=2)
    print("\n".join(remarks), end="\n" if remarks else "")
    if not plan:
        print("the plan is empty: this shard has no runs")
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    return run_plan(plan, options, flags)


def _interrupt(signal_number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def run_plan(plan: list[PlannedRun], options: argparse.Namespace, flags: list[str]) -> int:
    """Sort out what is done, run the rest, sum up."""
    from ablation.results.log import ResultsError
    from ablation.sweep.outcome import DONE_BEFORE, FAILED, Outcome
    from ablation.sweep.progress import Progress, describe_plan, summary
    from ablation.sweep.state import Digests, estimate_all, failure_of, finished_runs, result_of

    results_dir = Path(plan[0].config.results_dir)
    digests = Digests.of(plan[0].config)
    finished = finished_runs(results_dir)
    done = {run.hash: result for run in plan if (result := result_of(run, finished, digests))}
    failed_before = {
        run.hash: str(failure_of(run, results_dir)) for run in plan if failure_of(run, results_dir).exists()
    }
    earlier = [run for runs in finished.values() for run in runs]
    to_run = [
        run for run in plan if run.hash not in done and (options.retry_failed or run.hash not in failed_before)
    ]
    estimates = estimate_all(to_run, earlier, _device_name(plan[0].config, earlier))
    jobs = options.jobs if options.engine == "local" else 1
    print(describe_plan(plan, to_run, set(done), failed_before, estimates, jobs, details=options.dry_run))
    if options.dry_run:
        return 0

    outcomes = [
        Outcome(run, DONE_BEFORE, test_accuracy=done[run.hash].counts["test"].accuracy)
        if run.hash in done
        else Outcome(run, FAILED, f"failed before, see {failed_before[run.hash]}; --retry_failed tries again")
        for run in plan
        if run not in to_run
    ]
    for outcome in outcomes:
        if outcome.status == FAILED:
            print(f"{outcome.run.name}: {outcome.message}")
    status = 0
    progress = Progress(len(to_run))
    engine = _run(to_run, options, flags, digests)
    try:
        for outcome in engine:
            outcomes.append(outcome)
            progress.show(outcome)
    except KeyboardInterrupt:
        status = 130
    except ConfigError as error:
        return additional_experiments.fail(error.problems, status=2)
    except ResultsError as error:
        return additional_experiments.fail([str(error)], status=1)
    finally:
        engine.close()  # ends what still runs
        progress.close()
    print(summary(plan, outcomes))
    if status:
        print("error: interrupted; finished runs are kept, the same command goes on with the rest", file=sys.stderr)
    return status or int(any(outcome.status == FAILED for outcome in outcomes))


def _run(
    plan: list[PlannedRun], options: argparse.Namespace, flags: list[str], digests: Digests
) -> Generator[Outcome]:
    """The chosen engine's outcomes, as they come."""
    from ablation.sweep.state import finished_runs, result_of

    if not plan:
        return
    config = plan[0].config
    results_dir = Path(config.results_dir)
    forced = "--force" in flags

    def accuracy_of(run: PlannedRun) -> float | None:
        result = result_of(run, finished_runs(results_dir), digests)
        return None if result is None else result.counts["test"].accuracy

    if options.engine == "ray":
        from ablation.sweep.ray_engine import RayEngine

        engine = RayEngine(results_dir, options.ray_address, options.num_cpus, options.num_gpus, forced)
        yield from engine.run_all(plan)
        return

    from ablation.run.inputs import resolve_device
    from ablation.run.memory import check_memory
    from ablation.sweep.local import LocalEngine, default_threads

    device = resolve_device(config)

    def does_not_fit(run: PlannedRun) -> str:
        try:
            check_memory(run.config, device)
        except ConfigError as error:
            return str(error)
        return ""

    added = with_feature_cache(flags, config.models_dir)[len(flags) :]
    if options.jobs > 1 and config.threads is None:
        added += ["--threads", str(default_threads(options.jobs))]
    fits = (lambda run: "") if forced else does_not_fit
    yield from LocalEngine(results_dir, options.jobs, tuple(added), accuracy_of, fits).run_all(plan)


def _device_name(config: ExperimentConfig, earlier: Sequence[object]) -> str:
    """The name of the device that runs use here; asked for only if earlier runs could tell a time."""
    if not earlier:
        return ""
    from ablation.environment import device_name
    from ablation.run.inputs import resolve_device

    return device_name(resolve_device(config).type)


if __name__ == "__main__":
    sys.exit(main())
