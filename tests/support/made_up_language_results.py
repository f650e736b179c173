"""Results of a language model as large as wanted, in no time: runs whose perplexity and BLEU are chosen, on sentences
that come with the task."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablation.config.decoding import Decoding
from ablation.config.generation import LanguageModelConfig
from ablation.data.sentences import Corpus, Sentences
from ablation.listener import Listener
from ablation.results.language_model import (
    Epoch,
    Fit,
    LanguageModelFacts,
    LanguageModelResult,
    SentenceHistory,
    Spoken,
    SpokenBleu,
)
from ablation.results.language_model_record import describe_language_model
from ablation.results.result import Timings
from ablation.results.run_folder import write_run
from ablation.tasks.language_model import LanguageModelTask
from ablation.texts.bleu import harmonic_mean
from ablation.texts.quality import Quality

WORDS = ("a man", "a dog", "two people", "a red bus", "the cat", "sits", "stands", "rides", "on", "near", "a street",
         "a table", "the grass", "in the snow", "with food", ".")  # fmt: skip


def made_up_sentences(count: int, seed: int) -> tuple[str, ...]:
    draw = random.Random(seed)
    return tuple(" ".join(draw.choices(WORDS, k=draw.randint(3, 7))) for _ in range(count))


def made_up_corpus() -> Corpus:
    numbers: dict[str, int] = {}
    splits = {}
    for seed, (name, count) in enumerate({"train": 30, "validation": 10, "test": 10}.items()):
        texts = made_up_sentences(count, seed)
        ids = [[numbers.setdefault(word, len(numbers)) for word in text.split()] for text in texts]
        splits[name] = Sentences(ids, texts)
    return Corpus(splits, hashlib.sha256(repr(splits).encode()).hexdigest(), True, "made up")


class MadeUpLanguageTask(LanguageModelTask):
    """The language model's task on the made-up sentences, which are taken for the published ones."""

    corpus = made_up_corpus()
    published_data_digest = corpus.digest
    figures: Mapping[str, Mapping[str, str]] = {}

    def load(self, config: LanguageModelConfig, listener: Listener) -> Corpus:
        return self.corpus

    def published(self) -> Mapping[str, Mapping[str, str]]:
        return self.figures


def make_language_run(
    results: Path,
    task: LanguageModelTask,
    config: LanguageModelConfig,
    perplexity: float,
    bleu: Mapping[Decoding, tuple[float, float]] = {},
    *,
    epochs: int = 4,
    batches: int = 20,
    samples: int = 20,
    **facts: Any,
) -> dict[str, Any]:
    """Keep one made-up run. Returns its first row.

    Args:
        perplexity: on the test split.
        bleu: (forward, backward) of each way of decoding.
        facts: to be set otherwise.
    """
    history = _history(config, perplexity, epochs, batches)
    spoken = tuple(
        _spoken(way, forward, backward, made_up_sentences(samples, config.seed))
        for way, (forward, backward) in bleu.items()
    )
    counted = {"total_parameters": 9, "trainable_parameters": 9, "added_parameters": 0, "optimizer_bytes": 72,
               "added_multiply_adds": 0, "unmerged_multiply_adds": 0, "added_positions": 0, "merges": True}  # fmt: skip
    known = {"weights_digest": "ab" * 32 if config.weights == "pretrained" else f"{config.seed:064x}",
             "data_digest": task.published_data_digest,
             "train_sentences": 30, "validation_sentences": 10, "test_sentences": 10}  # fmt: skip
    environment = {"device_name": "Some CPU", "threads": 2, "python_version": "3.11.7", "torch_version": "2.13.0"}
    result = LanguageModelResult(
        config, {}, environment, LanguageModelFacts(**{**counted, **known, **facts}), Timings(1, 120, 0, 180), history,
        Fit(math.log(perplexity), math.log(perplexity) + 0.01), spoken, {},
    )  # fmt: skip
    return write_run(results, task, describe_language_model(task, result))[0]


def _history(config: LanguageModelConfig, perplexity: float, epochs: int, batches: int) -> SentenceHistory:
    """Losses that fall towards the perplexity's and end with an epoch that is no better; BLEU where it is measured."""
    found: Sequence[Epoch] = [
        Epoch(
            [math.log(perplexity) + 4 / (1 + step + batches * epoch) for step in range(batches)],
            Fit(math.log(perplexity) + 0.1 + 0.5 / epoch + (0.6 / epochs if epoch == epochs else 0), 1.0),
            SpokenBleu(0.5, 0.4, 0.4 + 0.02 * epoch) if config.measures_bleu else None,
        )
        for epoch in range(1, epochs + 1)
    ]
    return SentenceHistory(list(found), epochs * batches, max(epochs - 1, 1), stopped=True)


def _spoken(way: Decoding, forward: float, backward: float, texts: Sequence[str]) -> Spoken:
    quality = Quality(
        forward, backward, harmonic_mean(forward, backward), 0.9, 0.1, 0.3, 0.5, 0.7, 0.01, 0.85, "a man", 0.3, 11.2,
        {name: (value - 0.004, value + 0.004) for name, value in
         {"forward_bleu": forward, "backward_bleu": backward, "begins_with_article": 0.85}.items()},
    )  # fmt: skip
    return Spoken(way, tuple(texts), quality, 12.0)
