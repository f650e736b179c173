"""The first task: short messages, spam or ham (or with labels of one's own), told apart by a classifier on GPT-2.

Commands import this before they know whether they will compute, so torch comes in only where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.config.experiment import ExperimentConfig
from ablation.config.flags import EXPERIMENTS
from ablation.config.own_data import joined_labels
from ablation.data.demo import MESSAGES, read_demo_messages
from ablation.data.own import load_own_examples
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
from ablation.results.published import published_figures
from ablation.results.task import ClassifierTask, Evaluation, Examples, Measurement, Metric
from ablation.tasks.spam_claims import spam_claims
from ablation.tasks.spam_likeness import load_likeness
from ablation.tasks.spam_predictions import predictions_csv, read_predictions
from ablation.tasks.spam_questions import DEMO_QUESTIONS, QUESTIONS

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

# Written out, because old files have them in this order; a test holds that no setting is missing.
COLUMNS = (
    "run_id", "timestamp_utc", "row",
    *ExperimentConfig.LEADING_FIELDS,
    "device", "execution", "feature_memory", "feature_cache", "feature_cache_limit", "data_dir", "models_dir",
    "weights_path", "results_dir", "offline", "trust_new_hash", "save_model",
    "effective_context_length", "total_parameters", "trainable_parameters",
    "train_correct", "train_total", "validation_correct", "validation_total", "test_correct", "test_total",
    "training_acc", "validation_acc", "test_acc",
    "training_minutes", "total_minutes", "load_seconds", "peak_memory_mb",
    "device_name", "threads", "python_version", "torch_version", "git_commit",
    "weights_digest", "data_digest", "features", "feature_seconds",
    "labels", "data_file", "train_file", "validation_file", "test_file", "text_column", "label_column", "split_seed",
    "checkpoint_every", "checkpoint_dir", "restart", "resumed",
    "method", "from_block", "train_final_norm", "decayed", "lora_targets", "lora_scaling", "lora_init", "lora_head",
    "bottleneck", "adapter_after", "adapter_scale", "prefix_length", "prompt_length",
    "measure_forgetting", "held_out_text", "perplexity_before", "perplexity_after",
    "added_parameters", "optimizer_bytes", "added_multiply_adds", "unmerged_multiply_adds", "added_positions", "merges",
    "base",
    "padding_side", "truncation_side", "mask_padding", "shift_positions",
    "config_hash",
)  # fmt: skip


def messages_of(config: ExperimentConfig) -> tuple[dict[str, pd.DataFrame], str, str]:
    """The messages that a configuration means: per split, their digest, and where they are from.

    Raises:
        DataError, DownloadError: they cannot be had or used.
    """
    if config.own_data:
        own = load_own_examples(config)
        return own.splits, own.digest, own.describe(config)
    splits = load_splits(
        Path(config.data_dir), demo=config.demo, offline=config.offline, trust_new_hash=config.trust_new_hash
    )
    return splits, data_digest(splits), str(MESSAGES if config.demo else Path(config.data_dir) / DATASET_NAME)


class SpamTask(ClassifierTask):
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
    source = (
        "SMS Spam Collection v.1 by Almeida and Gómez Hidalgo (DOI 10.24432/C5CC84), CC BY 4.0, as many ham as spam."
    )
    questions = QUESTIONS
    demo_questions = DEMO_QUESTIONS
    baselines: Mapping[str, str] = {
        "B1": "majority class",
        "B2": "word TF-IDF + logistic regression",
        "B3": "character (2–5) TF-IDF + logistic regression, strength chosen on validation",
    }

    published = staticmethod(published_figures)
    claims = staticmethod(spam_claims)
    likeness = staticmethod(load_likeness)
    read_predictions = staticmethod(read_predictions)

    def load(self, config: ExperimentConfig, listener: Listener) -> Examples:
        from ablation.data.encode import check_batch_size, cutting_in_words, encode_splits
        from ablation.run.inputs import open_tokenizer

        splits, digest, source = messages_of(config)
        listener.message(f"messages: {source}")
        check_batch_size(config.batch_size, len(splits["train"]))
        encoded = encode_splits(splits, open_tokenizer(config), config)
        if cut := cutting_in_words(encoded, config):
            listener.message(cut)
        published = not config.own_data and (config.demo or digest == PUBLISHED_DATA_DIGEST)
        return Examples(encoded, digest, published)

    def settled(self, config: ExperimentConfig) -> ExperimentConfig:
        if not config.own_data:
            return config
        return replace(config, labels=joined_labels(load_own_examples(config).labels))

    def labels(self, config: ExperimentConfig) -> tuple[str, ...]:
        return config.label_names

    def loss(self, logits: Tensor, labels: Tensor, config: ExperimentConfig) -> Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, labels, ignore_index=config.ignore_index)

    def correct(self, logits: Tensor, labels: Tensor) -> Count:
        return Count(int((logits.argmax(-1) == labels).sum()), len(labels))

    def evaluate(self, counts: Mapping[str, Count]) -> tuple[Evaluation, ...]:
        found = ((metric, counts[str(metric.split)]) for metric in self.metrics)
        return (Evaluation(tuple(Measurement(metric, count.accuracy, count) for metric, count in found)),)

    def predictions_csv(self, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], names: Sequence[str]) -> str:
        return predictions_csv(
            {split: values.tolist() for split, values in logits.items()},
            {split: values.tolist() for split, values in labels.items()},
            names,
        )

    def data_digest(self, config: ExperimentConfig) -> str | None:
        path = Path(config.data_dir) / DATASET_NAME
        try:
            if config.own_data:
                return load_own_examples(config).digest
            messages = read_demo_messages() if config.demo else read_messages(path, trust_new_hash=True)
            return data_digest(split_messages(messages))
        except DataError:
            return None


SPAM = SpamTask()
