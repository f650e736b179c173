"""What ``benchmarks/run.py`` makes of its raw figures: seconds of a whole training, ratios, and a table of them."""

from __future__ import annotations

import statistics
from typing import Any

from ablation.config.experiment import ExperimentConfig
from ablation.config.rows import row_config
from benchmarks.record import markdown_table

EXECUTIONS = ("book-style", "naive", "planned")
LONG_ROW, LONG_ROW_MESSAGES = 13, 160  # its prefix over all messages takes most of an hour


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
