"""How much faster the planned execution is than the same experiment run as the book writes it.

    python benchmarks/run.py --data_dir data [--rows 1,2,16] [--full] [--record benchmarks/records/DATE_TOPIC]

In one process, on one file of random values in GPT-2's shapes and on the real messages, each row's training time (the
frozen prefix it needs, steps, evaluations during training) is measured in three executions:

* book-style: elementary operations, plain AdamW, everything at every step: what a reader of the book runs today;
* naive: the same with PyTorch's fused operators;
* planned: cold, features written to a cache on the way; and with the features kept there, reading and checking them
  included.

``--full`` measures all steps. Otherwise the first ``--steps`` batches (at least 20), one evaluation (10 batches) and
one epoch's accuracies (10 batches) are measured. Either way the table's figures are the medians of steps, evaluations
and ends of epochs times their number, which other work on the machine disturbs least; wall time stands beside them
where everything was measured. The frozen prefix is measured in full, but for row 13, where it is extrapolated by
positions from the first messages.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from ablation.allocator import keep_freed_memory  # noqa: E402
from ablation.config.experiment import MODEL_CONTEXT_LENGTH, ExperimentConfig  # noqa: E402
from ablation.config.rows import row_config  # noqa: E402
from ablation.data.encode import EncodedMessages, make_loaders  # noqa: E402
from ablation.execution.feature_cache import FeatureCache  # noqa: E402
from ablation.execution.features import FeatureOptions  # noqa: E402
from ablation.execution.naive import NaiveExecution  # noqa: E402
from ablation.execution.plan import ExecutionPlan, make_plan  # noqa: E402
from ablation.execution.planned import PlannedExecution  # noqa: E402
from ablation.execution.setup import Setup, make_setup  # noqa: E402
from ablation.listener import Count, Listener, StepLosses  # noqa: E402
from ablation.model.weights import open_weights  # noqa: E402
from ablation.run import experiment  # noqa: E402
from ablation.run.memory import feature_memory  # noqa: E402
from ablation.run.training import make_optimizer, train  # noqa: E402
from ablation.tasks.spam import SPAM  # noqa: E402
from benchmarks.book_style import BookStyleExecution, plain_adamw  # noqa: E402
from benchmarks.load_weights import random_weights  # noqa: E402
from benchmarks.machine import MemorySampler, blocks_gflop, sgemm_rate  # noqa: E402
from benchmarks.record import earlier_results, markdown_table, write_record  # noqa: E402

CPU = torch.device("cpu")
EXECUTIONS = ("book-style", "naive", "planned")
LONG_ROW, LONG_ROW_MESSAGES = 13, 160  # its prefix over all messages takes most of an hour


class Clock(Listener):
    """Notes how long each step, evaluation and end of an epoch took."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"step": [], "evaluation": [], "epoch": []}
        self._last = time.perf_counter()

    def _note(self, what: str) -> None:
        now = time.perf_counter()
        self.seconds[what].append(now - self._last)
        self._last = now

    def work_started(self, what: str, amount: int, unit: str) -> None:
        self._last = time.perf_counter()

    def work_advanced(self, amount: int) -> None:
        self._note("step")

    def evaluated(self, losses: StepLosses) -> None:
        self._note("evaluation")

    def epoch_ended(self, epoch: int, train: Count, validation: Count) -> None:
        self._note("epoch")


@dataclass
class Measured:
    """One execution of one row.

    Attributes:
        prefix: seconds of the frozen pass over what training needs (row 13: extrapolated).
        loading: seconds to read, check and prepare the same from the cache; None if the execution keeps no features.
        seconds: of each step, evaluation and end of an epoch that was measured.
        wall: seconds of all of them, if all were measured.
        peak: bytes, anonymous plus shared.
    """

    prefix: float
    loading: float | None
    seconds: dict[str, list[float]]
    wall: float | None
    peak: int


def prefix_gflop(plan: ExecutionPlan, execution: PlannedExecution, width: int) -> float:
    """Operations of the frozen pass over the messages of training, as the mathematics needs them."""
    runs = [run for batch in execution._features.stages[0] for run in batch.runs]
    lengths = torch.cat([torch.full_like(run.messages, run.length) for run in runs])
    return blocks_gflop(lengths, plan.prefix_blocks, width, causal=plan.causal)


def first_messages(messages: dict[str, EncodedMessages], count: int) -> dict[str, EncodedMessages]:
    """The first messages of each split."""
    return {name: split.part(slice(count)) for name, split in messages.items()}


def planned_execution(setup: Setup, cache: FeatureCache) -> PlannedExecution:
    """The planned execution over the messages that training needs."""
    stages = experiment.feature_stages(setup.messages, setup.config)[: experiment.TRAINING_STAGE + 1]
    return PlannedExecution(setup, FeatureOptions(stages, feature_memory(setup.config), cache))


def loading_seconds(setup: Setup, cache: FeatureCache) -> float:
    """What a second run takes to read, check and prepare the features that the first left in the cache."""
    execution = planned_execution(setup, cache)
    start = time.perf_counter()
    execution.prepare(experiment.TRAINING_STAGE, Listener())
    seconds = time.perf_counter() - start
    if execution.features != "reused":
        raise SystemExit("the features were not kept: give the folder for temporary files more room")
    return seconds


def measure(
    config: ExperimentConfig,
    messages: dict[str, EncodedMessages],
    kind: str,
    steps: int | None,
    scale: float,
    cache: FeatureCache,
) -> tuple[Measured, float]:
    """Time one execution of one configuration.

    Args:
        kind: book-style, naive or planned.
        steps: batches to measure; None for all.
        scale: by how much the prefix over all messages is longer than over ``messages``.

    Returns:
        What was measured, and the operations (GFLOP) of the frozen pass.
    """
    weights = open_weights(Path(str(config.weights_path)), config.shape)
    setup = make_setup(config, weights, messages, CPU)
    new_optimizer: Callable[..., torch.optim.Optimizer] = make_optimizer
    clock = Clock()
    with MemorySampler(interval=0.05) as sampler:
        execution: NaiveExecution | PlannedExecution
        if kind == "planned":
            execution = planned_execution(setup, cache)
        elif kind == "naive":
            execution = NaiveExecution(setup)
        else:
            execution, new_optimizer = BookStyleExecution(setup), plain_adamw
        start = time.perf_counter()
        execution.prepare(experiment.TRAINING_STAGE, clock)
        prefix = (time.perf_counter() - start) * scale
        clock = Clock()
        start = time.perf_counter()
        limited = config if steps is None else replace(config, max_steps=steps)
        train(SPAM, execution, make_loaders(messages, config.batch_size), limited, clock, new_optimizer)
        wall = time.perf_counter() - start
    gflop, loading = 0.0, None
    if isinstance(execution, PlannedExecution) and setup.plan.keeps_features:
        gflop = scale * prefix_gflop(setup.plan, execution, config.shape.emb_dim)
        loading = scale * loading_seconds(make_setup(config, weights, messages, CPU), cache)
    return Measured(prefix, loading, clock.seconds, wall if steps is None else None, sampler.peak.own), gflop


def measure_row(row: int, options: argparse.Namespace, weights: Path) -> dict[str, Any]:
    """All executions of one row."""
    config = row_config(row, weights_path=str(weights), data_dir=options.data_dir, models_dir=options.models_dir,
                        offline=True)  # fmt: skip
    messages = SPAM.load(config, Listener()).splits
    scale = 1.0
    if row == LONG_ROW:
        total = sum(len(indices) for indices in experiment.feature_stages(messages, config)[0].values())
        messages = first_messages(messages, LONG_ROW_MESSAGES)
        scale = total / sum(len(indices) for indices in experiment.feature_stages(messages, config)[0].values())
    steps = None if options.full else options.steps
    result: dict[str, Any] = {}
    for kind in options.executions.split(","):
        # A planned step is often so short that all of them are measured.
        short = kind == "planned" and make_plan(config).reads_once and config.context_length != MODEL_CONTEXT_LENGTH
        some = None if short else steps
        rate = sgemm_rate()
        with tempfile.TemporaryDirectory() as folder, FeatureCache(Path(folder), 10**11, Listener()) as cache:
            measured, gflop = measure(config, messages, kind, some, scale, cache)
        result[kind] = vars(measured) | {"sgemm_gflop_per_s": rate}
        if gflop:
            result["prefix_gflop"] = gflop
            result["prefix_share_of_sgemm"] = gflop / measured.prefix / rate
        print(f"row {row} {kind}: {training_seconds(str(row), result[kind]):.1f} s", file=sys.stderr)
    return result


# ---- what is made of it -------------------------------------------------------------------------------------------


def table(results: dict[str, Any]) -> str:
    """Markdown: seconds of training time, and book-style over planned, of whatever was measured."""
    columns = ["row", *EXECUTIONS[:2], "planned, cold", "planned, features kept", "book-style ÷ cold", "÷ kept"]
    columns += ["frozen pass, share of sgemm", "peak memory, planned"]
    rows = [[row, *cells(row, results[row])] for row in sorted(results, key=int)]
    return (
        f"{markdown_table(columns, rows)}\n\n"
        "Training time, from medians; in brackets the wall time, where every step was measured. Without brackets: from"
        f" 20 or more batches, one evaluation and one epoch's accuracies; row {LONG_ROW}'s frozen pass from its first"
        f" {LONG_ROW_MESSAGES} messages of each split."
    )


def cells(row: str, result: dict[str, Any]) -> list[str]:
    """A row's cells of :func:`table`; empty where an execution was not measured, – where a figure has no meaning."""
    seconds = {kind: training_seconds(row, result[kind]) for kind in EXECUTIONS if kind in result}
    shown = [shown_seconds(row, result[kind]) if kind in result else "" for kind in EXECUTIONS]
    if "planned" not in result:
        return [*shown, *[""] * 5]
    planned, book, cold = result["planned"], seconds.get("book-style"), seconds["planned"]
    kept = None if planned["loading"] is None else cold - planned["prefix"] + planned["loading"]
    return [
        *shown,
        "–" if kept is None else f"{kept:,.1f} s",
        ratio(book, cold),
        ratio(book, kept),
        "–" if kept is None else f"{result['prefix_share_of_sgemm']:.0%}",
        # A peak over some of the messages is none of a run.
        "–" if row == str(LONG_ROW) else f"{planned['peak'] / 1e9:.1f} GB",
    ]


def training_seconds(row: str, measured: dict[str, Any]) -> float:
    return float(measured["prefix"]) + stepping_seconds(row_config(int(row)), measured["seconds"])


def shown_seconds(row: str, measured: dict[str, Any]) -> str:
    shown = f"{training_seconds(row, measured):,.1f} s"
    return shown if measured["wall"] is None else f"{shown} ({measured['prefix'] + measured['wall']:,.1f})"


def ratio(book: float | None, seconds: float | None) -> str:
    return "–" if book is None or seconds is None else f"{book / seconds:.3g}"


def stepping_seconds(config: ExperimentConfig, seconds: dict[str, list[float]]) -> float:
    """Seconds of all steps, evaluations and ends of epochs over the 1,045 training messages, from medians."""
    steps = config.num_epochs * (1045 // config.batch_size)
    evaluations = -(-steps // config.eval_freq)
    per_update = seconds["step"]
    # Steps come in groups where gradients accumulate: the mean over whole groups, not the median of unequal steps.
    group = config.accumulation_steps
    grouped = [sum(per_update[i : i + group]) / group for i in range(0, len(per_update) - group + 1, group)]
    return (
        steps * statistics.median(grouped)
        + evaluations * statistics.median(seconds["evaluation"])
        + config.num_epochs * statistics.median(seconds["epoch"])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1,2,3,4,5,11,13,14,15,16,17,19")
    parser.add_argument("--executions", default=",".join(EXECUTIONS))
    parser.add_argument("--full", action="store_true", help="measure every step of every execution")
    parser.add_argument("--steps", type=int, default=20, help="batches to extrapolate from, at least 20")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--models_dir", default="models")
    parser.add_argument("--record", type=Path, help="folder for the raw figures and the environment")
    options = parser.parse_args()
    if options.steps < 20:
        parser.error(f"--steps {options.steps}: give at least 20")
    for kind in options.executions.split(","):
        if kind not in EXECUTIONS:
            parser.error(f"--executions {kind}: choose of {', '.join(EXECUTIONS)}")
    keep_freed_memory()  # as a run does; book-style and naive profit from it too
    results = earlier_results(options.record)  # rows and executions may be measured one by one
    with random_weights(ExperimentConfig().shape) as weights:
        for row in map(int, options.rows.split(",")):
            results[str(row)] = results.get(str(row), {}) | measure_row(row, options, weights)
            write_record(options.record, results, table(results))
    print(table(results))


if __name__ == "__main__":
    main()
