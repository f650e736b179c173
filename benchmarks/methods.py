"""Seconds a step of each way to fine-tune, beside the same in Hugging Face PEFT, and milliseconds a message afterwards.

    python benchmarks/methods.py --data_dir data [--rows 20-33] [--parts steps,inference] [--record FOLDER]

Random values in GPT-2 small's shapes, the published batches of real messages, padded to 120. For each row the planned
execution and PEFT take turns in one process, on the same batches: whole updates, optimizer included, first with the
method in all blocks, then with ``--from_block`` at the last one. What PEFT has not is told in ``peft_style.py``.
Before each pair the rate of the matrix products is measured that the floor (``floor.py``) is divided by.

Medians; the first update of each is not counted. Training time is 650 steps and the frozen pass below
``--from_block``, extrapolated from the messages that were measured; the evaluations of a run, 180 batches, stand apart.
Messages are then classified, one by one and 32 at a time, by the method as it was trained and merged into the weights.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from ablation.allocator import keep_freed_memory  # noqa: E402
from ablation.config.experiment import ExperimentConfig  # noqa: E402
from ablation.config.rows import row_config  # noqa: E402
from ablation.config.shapes import ModelShape  # noqa: E402
from ablation.data.encode import EncodedMessages, make_loaders  # noqa: E402
from ablation.data.spam import load_splits  # noqa: E402
from ablation.execution.feature_cache import FeatureCache  # noqa: E402
from ablation.execution.features import FeatureOptions  # noqa: E402
from ablation.execution.planned import PlannedExecution  # noqa: E402
from ablation.execution.setup import make_setup  # noqa: E402
from ablation.listener import Listener  # noqa: E402
from ablation.methods.registry import METHODS  # noqa: E402
from ablation.model.classifier import WeightSource  # noqa: E402
from ablation.model.weights import open_weights  # noqa: E402
from ablation.run.memory import feature_memory  # noqa: E402
from ablation.run.trained_classifier import TrainedClassifier  # noqa: E402
from ablation.run.training import Updater, make_optimizer  # noqa: E402
from ablation.sweep.lists import parse_numbers  # noqa: E402
from ablation.tasks.spam import SPAM  # noqa: E402
from benchmarks import peft_style  # noqa: E402
from benchmarks.classify import untrained  # noqa: E402
from benchmarks.floor import Batch, step_gflop  # noqa: E402
from benchmarks.load_weights import random_weights  # noqa: E402
from benchmarks.machine import block_rate  # noqa: E402
from benchmarks.record import earlier_results, markdown_table, write_record  # noqa: E402

CPU = torch.device("cpu")
STEPS = 5 * (1045 // 8)  # of a published run
EVALUATED_BATCHES = 13 * 2 * 5 + 5 * 2 * 5  # during it: losses every 50 steps, accuracies after every epoch
FROZEN_MESSAGES = 1045 + 40  # that training needs: its own, and the first batches of validation
BATCH_SIZES = (1, 32)  # of messages to classify
ONE_BY_ONE = 5  # times as often: a single message takes a fraction of a second
ROW_OF_PLAIN = 3  # trains its new head alone
Measurements = Iterator[tuple[str, dict[str, Any]]]  # by where they stand in a record
WHO = ("here", "peft")
PLAIN, FROZEN_PASS = "plain", "frozen_pass"  # in a record, beside the rows


@dataclass(frozen=True)
class Bench:
    """What all measurements of steps have in common.

    Attributes:
        weights: of the planned execution.
        plain: Hugging Face's model of the same shape.
        batches: of training messages, in the published order.
    """

    weights: WeightSource
    plain: nn.Module
    messages: dict[str, EncodedMessages]
    batches: list[Tensor]
    cache: FeatureCache | None

    @property
    def shape(self) -> ModelShape:
        return self.weights.shape

    @property
    def size(self) -> Batch:
        return Batch(len(self.batches[0]), self.messages["train"].tokens.shape[1])


def published_batches(messages: dict[str, EncodedMessages], config: ExperimentConfig, count: int) -> list[Tensor]:
    """The first batches of a run, message indices (B,)."""
    loader = make_loaders(messages, config.batch_size)["train"]
    torch.manual_seed(config.effective_order_seed)
    return list(itertools.islice(loader, count))


def timed(act: Callable[..., object], *arguments: object) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    act(*arguments)
    return time.perf_counter() - start


# ---- steps ----------------------------------------------------------------------------------------------------------


def prepared(config: ExperimentConfig, bench: Bench) -> tuple[PlannedExecution, float]:
    """An execution ready for the batches, and the seconds that its frozen pass took; a later one with the same blocks
    frozen finds it in the cache."""
    setup = make_setup(config, bench.weights, bench.messages, CPU)
    stages = [{"train": torch.cat(bench.batches)}]
    execution = PlannedExecution(setup, FeatureOptions(stages, feature_memory(config), bench.cache))
    return execution, timed(execution.prepare, 0, Listener())


def measure_frozen_pass(bench: Bench) -> dict[str, Any]:
    """Of all blocks but the last, which every method in the last block starts from."""
    execution, seconds = prepared(row_config(1), bench)
    if execution.features != "computed":
        raise SystemExit(f"the features were {execution.features} before anything had computed them")
    return {"seconds": seconds, "messages": sum(map(len, bench.batches))}


def measure_steps(config: ExperimentConfig, bench: Bench) -> dict[str, Any]:
    """Updates of one method, here and in PEFT by turns, one for each batch; and one evaluation of a batch each."""
    execution, _ = prepared(config, bench)
    update = Updater(SPAM, execution, make_optimizer(execution.parameter_groups(), config), config)
    twin = peft_style.adapted(bench.plain, config)
    optimizer = peft_style.optimizer(twin, config)
    split = bench.messages["train"]
    seconds: dict[str, list[float]] = {"here": [], "peft": []}
    rates = []
    for number, batch in enumerate(bench.batches):
        rates.append(block_rate(bench.shape.emb_dim, len(batch) * bench.size.length))
        with execution.updating(number):
            seconds["here"].append(timed(update, [batch]))
        tokens, labels = split.batch(batch), split.labels[batch]
        seconds["peft"].append(timed(peft_style.step, twin, optimizer, tokens, labels))
    with torch.inference_mode():
        evaluation = {"here": timed(execution.logits, "train", [batch]), "peft": timed(twin.eval(), tokens)}
    return {
        "seconds": seconds,
        "evaluation": evaluation,
        "features": execution.features,
        "parameters": {"here": trained_count(execution.model), "peft": trained_count(twin)},
        "floor_gflop": step_gflop(config, bench.shape, bench.size),
        "products_gflop_per_s": rates,
    }


def trained_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def row_steps(row: int, bench: Bench) -> dict[str, Any]:
    """In all blocks, and in the last alone where the method has that choice."""
    config = row_config(row)
    result = {"all_blocks": measure_steps(config, bench)}
    if config.from_block is not None:
        result["last_block"] = measure_steps(replace(config, from_block=bench.shape.n_layers), bench)
    return result


def steps_of(rows: list[int], weights_path: Path, options: argparse.Namespace) -> Measurements:
    with opened_bench(options, weights_path) as bench:
        yield FROZEN_PASS, measure_frozen_pass(bench)
        for row in rows:
            yield str(row), {"steps": row_steps(row, bench)}
            gc.collect()  # models refer to themselves


@contextmanager
def opened_bench(options: argparse.Namespace, weights_path: Path) -> Iterator[Bench]:
    config = ExperimentConfig(data_dir=options.data_dir, models_dir=options.models_dir, offline=True)
    messages = SPAM.load(config, Listener()).splits
    batches = published_batches(messages, config, 1 + options.repeats)
    weights = open_weights(weights_path, config.shape)
    with tempfile.TemporaryDirectory() as folder, FeatureCache(Path(folder), 10**10, Listener()) as cache:
        yield Bench(weights, peft_style.plain_model(config.shape), messages, batches, cache)


# ---- inference ------------------------------------------------------------------------------------------------------


def measure_inference(classifier: TrainedClassifier, texts: list[str], repeats: int) -> dict[str, list[float]]:
    """Milliseconds a message, by the number classified at once."""
    tokens = [classifier.tokens_of(text) for text in texts]
    found = {}
    for size in BATCH_SIZES:
        classifier.answer(tokens[:1])
        batch = tokens[:size]
        count = repeats * ONE_BY_ONE if size == 1 else repeats
        found[str(size)] = [1000 * timed(classifier.answer, batch) / len(batch) for _ in range(count)]
    return found


def row_inference(row: int, weights_path: Path, options: argparse.Namespace, texts: list[str]) -> dict[str, Any]:
    """As it was trained, and merged where the method merges and there is anything to merge."""
    config = row_config(row, models_dir=options.models_dir, offline=True)
    classifier = untrained(config, weights_path)
    result = {"as_trained": measure_inference(classifier, texts, options.inference_repeats)}
    kinds = {type(module) for module in classifier.model.modules()}
    if not config.declaration.cannot_merge:
        METHODS[config.adaptation].merge(classifier.model)
        if {type(module) for module in classifier.model.modules()} != kinds:
            result["merged"] = measure_inference(classifier, texts, options.inference_repeats)
    return result


def inference_of(rows: list[int], weights_path: Path, options: argparse.Namespace) -> Measurements:
    texts = load_splits(Path(options.data_dir), offline=True)["train"]["Text"].tolist()[: max(BATCH_SIZES)]
    yield PLAIN, row_inference(ROW_OF_PLAIN, weights_path, options, texts)
    for row in rows:
        yield str(row), {"inference": row_inference(row, weights_path, options, texts)}


MEASURE = {"steps": steps_of, "inference": inference_of}


# ---- what is made of it ---------------------------------------------------------------------------------------------


def table(results: dict[str, Any]) -> str:
    """Markdown: the tables of whatever was measured, with a line before each."""
    rows = sorted(filter(str.isdigit, results), key=int)
    steps = {row: results[row]["steps"] for row in rows if "steps" in results[row]}
    classified = {row: results[row]["inference"] for row in rows if "inference" in results[row]}
    parts = []
    if steps:
        parts.append(all_blocks_table({row: measured["all_blocks"] for row, measured in steps.items()}))
    if last := {row: measured["last_block"] for row, measured in steps.items() if "last_block" in measured}:
        parts.append(last_block_table(last, results[FROZEN_PASS]))
    if classified:
        parts.append(inference_table({PLAIN: results[PLAIN], **classified}))
    return "\n\n".join(parts)


def step_seconds(measured: dict[str, Any], who: str) -> float:
    """The median; the first step, which makes the optimizer's moments, is left out."""
    return statistics.median(measured["seconds"][who][1:])


def minutes(measured: dict[str, Any], who: str, before: float = 0.0) -> str:
    """A run's training time without its evaluations, and what those take; ``before``: seconds of the frozen pass."""
    training = STEPS * step_seconds(measured, who) + before
    return f"{training / 60:.1f} + {EVALUATED_BATCHES * measured['evaluation'][who] / 60:.1f}"


def floor_seconds(measured: dict[str, Any]) -> float:
    return float(measured["floor_gflop"] / statistics.median(measured["products_gflop_per_s"]))


def first_cells(row: str, measured: dict[str, Any] | None = None) -> list[str]:
    name = row_config(int(row)).adaptation
    return [row, f"`{name}`", *([] if measured is None else [f"{measured['parameters']['here']:,}"])]


def all_blocks_table(rows: dict[str, dict[str, Any]]) -> str:
    columns = ["row", "method", "trained", "s a step", "in PEFT", "PEFT ÷ here", "floor, s", "here ÷ floor"]
    columns += ["minutes: steps + evaluations", "in PEFT", "what differs in PEFT"]
    lines = []
    for row, measured in rows.items():
        here, peft, floor = (*(step_seconds(measured, who) for who in WHO), floor_seconds(measured))
        cells = [f"{here:.2f}", f"{peft:.2f}", f"{peft / here:.2f}", f"{floor:.2f}", f"{here / floor:.2f}"]
        cells += [minutes(measured, who) for who in WHO]
        cells += [peft_style.NEAREST.get(row_config(int(row)).adaptation, "")]
        lines.append([*first_cells(row, measured), *cells])
    return f"In all blocks:\n\n{markdown_table(columns, lines)}"


def last_block_table(rows: dict[str, dict[str, Any]], frozen: dict[str, Any]) -> str:
    columns = ["row", "method", "trained", "s a step", "in PEFT", "PEFT ÷ here"]
    columns += ["minutes: frozen pass and steps + evaluations", "in PEFT", "PEFT ÷ here, of minutes"]
    before, lines = FROZEN_MESSAGES * frozen["seconds"] / frozen["messages"], []
    for row, measured in rows.items():
        here, peft = (step_seconds(measured, who) for who in WHO)
        cells = [f"{here:.3f}", f"{peft:.2f}", f"{peft / here:.0f}"]
        cells += [minutes(measured, "here", before), minutes(measured, "peft")]
        lines.append([*first_cells(row, measured), *cells, f"{STEPS * peft / (STEPS * here + before):.1f}"])
    return f"In the last block alone (`--from_block 12`):\n\n{markdown_table(columns, lines)}"


def inference_table(rows: dict[str, dict[str, Any]]) -> str:
    columns = ["row", "method", *(f"{how}, {size} at once" for size in BATCH_SIZES for how in ("as trained", "merged"))]
    lines = []
    for row, measured in rows.items():
        cells = ["", "plain GPT-2"] if row == PLAIN else first_cells(row)
        for size in map(str, BATCH_SIZES):
            figures = (measured.get(how, {}).get(size) for how in ("as_trained", "merged"))
            cells += [f"{statistics.median(some):.0f}" if some else "" for some in figures]
        lines.append(cells)
    return f"Milliseconds a message of 120 positions, classified:\n\n{markdown_table(columns, lines)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="11,20-33")
    parser.add_argument("--parts", default=",".join(MEASURE), help="what to measure, with commas")
    parser.add_argument("--repeats", type=int, default=2, help="updates of each that are counted")
    parser.add_argument("--inference_repeats", type=int, default=1, help="how often 32 messages are classified at once")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--models_dir", default="models")
    parser.add_argument("--record", type=Path, help="folder for the raw figures and the environment")
    options = parser.parse_args()
    keep_freed_memory()  # as a run does; PEFT profits from it, too
    results = earlier_results(options.record)  # rows and parts may be measured one by one
    with random_weights(ExperimentConfig().shape) as weights_path:
        for part in options.parts.split(","):
            for row, measured in MEASURE[part](parse_numbers(options.rows), weights_path, options):
                results[row] = results.get(row, {}) | measured
                write_record(options.record, results, table(results))
    print(table(results))


if __name__ == "__main__":
    main()
