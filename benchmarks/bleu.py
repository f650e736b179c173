"""Seconds of BLEU of 5,000 sentences against 5,000 others, forward and backward, beside nltk's on two processes.

    python benchmarks/bleu.py --data_dir data [--record benchmarks/records/DATE_bleu]

Captions as GPT-2's token ids: the first sentences of the training split stand for generated ones, the test split is
what they are compared with. Here: ``ablation.texts.bleu`` in one process with one thread, whole, median of the repeats.
Beside it: ``sentence_bleu`` with ``SmoothingFunction().method1``, which counts all references anew for each sentence.
That would take most of an hour, so only a sample is scored each way, spread evenly and against all references, by two
processes that share it; its time is multiplied by how many sentences stand for one of the sample. Of the sample the
scores of both are compared, and the benchmark fails where they differ by more than 1e-12.

Wall time and time on the processor stand beside each other: the second is what others at work on the machine disturb
less, and the table tells the load average. Where that is much above 2, the factor of wall times means nothing. On the
processor the factor is by process: nltk's time is divided by the number of its processes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from ablation.config.generation import LanguageModelConfig  # noqa: E402
from ablation.data.sentences import load_sentences  # noqa: E402
from ablation.run.inputs import open_tokenizer  # noqa: E402
from ablation.texts.bleu import forward_backward  # noqa: E402
from benchmarks.record import markdown_table, write_record  # noqa: E402

Sentences = Sequence[Sequence[int]]
Scores = tuple[NDArray[np.float64], NDArray[np.float64]]  # forward, backward
TOLERANCE = 1e-12  # of a score
PROCESSES = 2


def measure_here(generated: Sentences, references: Sentences, repeats: int) -> tuple[dict[str, list[float]], Scores]:
    """Seconds of each repeat, wall and processor, and the scores."""
    seconds: dict[str, list[float]] = {"wall": [], "processor": []}
    for _ in range(repeats):
        start, start_of_process = time.perf_counter(), time.process_time()
        scores = forward_backward(generated, references)
        seconds["wall"].append(time.perf_counter() - start)
        seconds["processor"].append(time.process_time() - start_of_process)
    return seconds, scores


# ---- nltk ------------------------------------------------------------------------------------------------------------


def nltk_scores(references: Sentences, hypotheses: Sentences) -> tuple[list[float], float]:
    """Scores of some sentences, and the seconds on the processor that they took; in a process of the pool."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smoothing = SmoothingFunction().method1
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about orders without a match, which the smoothing is there for
        scores = [float(sentence_bleu(references, own, smoothing_function=smoothing)) for own in hypotheses]
    return scores, time.process_time() - start


def spread(count: int, sample: int) -> list[int]:
    """Numbers of sentences of a sample, at equal distances."""
    sample = min(sample, count)
    return [index * count // sample for index in range(sample)]


def measure_nltk(hypotheses: Sentences, references: Sentences, sample: int) -> tuple[dict[str, Any], list[float]]:
    """Seconds of a sample of the hypotheses against all references, shared by the processes; and its scores."""
    chosen = [hypotheses[index] for index in spread(len(hypotheses), sample)]
    shares = [(references, chosen[first::PROCESSES]) for first in range(PROCESSES)]
    with get_context("fork").Pool(PROCESSES) as pool:
        pool.starmap(nltk_scores, [(references[:1], chosen[:1])] * PROCESSES, chunksize=1)  # imports are not counted
        start = time.perf_counter()
        found = pool.starmap(nltk_scores, shares, chunksize=1)
        wall = time.perf_counter() - start
    scores = [0.0] * len(chosen)
    for first, (own, _) in enumerate(found):
        scores[first::PROCESSES] = own
    processor = [seconds for _, seconds in found]
    return {"sample": len(chosen), "of": len(hypotheses), "wall": wall, "processor": processor}, scores


# ---- both ------------------------------------------------------------------------------------------------------------


def measure(generated: Sentences, references: Sentences, sample: int, repeats: int) -> dict[str, Any]:
    """Raw figures of both.

    Raises:
        SystemExit: a score differs from nltk's.
    """
    seconds, scores = measure_here(generated, references, repeats)
    ways: dict[str, Any] = {}
    for name, own, (hypotheses, against) in zip(
        ("forward", "backward"), scores, ((generated, references), (references, generated)), strict=True
    ):
        timed, wanted = measure_nltk(hypotheses, against, sample)
        difference = float(np.abs(own[spread(len(hypotheses), sample)] - wanted).max())
        if not difference <= TOLERANCE:
            raise SystemExit(f"{name} BLEU differs from nltk's by {difference:.1e}; {TOLERANCE:.0e} is allowed")
        ways[name] = {**timed, "mean_score_of_all": float(own.mean()), "largest_difference": difference}
    sizes = {"generated": len(generated), "references": len(references)}
    machine = {"load_average": os.getloadavg()[1], "cores": os.cpu_count()}
    return {**sizes, "here": seconds, "nltk": ways, "nltk_processes": PROCESSES, **machine}


def extrapolated(results: dict[str, Any]) -> tuple[float, float]:
    """nltk's seconds for all sentences both ways: wall, and on the processor, all processes together."""
    ways = results["nltk"].values()
    factors = [way["of"] / way["sample"] for way in ways]
    wall = sum(factor * way["wall"] for factor, way in zip(factors, ways, strict=True))
    return wall, sum(factor * sum(way["processor"]) for factor, way in zip(factors, ways, strict=True))


def table(results: dict[str, Any]) -> str:
    here = {clock: statistics.median(seconds) for clock, seconds in results["here"].items()}
    wall, processor = extrapolated(results)
    processes, way = results["nltk_processes"], results["nltk"]["forward"]
    largest = max(way["largest_difference"] for way in results["nltk"].values())
    columns = [f"{results['generated']:,} × {results['references']:,} sentences, both ways", "wall", "processor"]
    rows = [
        ["`ablation.texts.bleu`, one process", f"{here['wall']:.2f} s", f"{here['processor']:.2f} s"],
        [f"nltk, {processes} processes", f"{wall:,.0f} s", f"{processor:,.0f} s"],
        ["nltk ÷ here", f"{wall / here['wall']:,.0f}", f"{processor / processes / here['processor']:,.0f}"],
    ]
    said = (
        f"nltk: extrapolated from {way['sample']} sentences each way, scored against all; on the processor, its "
        f"{processes} processes together, and the last line by process. Largest difference of a score: {largest:.0e}. "
        f"Load average meanwhile: {results['load_average']:.1f} on {results['cores']} cores."
    )
    return f"{markdown_table(columns, rows)}\n\n{said}"


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Seconds of BLEU of many sentences, beside nltk's.")
    parser.add_argument("--data_dir", default="data", help="with the captions")
    parser.add_argument("--models_dir", default="models", help="with the folder of GPT-2's vocabulary")
    parser.add_argument("--sentences", type=int, default=5000, help="on each side")
    parser.add_argument("--sample", type=int, default=40, help="of them that nltk scores each way")
    parser.add_argument("--repeats", type=int, default=5, help="of ours")
    parser.add_argument("--record", type=Path, help="folder for the raw figures and the environment")
    return parser


def main(arguments: list[str] | None = None) -> None:
    options = make_parser().parse_args(arguments)
    config = LanguageModelConfig(
        data_dir=options.data_dir, models_dir=options.models_dir, offline=True,
        n_train=options.sentences, n_validation=1, n_test=options.sentences,
    )  # fmt: skip
    splits = load_sentences(config, open_tokenizer(config)).splits
    results = measure(splits["train"].token_ids, splits["test"].token_ids, options.sample, options.repeats)
    print(table(results))
    write_record(options.record, results, table(results))


if __name__ == "__main__":
    main()
