"""Spam classification, as far as the report asks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablation.config.experiment import ExperimentConfig
from ablation.config.rows import ROWS
from ablation.results.log import COLUMNS
from ablation.results.published import published_table
from ablation.results.task import Likeness, Metric, Predictions
from ablation.tasks.spam_likeness import load_likeness
from ablation.tasks.spam_predictions import read_predictions
from ablation.tasks.spam_questions import DEMO_QUESTIONS, QUESTIONS


class SpamTask:
    """See :class:`ablation.results.task.Task`."""

    name = "spam"
    title = "Spam-classifier ablations"
    examples = "messages"
    command = "additional_experiments.py"
    csv_name = "results.csv"
    columns = COLUMNS
    metrics = (
        Metric("training_acc", "training accuracy", "train"),
        Metric("validation_acc", "validation accuracy", "validation"),
        Metric("test_acc", "test accuracy", "test"),
    )
    headline = metrics[-1]
    config_class = ExperimentConfig
    rows = ROWS
    splits = ("train", "validation", "test")
    published_data_digest = "fb558a506d791b5741c4aa118c8fbb9ea184c42219c0773ca56f7c74555428b1"
    questions = QUESTIONS
    demo_questions = DEMO_QUESTIONS
    baselines: Mapping[str, str] = {
        "B1": "majority class",
        "B2": "word TF-IDF + logistic regression",
        "B3": "character (2–5) TF-IDF + logistic regression, strength chosen on validation",
    }

    def read_predictions(self, folder: Path, split: str) -> Predictions:
        return read_predictions(folder, split)

    def likeness(self, data_dir: Path, *, demo: bool) -> tuple[Likeness | None, str]:
        return load_likeness(data_dir, demo=demo)

    def published(self) -> Mapping[str, Mapping[str, str]]:
        return published_table()


SPAM: Any = SpamTask()
