"""The first task: short messages, spam or ham (or with labels of one's own), told apart by a classifier on GPT-2.

Commands import this before they know whether they will compute, so torch comes in only where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.flags import EXPERIMENTS
from ablation.config.own_data import PUBLISHED_LABELS, joined_labels
from ablation.data.demo import MESSAGES
from ablation.data.first_messages import first_messages
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
    "base", "n_train",
    "padding_side", "truncation_side", "mask_padding", "shift_positions",
    "baseline_settings", "validation_auc", "test_auc",
    "config_hash",
)  # fmt: skip


class _Messages(NamedTuple):
    """Whole splits: what their classes are called, their digest, and where they are from."""

    splits: dict[str, pd.DataFrame]
    labels: tuple[str, ...]
    digest: str
    source: str

    def used_by(self, config: ExperimentConfig) -> dict[str, pd.DataFrame]:
        return first_messages(self.splits, config.n_train, self.labels)


def messages_of(config: ExperimentConfig) -> tuple[dict[str, pd.DataFrame], str, str]:
    """The messages that a configuration uses, of the training split maybe the first so many alone; the digest of the
    whole splits, and where these are from.

    Raises:
        DataError, DownloadError: they cannot be had or used.
    """
    found = _splits_of(config)
    return found.used_by(config), found.digest, found.source


def _splits_of(config: ExperimentConfig, *, at_hand: bool = False) -> _Messages:
    """The splits that a configuration names; of those that are ``at_hand``, nothing is fetched or held against the
    published ones.

    Raises:
        DataError, DownloadError: they cannot be had or used.
    """
    if config.own_data:
        own = load_own_examples(config)
        return _Messages(own.splits, own.labels, own.digest, own.describe(config))
    folder = Path(config.data_dir)
    path = folder / DATASET_NAME
    if at_hand and not config.demo:
        splits = split_messages(read_messages(path, trust_new_hash=True))
    else:
        splits = load_splits(folder, demo=config.demo, offline=config.offline, trust_new_hash=config.trust_new_hash)
    return _Messages(splits, PUBLISHED_LABELS, data_digest(splits), str(MESSAGES if config.demo else path))


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
    data_settings = ("n_train",)
    source = (
        "SMS Spam Collection v.1 by Almeida and Gómez Hidalgo (DOI 10.24432/C5CC84), CC BY 4.0, as many ham as spam."
    )
    questions = QUESTIONS
    demo_questions = DEMO_QUESTIONS
    baselines: Mapping[str, str] = {
        "B1": "majority class",
        "B2": "word TF-IDF + logistic regression",
        "B3": "character (2–5) TF-IDF + logistic regression, strength chosen on validation",
        "B4": "untrained: the model with its new head, no step",
        "B5": "frozen features + logistic regression, strength chosen on validation",
        "B6": "asked in words, with no example or with some (--shots)",
        "B7": "another pretrained model, fine-tuned",
        "B8": "BERT base (bert-base-uncased), fine-tuned",
        "B9": "BERT large (bert-large-uncased), fine-tuned",
    }
    quick_baselines = ("B1", "B2", "B3")
    tuned_baselines = ("B7", "B8", "B9")

    published = staticmethod(published_figures)
    claims = staticmethod(spam_claims)
    likeness = staticmethod(load_likeness)
    read_predictions = staticmethod(read_predictions)

    def load(self, config: ExperimentConfig, listener: Listener) -> Examples:
        from ablation.data.encode import check_batch_size, cutting_in_words, encode_splits, first_encoded
        from ablation.execution.plan import make_plan
        from ablation.run.inputs import open_tokenizer

        found = _splits_of(config)
        count, whole = len(found.used_by(config)["train"]), len(found.splits["train"])
        few = "" if config.n_train is None else f"; the first {count:,} of {whole:,} to train on"
        listener.message(f"messages: {found.source}{few}")
        check_batch_size(config.batch_size, count, f" with --n_train {count}" if few else "")
        encoded = encode_splits(found.splits, open_tokenizer(config), config)
        if count < whole:
            shares = config.feature_cache is not None and make_plan(config).feature_group is not None
            encoded = first_encoded(encoded, count, keep_rest=shares)
        if cut := cutting_in_words({split: encoded[split] for split in SPLITS}, config):
            listener.message(cut)
        published = not config.own_data and (config.demo or found.digest == PUBLISHED_DATA_DIGEST)
        return Examples(encoded, found.digest, published)

    def settled(self, config: ExperimentConfig) -> ExperimentConfig:
        if config.own_data:
            config = replace(config, labels=joined_labels(load_own_examples(config).labels))
        if config.n_train is None:
            return config
        try:
            found = _splits_of(config, at_hand=True)
        except DataError:
            return config  # the run itself will say what is wrong, or fetch them
        try:
            found.used_by(config)
        except DataError as error:
            raise ConfigError([str(error)]) from None
        # As many as there are is what every run does that does not say how many.
        return replace(config, n_train=None) if config.n_train == len(found.splits["train"]) else config

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
        try:
            return _splits_of(config, at_hand=True).digest
        except DataError:
            return None


SPAM = SpamTask()
