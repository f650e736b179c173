"""Messages and results as large as real ones, in a second: runs whose accuracy, noise and agreement are chosen."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablation.config.experiment import ExperimentConfig
from ablation.config.methods import own_settings
from ablation.config.own_data import OWN_DATA_FIELDS
from ablation.config.padding import PADDING
from ablation.config.rows import row_config
from ablation.data.spam import data_digest, read_messages, split_messages
from ablation.listener import Count
from ablation.results.run_folder import (
    LOSSES_CSV,
    PREDICTIONS_CSV,
    RunRecord,
    config_fields,
    evaluation_fields,
    write_run,
)
from ablation.tasks.spam import SPAM
from ablation.tasks.spam_predictions import predictions_csv

START = datetime(2026, 1, 1, tzinfo=UTC)


def made_up_messages(folder: Path, count: int = 60) -> Path:
    """A file of ``count`` spam and twice as many ham, told apart by their words with a little noise."""
    draw = random.Random(0)
    spam = ["win", "prize", "call", "now", "free", "txt", "claim"]
    ham = ["home", "later", "dinner", "love", "see", "you", "ok"]
    lines = []
    for i in range(3 * count):
        label, own, other = ("spam", spam, ham) if i < count else ("ham", ham, spam)
        words = [draw.choice(own if draw.random() < 0.9 else other) for _ in range(draw.randint(3, 9))]
        lines.append(f"{label}\t{' '.join(words)}\n")
    draw.shuffle(lines)
    folder.mkdir(exist_ok=True)
    (folder / "SMSSpamCollection.tsv").write_text("".join(lines))
    return folder


@cache
def splits_of(folder: Path) -> dict[str, pd.DataFrame]:
    return split_messages(read_messages(folder / "SMSSpamCollection.tsv", trust_new_hash=True))


def publish(patch: pytest.MonkeyPatch, data: Path) -> None:
    """Take these messages for the published ones."""
    patch.setattr(type(SPAM), "published_data_digest", data_digest(splits_of(data)))


NEWER_SETTINGS = (
    *OWN_DATA_FIELDS, "checkpoint_every", "checkpoint_dir", "restart", "method", "train_final_norm", *own_settings(),
    "measure_forgetting", "held_out_text", "n_train", *PADDING,
)  # fmt: skip


def length_as_before(config: ExperimentConfig) -> int:
    """Another number for most other configurations, and the one that runs had before there were the newer settings:
    what they draw by it stays."""
    return len(str(config)) - sum(len(f", {name}={getattr(config, name)!r}") for name in NEWER_SETTINGS)


def make_run(
    results: Path,
    data: Path,
    config: ExperimentConfig,
    accuracy: float,
    *,
    minute: int = 0,
    foreign: Mapping[str, str] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Keep one made-up run of about this accuracy; runs agree on which messages are hard. Returns its row.

    Args:
        minute: when it ended, after some start.
        foreign: digests of weights and data other than the published ones, which the hash then knows.
        changes: columns to set otherwise.
    """
    splits = splits_of(data)
    draw = np.random.default_rng([config.seed, int(1e6 * accuracy), length_as_before(config)])
    seed_effect = draw.normal(0, 0.15)
    logits: dict[str, list[list[float]]] = {}
    labels, counts = {}, {}
    for split, frame in splits.items():
        hardness = np.random.default_rng(len(frame)).normal(size=len(frame))
        latent = (hardness + draw.normal(0, 0.6, len(frame)) + seed_effect) / (1 + 0.6**2 + 0.15**2) ** 0.5
        margin = stats.norm.ppf(accuracy) - latent
        labels[split] = frame["Label"].tolist()
        logits[split] = [[0.0, float(m if label else -m)] for m, label in zip(margin, labels[split], strict=True)]
        counts[split] = Count(int((margin > 0).sum()), len(frame))
    row: dict[str, Any] = dict.fromkeys(SPAM.columns)
    row |= config_fields(SPAM, config, START + timedelta(minutes=minute), foreign or {})
    row |= evaluation_fields(SPAM.evaluate(counts)[0])
    row |= {
        "training_minutes": 2.5,
        "total_minutes": 3.0,
        "device_name": "Some CPU",
        "threads": 2,
        "python_version": "3.11.7",
        "torch_version": "2.13.0",
        "weights_digest": "ab" * 32 if config.weights == "pretrained" else f"{config.seed:064x}",
        "data_digest": data_digest(splits),
        "features": "computed",
        "feature_seconds": 100.0,
    }
    row |= {**(foreign or {}), **changes}
    for unknown in set(row) - set(SPAM.columns):
        del row[unknown]
    steps = range(0, 650, 50)
    losses = [f"{step},{0.7 * 0.997**step + 0.02 * draw.random()},{0.7 * 0.998**step + 0.05}\n" for step in steps]
    files: dict[str, str | bytes] = {
        PREDICTIONS_CSV: predictions_csv({s: logits[s] for s in ("validation", "test")}, labels),
        LOSSES_CSV: "step,train_loss,validation_loss\n" + "".join(losses),
    }
    write_run(results, SPAM, RunRecord([row], {}, files))
    return row


def make_results(
    results: Path, data: Path, accuracies: Mapping[int, float], seeds: Iterable[int], **overrides: Any
) -> None:
    """Runs of several published rows with several seeds; ``overrides`` change their configurations."""
    for number, accuracy in accuracies.items():
        for minute, seed in enumerate(seeds):
            make_run(results, data, row_config(number, seed=seed, **overrides), accuracy, minute=100 * number + minute)
