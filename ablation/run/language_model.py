"""One run of the language model from its configuration to its result: load, train, test, generate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass

import tiktoken
import torch
from torch import Tensor

from ablation.config.generation import RANDOM, LanguageModelConfig
from ablation.data.demo import disclaimer
from ablation.data.sentences import Corpus, load_sentences
from ablation.environment import environment_stamp, peak_memory_mb
from ablation.execution.embedding_rows import occurring_tokens
from ablation.execution.sentence_losses import packed_losses, padded_losses
from ablation.files.needed import check_files
from ablation.listener import Listener
from ablation.methods.costs import costs_of
from ablation.model.language_model import (
    LanguageModel,
    build_language_model,
    digest_of,
    plain_tensors,
    pretrained_tensors,
)
from ablation.model.layouts import HEAD
from ablation.model.normal_weights import normal_weights
from ablation.results.language_model import LanguageModelFacts, LanguageModelResult, SentenceHistory
from ablation.results.result import Timings
from ablation.results.task import Task
from ablation.run.checkpoint import Checkpoint, checkpoint_key, open_checkpoint
from ablation.run.frame import running
from ablation.run.inputs import has_published_weights, open_pretrained, open_tokenizer
from ablation.run.sentence_checkpoint import SentenceState
from ablation.run.sentence_training import Losses, Sentences, SentenceTraining, fit_to, make_adam
from ablation.run.speaking import Speaker, bleu_after_epoch, speak
from ablation.run.stopwatch import TOTAL, Stopwatch
from previous_chapters import GPTModel


@dataclass(frozen=True)
class Execution:
    """How the numbers come about.

    Attributes:
        losses: of a batch of sentences.
        embedding: what the token embedding is while sentences, with an end token, train it.
    """

    losses: Losses
    embedding: Callable[[GPTModel, Sentences, int], AbstractContextManager[None]]


def whole_embedding(model: GPTModel, sentences: Sentences, end_token: int) -> AbstractContextManager[None]:
    """The token embedding as it is, with all rows."""
    return nullcontext()


EXECUTIONS: Mapping[str, Execution] = {
    "planned": Execution(packed_losses, occurring_tokens),
    "naive": Execution(padded_losses, whole_embedding),
}


@dataclass(frozen=True)
class Inputs:
    """What a run works on besides its configuration.

    Attributes:
        foreign: digests of base weights and data as far as they are not the published ones.
    """

    corpus: Corpus
    tokenizer: tiktoken.Encoding
    built: LanguageModel
    facts: LanguageModelFacts
    foreign: Mapping[str, str]


def run_language_model(
    task: Task, config: LanguageModelConfig, listener: Listener | None = None
) -> LanguageModelResult:
    """Load, train, test, generate; the process is afterwards as it was.

    Raises:
        ConfigError: the device is not to be had here.
        RunError: out of memory, or a loss that is not finite.
        DataError, WeightsError, DownloadError: the data or the weights cannot be had or used.
    """
    listener = listener or Listener()
    with running(config) as (device, watch):
        with watch.part("load"):
            inputs = load_inputs(task, config, device, listener)
        digests = inputs.facts.weights_digest, inputs.facts.data_digest
        key = checkpoint_key(task.name, config, inputs.foreign, *digests, device)
        with open_checkpoint(config, key, listener, watch) as checkpoint:
            return _train_and_speak(config, inputs, checkpoint, watch, device, listener)


def load_inputs(task: Task, config: LanguageModelConfig, device: torch.device, listener: Listener) -> Inputs:
    """Read sentences and starting values, and build the model."""
    check_files(config)
    if config.demo:
        listener.message(disclaimer(config.own_data).long)
    tokenizer = open_tokenizer(config)
    corpus = load_sentences(config, tokenizer, listener.message)
    listener.message(f"sentences: {corpus.describe()}")
    tensors, weights_digest = _starting_values(config, listener)
    built = build_language_model(config, tensors)
    built.model.to(device)
    facts = LanguageModelFacts(
        **asdict(costs_of(built.model, built.added, config)),
        weights_digest=weights_digest,
        data_digest=corpus.recorded_digest(task.published_data_digest),
        train_sentences=len(corpus.splits["train"]),
        validation_sentences=len(corpus.splits["validation"]),
        test_sentences=len(corpus.splits["test"]),
    )
    foreign = {} if has_published_weights(config) else {"weights_digest": weights_digest}
    if not corpus.published and not (config.demo and not config.own_data):
        foreign["data_digest"] = corpus.digest
    return Inputs(corpus, tokenizer, built, facts, foreign)


def _starting_values(config: LanguageModelConfig, listener: Listener) -> tuple[dict[str, Tensor], str]:
    """What the model begins with, and the digest of what that is from: a whole file, whichever blocks are taken."""
    if config.weights != RANDOM:
        weights = open_pretrained(config, listener)
        digest = weights.digest()  # which also looks whether all numbers are finite
        numbers = ", ".join(str(block + 1) for block in config.taken_blocks)
        listener.message(f"blocks: {numbers} of {config.base_shape.n_layers}")
        return pretrained_tensors(weights, config), digest
    listener.message(f"weights: random, seed {config.seed}")
    tensors = normal_weights(config.shape, config.seed)
    if config.tie_head:
        del tensors[HEAD]
    return tensors, digest_of(tensors)


def _train(
    config: LanguageModelConfig, inputs: Inputs, execution: Execution, speaker: Speaker, checkpoint: Checkpoint | None
) -> SentenceHistory:
    """Train until it is over; the model then has the best epoch's parameters."""
    model, splits, end = inputs.built.model, inputs.corpus.splits, inputs.tokenizer.eot_token
    with execution.embedding(model, splits["train"].token_ids, end):
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return SentenceTraining(
            config=config,
            model=model,
            train=splits["train"].token_ids,
            validation=splits["validation"].token_ids,
            end_token=end,
            losses=execution.losses,
            speak=bleu_after_epoch(speaker, splits["validation"].token_ids),
            listener=speaker.listener,
            state=SentenceState(parameters, make_adam(parameters, config), checkpoint),
        ).run()


def _train_and_speak(
    config: LanguageModelConfig,
    inputs: Inputs,
    checkpoint: Checkpoint | None,
    watch: Stopwatch,
    device: torch.device,
    listener: Listener,
) -> LanguageModelResult:
    model, execution = inputs.built.model, EXECUTIONS[config.execution]
    speaker = Speaker(model, inputs.tokenizer, config.max_len, config.seed, listener)
    with watch.part("training"):
        history = _train(config, inputs, execution, speaker, checkpoint)
    listener.message(
        f"training time: {watch.spent()['training'] / 60:.2f} minutes; the best epoch is {history.best_epoch}"
        f" of {len(history.epochs)}"
    )
    unseen, end = inputs.corpus.splits["test"].token_ids, inputs.tokenizer.eot_token
    test = fit_to(model, unseen, execution.losses, config.max_len, end)
    listener.message(f"test perplexity {test.perplexity:.2f} (per token {test.token_perplexity:.2f})")
    tensors = plain_tensors(model, config)
    spoken = speak(speaker, config, inputs.corpus)
    seconds = watch.spent()
    return LanguageModelResult(
        config=config,
        foreign=inputs.foreign,
        environment={**environment_stamp(str(device)), "peak_memory_mb": peak_memory_mb()},
        facts=inputs.facts,
        timings=Timings(seconds["load"], seconds["training"], 0.0, seconds[TOTAL]),
        history=history,
        test=test,
        spoken=spoken,
        tensors=tensors if config.save_model else {},
        resumed=0 if checkpoint is None else checkpoint.resumed,
        checkpoint=None if checkpoint is None else checkpoint.folder,
    )
