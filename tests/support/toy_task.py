"""A second task, as small as one can be: is a sentence's last number even? A run of it ends in two rows."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor
from torch.nn.functional import cross_entropy

from ablation.config.experiment import ExperimentConfig
from ablation.config.flags import CommandLine
from ablation.config.settings import fields_of, option
from ablation.config.values import number
from ablation.data.encode import encode_messages
from ablation.listener import Count, Listener
from ablation.results.questions import Question
from ablation.results.task import ClassifierTask, Evaluation, Examples, Likeness, Measurement, Metric, Predictions
from ablation.run.inputs import open_tokenizer


@dataclass(frozen=True, kw_only=True)
class ToyConfig(ExperimentConfig):
    """What the spam task has, and one setting more."""

    TASK: ClassVar = "toy"
    smoothing: float = option(0.1, "of the labels", number(positive=False))


COMMAND_LINE = CommandLine("toy_experiments.py", "Even or odd?", ToyConfig, {1: {}, 2: {"smoothing": 0.3}})
SIZES = {"train": 24, "validation": 8, "test": 12}
ERRORS = Metric("errors", "errors per sentence", more_is_better=False)
SHARE = Metric("share_right", "sentences right", split="judged")


class ToyTask(ClassifierTask):
    """See :class:`ablation.results.task.Task`."""

    name = "toy"
    title = "Even numbers"
    examples = "sentences"
    command_line = COMMAND_LINE
    csv_name = "toy_results.csv"
    columns: tuple[str, ...] = (
        "run_id", "timestamp_utc", "row", *fields_of(ToyConfig), "judged_on", "errors", "judged_correct",
        "judged_total", "share_right", "training_minutes", "total_minutes", "device_name", "features",
        "weights_digest", "data_digest", "config_hash",
    )  # fmt: skip
    evaluation_columns = ("judged_on",)
    metrics = (ERRORS, SHARE)
    headline = ERRORS
    splits = ("train", "validation", "test")
    published_data_digest = hashlib.sha256(b"numbers").hexdigest()
    questions: tuple[Question, ...] = ()
    demo_questions = ()
    baselines: Mapping[str, str] = {}

    def load(self, config: ToyConfig, listener: Listener) -> Examples:
        draw, tokenizer, splits = random.Random(0), open_tokenizer(config), {}
        for split, size in SIZES.items():
            numbers = [[draw.randrange(10) for _ in range(4)] for _ in range(size)]
            lists = tokenizer.encode_ordinary_batch([" ".join(map(str, some)) for some in numbers])
            labels = [some[-1] % 2 for some in numbers]
            splits[split] = encode_messages(lists, labels, 8, tokenizer.eot_token, padded=True)
        return Examples(splits, self.published_data_digest, published=True)

    def loss(self, logits: Tensor, labels: Tensor, config: ToyConfig) -> Tensor:
        return cross_entropy(logits, labels, label_smoothing=config.smoothing)

    def correct(self, logits: Tensor, labels: Tensor) -> Count:
        return Count(int((logits.argmax(-1) == labels).sum()), len(labels))

    def evaluate(self, counts: Mapping[str, Count]) -> tuple[Evaluation, ...]:
        return tuple(
            Evaluation(
                (Measurement(ERRORS, 1 - count.accuracy), Measurement(SHARE, count.accuracy, count)),
                {"judged_on": split},
            )
            for split, count in counts.items()
            if split != "train"
        )

    def predictions_csv(
        self, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], names: Sequence[str]
    ) -> str:
        lines = [
            f"{split},{label},{first!r},{second!r}\n"
            for split, values in logits.items()
            for (first, second), label in zip(values.tolist(), labels[split].tolist(), strict=True)
        ]
        return "".join(["split,label,even,odd\n", *lines])

    def read_predictions(self, folder: Path, split: str) -> Predictions:
        lines = (folder / "predictions.csv").read_text().splitlines()[1:]
        own = [line.split(",")[1:4] for line in lines if line.startswith(f"{split},")]
        labels, logits = np.array([int(line[0]) for line in own]), np.array([line[1:] for line in own], dtype=float)
        return Predictions(labels, logits, (logits.argmax(1) == labels).astype(np.int64), ("even", "odd"))

    def data_digest(self, config: ToyConfig) -> str | None:
        return self.published_data_digest

    def likeness(
        self, data_dir: Path, *, demo: bool, recorded: Mapping[str, str] = {}
    ) -> tuple[Likeness | None, str]:
        return None, "numbers are not alike"

    def published(self) -> Mapping[str, Mapping[str, str]]:
        return {}


TOY = ToyTask()
