"""Sentences that a language model generates, and what is said of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tiktoken

from ablation.config.decoding import RANDOM, Decoding
from ablation.config.generation import LanguageModelConfig
from ablation.data.sentences import Corpus
from ablation.listener import Listener
from ablation.model.decoding import sample_sentences
from ablation.results.language_model import Spoken, SpokenBleu
from ablation.texts.bleu import forward_backward, harmonic_mean
from ablation.texts.quality import measure
from previous_chapters import GPTModel

EVERY_EPOCH = Decoding(RANDOM)  # what the published choice by BLEU generates after each


@dataclass(frozen=True)
class Speaker:
    """What speaks: a model with a vocabulary, and how long a sentence may be."""

    model: GPTModel
    tokenizer: tiktoken.Encoding
    max_len: int
    seed: int
    listener: Listener

    def sentences(self, decoding: Decoding, count: int, prompt: Sequence[int] = ()) -> list[list[int]]:
        """Token ids of sentences 0 to ``count`` - 1 of this way of decoding."""
        self.model.eval()
        self.listener.work_started(decoding.describe(), count, "sentences")
        found = sample_sentences(
            self.model,
            prompt,
            count,
            decoding,
            max_len=self.max_len,
            end_token=self.tokenizer.eot_token,
            seed=self.seed,
            advanced=self.listener.work_advanced,
        )
        self.listener.work_ended()
        return found

    def texts(self, sentences: Sequence[Sequence[int]]) -> tuple[str, ...]:
        """As people read them, each in one line."""
        return tuple(" ".join(self.tokenizer.decode(list(ids)).splitlines()) for ids in sentences)


def bleu_after_epoch(speaker: Speaker, references: Sequence[Sequence[int]]) -> Callable[[int], SpokenBleu]:
    """What the choice by BLEU asks after each epoch: as many sentences as there are references, against these."""

    def ask(epoch: int) -> SpokenBleu:
        generated = speaker.sentences(EVERY_EPOCH, len(references))
        forward, backward = (float(scores.mean()) for scores in forward_backward(generated, references))
        return SpokenBleu(forward, backward, harmonic_mean(forward, backward))

    return ask


def speak(speaker: Speaker, config: LanguageModelConfig, corpus: Corpus) -> tuple[Spoken, ...]:
    """Generate in every way that the configuration names, and measure against the test split; nothing with
    ``n_samples`` 0."""
    return tuple(speak_in(speaker, decoding, config.n_samples, corpus) for decoding in _ways(config))


def _ways(config: LanguageModelConfig) -> tuple[Decoding, ...]:
    return config.decodings if config.n_samples else ()


def speak_in(speaker: Speaker, decoding: Decoding, count: int, corpus: Corpus) -> Spoken:
    """Generate in one way, and measure against the test split."""
    began = time.perf_counter()
    sentences = speaker.sentences(decoding, count)
    seconds = time.perf_counter() - began
    texts = speaker.texts(sentences)
    quality = measure(sentences, texts, corpus.splits["test"].token_ids, corpus.splits["train"].texts)
    speaker.listener.message(
        f"{decoding.describe()}: BLEU {quality.forward_bleu:.3f} forward, {quality.backward_bleu:.3f} backward,"
        f" {quality.harmonic_bleu:.3f} harmonic; {count} sentences in {seconds:.1f} s"
    )
    return Spoken(decoding, texts, quality, seconds)
