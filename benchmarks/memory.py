"""Memory of the runs that are too large to hold: row 13 (1024 positions) and GPT-2 XL's rows 8 and 9, sampled.

    python benchmarks/memory.py [CASE ...] [--record benchmarks/records/DATE_memory]

Each case is a process of its own, watched from outside. It goes through what a run does, in its order: digest of a
weights file in GPT-2's true format (random numbers, made on the spot), frozen pass, training, evaluation. Messages are
random tokens. Steps are made as on a machine that has as much memory as the case's limit. What a case leaves out of the
full run, and why that does not change the peak, stands in ``CASES``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from ablation.allocator import give_back_freed_memory, keep_freed_memory  # noqa: E402
from ablation.config.rows import row_config  # noqa: E402
from ablation.data.encode import EncodedMessages, encode_messages, make_loaders  # noqa: E402
from ablation.data.spam import SPLITS  # noqa: E402
from ablation.execution.plan import Thrift  # noqa: E402
from ablation.execution.setup import make_setup  # noqa: E402
from ablation.listener import Listener  # noqa: E402
from ablation.model.weights import open_weights  # noqa: E402
from ablation.run import experiment  # noqa: E402
from ablation.run.memory import estimate_memory  # noqa: E402
from ablation.run.training import predict, train  # noqa: E402
from ablation.tasks.spam import SPAM  # noqa: E402
from benchmarks.load_weights import megabytes, random_weights  # noqa: E402
from benchmarks.machine import MemorySampler  # noqa: E402
from benchmarks.record import earlier_results, markdown_table, write_record  # noqa: E402
from benchmarks.run import Clock, stepping_seconds  # noqa: E402

STEPS = 20  # training steps: gradients and moments are there from the first on
ALL_MESSAGES = (1045, 149, 300)
CPU = torch.device("cpu")
PASS = "frozen pass"
PHASE, SECONDS = "phase: ", "seconds: "  # how the child's lines begin that the watcher reads


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        positions: of every message.
        blocks: of the model in the file; all but the last are frozen.
        messages: training, validation, test.
        feature_memory: as the flag, GB; None for its default.
        limit: what the issue allows for the full run, bytes.
        left_out: how this differs from the full run, and what follows for the full run's peak.
        steps: of training.
        timed: whether a step's time is told, and what follows for the full run's.
    """

    row: int
    positions: int
    blocks: int
    messages: tuple[int, int, int]
    feature_memory: float | None
    limit: float
    left_out: str
    steps: int = STEPS
    timed: bool = False


CASES = {
    "row13-all-blocks": Case(
        13, 1024, 12, (105, 15, 30), 0.2, 3e9,
        "150 of 1,494 messages, and chunks of 0.2 GB instead of 2 GB: the table is larger than the chunk here too, and"
        " lies in a mapped file; the full run adds the other 1.8 GB of a chunk",
    ),
    "row13-all-messages": Case(
        13, 1024, 2, ALL_MESSAGES, None, 3e9,
        "1 of the 11 frozen blocks: each is read from the mapped file when its turn comes and dropped afterwards, so"
        " that their number does not matter (row8-few-messages shows it; row13-all-blocks goes through all of them)",
    ),
    "row8-few-messages": Case(
        8, 120, 9, (105, 15, 30), None, 4e9,
        "150 of 1,494 messages, and the first 8 of the 47 frozen blocks: shows that the blocks' number does not matter;"
        " the full run adds the hidden states of the other 1,344 messages, 1.03 GB",
    ),
    "row8-all-messages": Case(
        8, 120, 2, ALL_MESSAGES, None, 4e9,
        "1 of the 47 frozen blocks: they are equally large, and one is in use at a time (row8-few-messages shows it)",
    ),
    "row8-first-blocks": Case(
        8, 120, 9, ALL_MESSAGES, None, 4e9,
        "the first 8 of the 47 frozen blocks: the others are as large, and one is in use at a time",
    ),
    "row9-steps": Case(
        9, 120, 48, (40, 40, 8), None, 21e9,
        "all but 3 of the 650 steps, and all but 88 messages: all that stays is there from the first step on",
        steps=3, timed=True,
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of the large runs.")
    parser.add_argument("cases", nargs="*", default=list(CASES), help=f"of {', '.join(CASES)}; all if none is given")
    parser.add_argument("--record", type=Path, help="folder for the raw figures and the environment")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run(CASES[options.cases[0]], Path(options.child))
        return
    results = earlier_results(options.record)  # cases may be measured one by one
    for name in options.cases:
        results[name] = measure(name)
        write_record(options.record, results, table(results))
    print(table(results))


# ---- the watcher ----------------------------------------------------------------------------------------------------


def measure(name: str) -> dict[str, Any]:
    """Run a case in a process of its own and sample its memory, phase by phase."""
    case = CASES[name]
    seconds: dict[str, list[float]] = {}
    with random_weights(case_shape(case)) as file:
        command = [sys.executable, __file__, name, "--child", str(file)]
        began = time.perf_counter()
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
            MemorySampler(process.pid) as sampler,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(PHASE):
                    sampler.phase = line.removeprefix(PHASE).strip()
                elif line.startswith(SECONDS):
                    seconds = json.loads(line.removeprefix(SECONDS))
                print(f"{name}: {line.strip()} at {time.perf_counter() - began:.0f} s", file=sys.stderr)
        if process.returncode:
            raise SystemExit(f"{name}: the process failed with status {process.returncode}")
    return {
        **dataclasses.asdict(case),
        **({"training_seconds": seconds} if case.timed else {}),
        "seconds": time.perf_counter() - began,
        "peak": dataclasses.asdict(sampler.peak),
        "phases": {phase: dataclasses.asdict(peak) for phase, peak in sampler.peaks.items()},
    }


def table(results: dict[str, Any]) -> str:
    columns = ["measured", "anonymous + shared, peak", "in the frozen pass", "in training", "in evaluation", "limit"]
    columns += ["mapped file pages, peak", "left out"]
    rows = []
    for name, result in results.items():
        own = {phase: peak["own"] for phase, peak in result["phases"].items()}
        parts = [own[phase] for phase in own if phase.startswith(PASS)]
        in_pass = megabytes(max(parts)) if result["row"] != 9 else "has none"
        if len(parts) > 3:  # the first has the messages of the evaluation too, the last is what came after the blocks
            in_pass += f" ({megabytes(parts[1])} near its beginning, {megabytes(parts[-2])} near its end)"
        cells = [name, megabytes(result["peak"]["own"]), in_pass, megabytes(own["training"])]
        cells += [megabytes(own["evaluation"]), megabytes(result["limit"])]
        cells += [megabytes(result["peak"]["files"]), result["left_out"]]
        rows.append(cells)
    return markdown_table(columns, rows) + times(results)


def times(results: dict[str, Any]) -> str:
    """Below the table, of each timed case: how long its steps took, and what follows for the full run."""
    lines = []
    for name, result in results.items():
        if seconds := result.get("training_seconds"):
            hours = stepping_seconds(row_config(result["row"]), seconds) / 3600
            step, evaluation, epoch = (statistics.median(seconds[what]) for what in ("step", "evaluation", "epoch"))
            lines.append(
                f"\n\n{name}: a step took {step:.0f} s (median of {len(seconds['step'])}), an evaluation"
                f" {evaluation:.0f} s, the end of an epoch {epoch:.0f} s. The full run has 650 steps, 13 evaluations"
                f" and 5 epochs, and would train for {hours:.1f} hours."
            )
    return "".join(lines)


# ---- the run that is watched ----------------------------------------------------------------------------------------


def case_shape(case: Case) -> Any:
    return dataclasses.replace(row_config(case.row).shape, n_layers=case.blocks)


def phase(name: str) -> None:
    """Tell the parent, which samples the memory, what comes now."""
    print(f"{PHASE}{name}", flush=True)


class PhasesOfPass(Listener):
    """Cuts the frozen pass over what training needs into as many phases as there are blocks."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks

    def work_started(self, what: str, amount: int, unit: str) -> None:
        self.amount, self.done, self.part = amount, 0, 0

    def work_advanced(self, amount: int) -> None:
        self.done += amount
        part = self.done * self.blocks // self.amount
        if part > self.part:
            self.part = part
            phase(f"{PASS}, {part} of {self.blocks}")


def made_up_messages(case: Case, vocabulary: int) -> dict[str, EncodedMessages]:
    """Random tokens, as many messages and positions as the case says."""
    draw = torch.Generator().manual_seed(0)
    return {
        split: encode_messages(
            torch.randint(vocabulary, (count, case.positions), generator=draw).tolist(),
            [message % 2 for message in range(count)],
            case.positions,
            pad_token=50256,
            padded=True,
        )
        for split, count in zip(SPLITS, case.messages, strict=True)
    }


def run(case: Case, file: Path) -> None:
    """What ``run_experiment`` does, with a shorter model and made-up messages; tells its phases."""
    keep_freed_memory()
    phase("loading")
    config = row_config(case.row, max_steps=case.steps, feature_memory=case.feature_memory, device="cpu")
    weights = open_weights(file, case_shape(case))
    digest = weights.digest()
    messages = made_up_messages(case, weights.shape.vocab_size)
    thrift = estimate_memory(config, CPU, case.positions, free=int(case.limit)).thrift
    if thrift is not Thrift.NONE:
        give_back_freed_memory()
    setup = make_setup(config, weights, messages, CPU, thrift=thrift)
    blocks = setup.plan.prefix_blocks
    print(setup.plan.describe(), flush=True)
    execution = experiment.make_execution(setup, None, digest)
    del weights, setup
    loaders = make_loaders(messages, config.batch_size)
    phase(PASS)
    execution.prepare(experiment.TRAINING_STAGE, PhasesOfPass(blocks))
    phase("training")
    clock = Clock()
    train(SPAM, execution, loaders, config, clock)
    print(f"{SECONDS}{json.dumps(clock.seconds)}", flush=True)
    phase(PASS)
    execution.prepare(experiment.EVALUATION_STAGE, Listener())
    phase("evaluation")
    for split in SPLITS:
        predict(execution, split, loaders[split])


if __name__ == "__main__":
    main()
