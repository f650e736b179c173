"""Results of the language model whose truth is known: rows of a CSV and what folders keep of epochs, without a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ablation.config.decoding import decodings
from ablation.config.generation import LanguageModelConfig
from ablation.results.language_model_record import EPOCHS_CSV
from ablation.results.log import RUNS_FOLDER, format_row, header_line
from ablation.results.run_folder import LOSSES_CSV, config_fields
from ablation.tasks.language_model import LANGUAGE_MODEL, PUBLISHED_DATA_DIGEST

START = datetime(2026, 1, 1, tzinfo=UTC)
SPREAD = 0.002  # of BLEU and perplexity over seeds, as a share of them


@dataclass(frozen=True)
class Truth:
    """What is true of a row.

    Attributes:
        columns: figures, some of which are drawn about their value; others stand as they are.
        spoken: by ``decoding temperature``: columns of that way.
        perplexities, harmonic: validation figures of each epoch; none are kept where there are none.
        losses: per epoch, of each batch.
    """

    columns: Mapping[str, Any] = field(default_factory=dict)
    spoken: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    perplexities: Sequence[float] = ()
    harmonic: Sequence[float] = ()
    losses: Sequence[Sequence[float]] = ()


def made_up_rows(
    results: Path, row: int, truth: Truth, seeds: Iterable[int], *, settings: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Runs of a row with several seeds, each evaluated in the published ways: six of rows 1 to 4, else random at 0.7.
    Returns the lines, unwritten.

    Args:
        settings: beside those of the row.
    """
    lines, ways = [], decodings(["random", "top_p", "top_k"], [0.7, 1.0], 40, 0.9)[: 6 if row <= 4 else 1]
    for seed in seeds:
        config = LanguageModelConfig(**{**LANGUAGE_MODEL.rows[row], **(settings or {})}, seed=seed)
        shared: dict[str, Any] = {
            **config_fields(LANGUAGE_MODEL, config, START + timedelta(hours=row, minutes=seed)),
            "train_loss": 2.5, "validation_loss": 2.8, "validation_perplexity": 16.4, "test_loss": 2.7,
            "test_perplexity": 15.0, "test_token_perplexity": 15.5, "training_minutes": 60, "device_name": "Some CPU",
            "torch_version": "2.13.0", "data_digest": PUBLISHED_DATA_DIGEST, "n_samples": 5000,
        }  # fmt: skip
        draw = np.random.default_rng([row, seed])
        shared |= {name: _drawn(value, draw) for name, value in truth.columns.items()}
        _keep(results / RUNS_FOLDER / shared["run_id"], truth)
        for way in ways:
            figures = truth.spoken.get(f"{way.name} {way.temperature}", {})
            bleu = {"forward_bleu": 0.6, "backward_bleu": 0.5, "harmonic_bleu": 0.55, "begins_with_article": 0.9}
            own = {name: _drawn(value, draw) for name, value in {**bleu, **figures}.items()}
            lines.append({**dict.fromkeys(LANGUAGE_MODEL.columns), **shared, **way.settings, **own})
    return lines


def write_lines(results: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """The results file of these lines."""
    columns = LANGUAGE_MODEL.columns
    text = header_line(columns) + "".join(
        format_row({name: line.get(name) for name in columns}, columns) for line in lines
    )
    results.mkdir(parents=True, exist_ok=True)
    (results / LANGUAGE_MODEL.csv_name).write_text(text, encoding="utf-8")


def _drawn(value: Any, draw: np.random.Generator) -> Any:
    """About a fraction's value; a whole number or a text as it is."""
    return float(value * draw.normal(1, SPREAD)) if isinstance(value, float) else value


def _keep(folder: Path, truth: Truth) -> None:
    """What the folder has of the epochs, as far as there is any."""
    tables: dict[str, list[str]] = {}
    if truth.perplexities:
        harmonic: Sequence[Any] = truth.harmonic or [""] * len(truth.perplexities)
        epochs = zip(truth.perplexities, harmonic, strict=True)
        tables[EPOCHS_CSV] = ["epoch,validation_perplexity,validation_harmonic_bleu"]
        tables[EPOCHS_CSV] += [f"{number},{perplexity},{bleu}" for number, (perplexity, bleu) in enumerate(epochs, 1)]
    if truth.losses:
        losses = [(number, loss) for number, epoch in enumerate(truth.losses, 1) for loss in epoch]
        tables[LOSSES_CSV] = ["epoch,step,train_loss"]
        tables[LOSSES_CSV] += [f"{number},{step},{loss}" for step, (number, loss) in enumerate(losses)]
    for name, lines in tables.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
