"""What a run of the language model would do, without doing it: nothing is fetched or written, and no weight is made."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

from ablation.config.experiment import config_hash
from ablation.config.generation import ALL_BLOCKS, LanguageModelConfig
from ablation.config.settings import PRETRAINED
from ablation.data.sentences import Corpus
from ablation.execution.sentence_losses import predicted
from ablation.files.download import DownloadError
from ablation.listener import Listener
from ablation.results.costs import in_words, merging_in_words
from ablation.results.task import Task
from ablation.run.dry_run import (
    SHORT_HASH,
    described_model,
    expected,
    finished_runs,
    memory_lines,
    what_it_is,
    where_it_leaves_things,
)
from ablation.run.inputs import foreign_digests, resolve_device
from ablation.run.sentence_estimate import estimate_seconds
from ablation.run.sentence_memory import estimate_memory, model_costs
from ablation.words import plural

WEIGHT_READ = 6  # operations a position that a weight of a product takes in training: 2 forward, 4 backward


def describe(task: Task, config: LanguageModelConfig) -> str:
    """The resolved configuration, parameter counts, memory, sentences and files to fetch, as lines for a person.

    Raises:
        ConfigError: the device asked for is not there.
        DataError: sentences that are at hand cannot be used.
    """
    device = resolve_device(config)
    corpus, costs = _sentences_at_hand(task, config), model_costs(config)
    foreign = foreign_digests(task, config)
    bleu = ", BLEU measured after each" if config.measures_bleu else ""
    return "\n".join(
        [
            *what_it_is(task, config, foreign),
            f"model                 {described_model(config.model_in_use, config.shape)}",
            f"starts                {_start(config)}",
            *(f"{title:22}{text}" for title, text in in_words(asdict(costs)).items()),
            f"merges                {merging_in_words(config.declaration.cannot_merge)}",
            f"device                {device}, {config.precision}, {config.execution} execution",
            *memory_lines(estimate_memory(config, device), "weights, gradients, moments and the best epoch's copy"),
            f"sentences             {corpus.describe() if corpus else 'not here yet'}",
            f"epochs                {config.num_epochs} at most, chosen by validation {config.select_by},"
            f" patience {config.epochs_of_patience}{bleu}",
            *(_work(config, corpus, costs.total_parameters) if corpus else []),
            f"generates             {_decodings(config)}",
            f"time                  {expected(estimate_seconds(task, config, finished_runs(task, config), foreign))}",
            f"configuration hash    {config_hash(config, foreign)[:SHORT_HASH]}",
            *where_it_leaves_things(config),
        ]
    )


def _sentences_at_hand(task: Task, config: LanguageModelConfig) -> Corpus | None:
    """The sentences, if they and the vocabulary need not be fetched."""
    try:
        return task.load(replace(config, offline=True), Listener())
    except DownloadError:
        return None


def _start(config: LanguageModelConfig) -> str:
    if config.weights != PRETRAINED:
        return f"from scratch, drawn from seed {config.seed}"
    last = config.base_shape.n_layers
    if config.blocks == ALL_BLOCKS:
        return f"from all {last} pretrained blocks"
    return f"from pretrained blocks {', '.join(str(block + 1) for block in config.taken_blocks)} of {last}"


def _decodings(config: LanguageModelConfig) -> str:
    if not config.n_samples:
        return "nothing (--n_samples 0)"
    ways = "; ".join(way.describe() for way in config.decodings)
    return f"{plural(config.n_samples, 'sentence')} in each of these ways: {ways}"


def _work(config: LanguageModelConfig, corpus: Corpus, parameters: int) -> list[str]:
    """Steps, and the operations of an epoch: all weights but the token and the position embedding, which are looked
    up, are multiplied with every position that predicts something."""
    train, shape = corpus.splits["train"], config.shape
    steps = math.ceil(len(train) / config.batch_size)
    most = min(steps * config.num_epochs, config.max_steps or steps * config.num_epochs)
    positions = sum(len(predicted(sentence, config.max_len, 0)[0]) for sentence in train.token_ids)
    looked_up = (0 if config.tie_head else shape.vocab_size) + shape.context_length
    work = WEIGHT_READ * (parameters - looked_up * shape.emb_dim) * positions
    return [
        f"steps                 {steps:,} an epoch of {config.batch_size} sentences each, {most:,} at most",
        f"work                  about {work / 1e12:,.3g} TFLOP an epoch over {positions:,} positions, where all trains",
    ]
