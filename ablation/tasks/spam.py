"""The first task: short messages, spam or ham, told apart by a classifier on GPT-2.

Commands import this before they know whether they will compute, so torch comes in only where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.config.experiment import ExperimentConfig
from ablation.config.flags import EXPERIMENTS
from ablation.data.demo import MESSAGES
from ablation.data.spam import (
    PUBLISHED_DATA_DIGEST,
    SPLITS,
    DataError,
    data_digest,
    load_splits,
    read_messages,
    split_messages,
)
from ablation.files.published import DATASET_NAME
from ablation.listener import Count, Listener
from ablation.results.published import published_table
from ablation.results.task import Evaluation, Examples, Likeness, Measurement, Metric, Predictions, Task
from ablation.tasks.spam_likeness import load_likeness
from ablation.tasks.spam_predictions import predictions_csv, read_predictions
from ablation.tasks.spam_questions import DEMO_QUESTIONS, QUESTIONS

if TYPE_CHECKING:
    from torch import Tensor

# Written out, because old files have them in this order; a test holds that no setting is missing.
COLUMNS = (
    "run_id", "timestamp_utc", "row",
    "model_size", "weights", "trainable_layers", "trainable_token_pos", "average_embeddings", "context_length",
    "lora_rank", "lora_alpha", "no_padding", "num_epochs", "batch_size", "accumulation_steps", "disable_causal_mask",
    "ignore_index", "learning_rate", "weight_decay", "eval_freq", "eval_iter", "max_steps", "seed", "order_seed",
    "n_layers", "emb_dim", "n_heads", "precision", "demo",
    "device", "execution", "feature_memory", "feature_cache", "feature_cache_limit", "data_dir", "models_dir",
    "weights_path", "results_dir", "offline", "trust_new_hash", "save_model",
    "effective_context_length", "total_parameters", "trainable_parameters",
    "train_correct", "train_total", "validation_correct", "validation_total", "test_correct", "test_total",
    "training_acc", "validation_acc", "test_acc",
    "training_minutes", "total_minutes", "load_seconds", "peak_memory_mb",
    "device_name", "threads", "python_version", "torch_version", "git_commit",
    "weights_digest", "data_digest", "features", "feature_seconds", "config_hash",
)  # fmt: skip


class SpamTask(Task):
    """See :class:`ablation.results.task.Task`."""

    name = "spam"
    title = "Spam-classifier ablations"
    examples = "messages"
    command_line = EXPERIMENTS
    csv_name = "results.csv"
    columns = COLUMNS
    metrics = (
        Metric("training_acc", "training accuracy", "train"),
        Metric("validation_acc", "validation accuracy", "validation"),
        Metric("test_acc", "test accuracy", "test"),
    )
    headline = metrics[-1]
    splits = SPLITS
    published_data_digest = PUBLISHED_DATA_DIGEST
    questions = QUESTIONS
    demo_questions = DEMO_QUESTIONS
    baselines: Mapping[str, str] = {
        "B1": "majority class",
        "B2": "word TF-IDF + logistic regression",
        "B3": "character (2–5) TF-IDF + logistic regression, strength chosen on validation",
    }

    def load(self, config: ExperimentConfig, listener: Listener) -> Examples:
        from ablation.data.encode import encode_splits
        from ablation.run.inputs import open_tokenizer

        splits = load_splits(
            Path(config.data_dir), demo=config.demo, offline=config.offline, trust_new_hash=config.trust_new_hash
        )
        listener.message(f"messages: {MESSAGES if config.demo else Path(config.data_dir) / DATASET_NAME}")
        digest = data_digest(splits)
        encoded = encode_splits(splits, open_tokenizer(config), config)
        return Examples(encoded, digest, published=config.demo or digest == PUBLISHED_DATA_DIGEST)

    def loss(self, logits: Tensor, labels: Tensor, config: ExperimentConfig) -> Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, labels, ignore_index=config.ignore_index)

    def correct(self, logits: Tensor, labels: Tensor) -> Count:
        return Count(int((logits.argmax(-1) == labels).sum()), len(labels))

    def evaluate(self, counts: Mapping[str, Count]) -> tuple[Evaluation, ...]:
        found = ((metric, counts[str(metric.split)]) for metric in self.metrics)
        return (Evaluation(tuple(Measurement(metric, count.accuracy, count) for metric, count in found)),)

    def predictions_csv(self, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> str:
        return predictions_csv(
            {split: values.tolist() for split, values in logits.items()},
            {split: values.tolist() for split, values in labels.items()},
        )

    def read_predictions(self, folder: Path, split: str) -> Predictions:
        return read_predictions(folder, split)

    def data_digest(self, config: ExperimentConfig) -> str | None:
        if config.demo:
            return None  # they belong to the code
        try:
            path = Path(config.data_dir) / DATASET_NAME
            return data_digest(split_messages(read_messages(path, trust_new_hash=True)))
        except DataError:
            return None

    def likeness(self, data_dir: Path, *, demo: bool) -> tuple[Likeness | None, str]:
        return load_likeness(data_dir, demo=demo)

    def published(self) -> Mapping[str, Mapping[str, str]]:
        return published_table()


SPAM = SpamTask()
