"""Messages a second of a trained classifier, GPT-2 small, beside what the machine's matrix products permit.

    python benchmarks/classify.py --data_dir data [--messages 512] [--record benchmarks/records/DATE_classify]

Random values in GPT-2's shapes, real messages. Two readouts: ``last`` behind the pads, for which all 120 positions
count, and ``flexible``, for which only the real tokens do. What is permitted: the operations of all blocks but the
last (of which one position is needed) at the rate of a 2048³ product measured just before. Each figure is the median
of the repeats; tokenising and everything else between text and answer is in it, loading is not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch.profiler import ProfilerActivity, profile  # noqa: E402

from ablation.allocator import keep_freed_memory  # noqa: E402
from ablation.config.experiment import ExperimentConfig  # noqa: E402
from ablation.data.labels import LABELS  # noqa: E402
from ablation.data.spam import load_splits  # noqa: E402
from ablation.model.classifier import StartingValues, assemble  # noqa: E402
from ablation.model.weights import open_weights  # noqa: E402
from ablation.run import inputs  # noqa: E402
from ablation.run.trained_classifier import SavedRun, TrainedClassifier, join  # noqa: E402
from benchmarks.load_weights import random_weights  # noqa: E402
from benchmarks.machine import blocks_gflop, sgemm_rate  # noqa: E402
from benchmarks.record import markdown_table, write_record  # noqa: E402

PADDED_LENGTH = 120  # of the published training messages
READOUTS = ("last", "flexible")
OPERATIONS_SHOWN = 8


def untrained(config: ExperimentConfig, weights_path: Path) -> TrainedClassifier:
    """A classifier as ``classify.py`` opens one, whose trained parameters are still as they were drawn."""
    weights = open_weights(weights_path, config.shape)
    assembly = assemble(config, config.shape)
    values, sources = StartingValues(weights, assembly.derived), assembly.sources
    parameters = {
        name: values.tensor(sources.get(name, name)) if parameter.is_meta else parameter.detach()
        for name, parameter in assembly.model.named_parameters()
        if parameter.requires_grad or name not in sources
    }
    saved = SavedRun(Path(), config, parameters, weights.digest(), PADDED_LENGTH, str(weights_path))
    tokenizer = inputs.open_tokenizer(config)
    return TrainedClassifier(saved, join(saved, weights), tokenizer, torch.device("cpu"), tuple(LABELS))


def measure(readout: str, texts: list[str], weights_path: Path, options: argparse.Namespace) -> dict[str, Any]:
    config = ExperimentConfig(trainable_token_pos=readout, models_dir=options.models_dir, offline=True)
    classifier = untrained(config, weights_path)
    answers = classifier.classify(texts)  # also what wakes threads and page cache
    lengths = torch.tensor([answer.read if readout == "flexible" else PADDED_LENGTH for answer in answers])
    gflop = blocks_gflop(lengths, config.shape.n_layers - 1, config.shape.emb_dim, causal=True)
    rates, seconds = [], []
    for _ in range(options.repeats):
        rates.append(sgemm_rate())
        start = time.perf_counter()
        classifier.classify(texts)
        seconds.append(time.perf_counter() - start)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        classifier.classify(texts)
    shares = [gflop / elapsed / rate for elapsed, rate in zip(seconds, rates, strict=True)]
    return {
        "messages": len(texts),
        "positions": int(lengths.sum()),
        "gflop": gflop,
        "sgemm_gflop_per_s": rates,
        "seconds": seconds,
        "messages_per_second": len(texts) / statistics.median(seconds),
        "share_of_sgemm": statistics.median(shares),
        "profile": operations(profiled),
    }


def operations(profiled: profile) -> dict[str, float]:
    """Share of the time of the operations that take most of it."""
    events = sorted(profiled.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return {event.key: event.self_cpu_time_total / total for event in events[:OPERATIONS_SHOWN]}


def table(results: dict[str, Any]) -> str:
    columns = ["readout", "messages", "positions", "messages a second", "share of what sgemm permits", "time goes to"]
    rows = []
    for readout, result in results.items():
        where = ", ".join(f"{name.removeprefix('aten::')} {share:.1%}" for name, share in result["profile"].items())
        rows.append([f"`{readout}`", str(result["messages"]), f"{result['positions']:,}"])
        rows[-1] += [f"{result['messages_per_second']:.1f}", f"{result['share_of_sgemm']:.0%}", where]
    return markdown_table(columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Messages a second of a trained classifier, GPT-2 small.")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--models_dir", default="models")
    parser.add_argument("--messages", type=int, default=512, help="how many, from the training split's first on")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--record", type=Path, help="folder for the raw figures and the environment")
    options = parser.parse_args()
    keep_freed_memory()  # as classify.py does
    config = ExperimentConfig()
    texts = load_splits(Path(options.data_dir), offline=True)["train"]["Text"].tolist()[: options.messages]
    with random_weights(config.shape) as weights_path:
        results = {readout: measure(readout, texts, weights_path, options) for readout in READOUTS}
    print(table(results))
    write_record(options.record, results, table(results))


if __name__ == "__main__":
    main()
