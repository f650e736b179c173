"""The published training of a language model on sentences: epochs until validation is no longer better.

The order of an epoch's sentences comes from a generator of its own, so that dropout's draws do not change it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablation.config.generation import BLEU, PER_EPOCH, PERPLEXITY, LanguageModelConfig
from ablation.execution.sentence_losses import SentenceLosses
from ablation.listener import EPOCH, Listener
from ablation.results.language_model import Epoch, Fit, SentenceHistory, SpokenBleu
from ablation.run.finite import FiniteGuard
from ablation.run.sentence_checkpoint import SentenceProgress, SentenceState
from previous_chapters import GPTModel

Sentences = Sequence[Sequence[int]]
Losses = Callable[[GPTModel, Sentences, int, int], SentenceLosses]  # packed_losses, or padded_losses

SENTENCES_AT_ONCE = 64  # where nothing trains; packed, they are some 900 positions


@torch.inference_mode()
def fit_to(
    model: GPTModel,
    sentences: Sentences,
    losses: Losses,
    max_len: int,
    end_token: int,
    advanced: Callable[[int], None] = lambda sentences: None,
) -> Fit:
    """How well the model predicts some sentences; each counts alike, whichever batch it is in."""
    model.eval()
    parts = []
    for start in range(0, len(sentences), SENTENCES_AT_ONCE):
        parts.append(losses(model, sentences[start : start + SENTENCES_AT_ONCE], max_len, end_token))
        advanced(len(parts[-1].counts))
    sums = torch.cat([part.sums for part in parts]).double()
    counts = torch.cat([part.counts for part in parts])
    return Fit(float((sums / counts).mean()), float(sums.sum() / counts.sum()))


def order_of_epoch(count: int, epoch: int, config: LanguageModelConfig) -> Tensor:
    """(count,) the sentences in the order of an epoch, counted from 1."""
    if config.shuffle != PER_EPOCH:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(config.effective_order_seed + epoch))


# ---- which epoch is the best, and how long none has been better ------------------------------------------------------


def by_perplexity(history: SentenceHistory) -> tuple[int, int]:
    """The epoch (from 1) with the lowest validation perplexity, and how many there have been since."""
    losses = [epoch.validation.loss for epoch in history.epochs]
    best = losses.index(min(losses)) + 1
    return best, len(losses) - best


def by_bleu(history: SentenceHistory) -> tuple[int, int]:
    """The epoch with the highest harmonic BLEU of sentences against the validation split, and how many times in a row
    it has fallen up to now."""
    values = [epoch.bleu.harmonic for epoch in history.epochs if epoch.bleu is not None]
    falls = 0
    while falls < len(values) - 1 and values[-1 - falls] < values[-2 - falls]:
        falls += 1
    return values.index(max(values)) + 1, falls


CHOOSERS = {PERPLEXITY: by_perplexity, BLEU: by_bleu}  # by --select_by


# ---- the loop --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SentenceTraining:
    """What training works with.

    Attributes:
        train, validation: token ids, without start and end.
        losses: how a batch's losses come about.
        speak: the BLEU of sentences that the model generates as it is now; asked after each epoch, where it is wanted.
        state: what is kept of the training now and then.
    """

    config: LanguageModelConfig
    model: GPTModel
    train: Sentences
    validation: Sentences
    end_token: int
    losses: Losses
    speak: Callable[[int], SpokenBleu]
    listener: Listener
    state: SentenceState

    def run(self) -> SentenceHistory:
        """Train until so many epochs in a row have not been better; the model then has the best epoch's parameters.

        Raises:
            RunError: a loss is not finite.
        """
        config, choose = self.config, CHOOSERS[self.config.select_by]
        torch.manual_seed(config.seed)  # of dropout
        progress = self.state.restore()
        history, guard = progress.history, FiniteGuard(config)
        guard.go_on_from(history.steps)
        while not self._is_over(history):
            self._rest_of_epoch(progress, guard)
            self._end_epoch(progress, guard)
            history.best_epoch, unlucky = choose(history)
            if history.best_epoch == len(history.epochs):
                progress.best = [parameter.detach().clone() for parameter in self.state.parameters]
            history.stopped = unlucky >= config.epochs_of_patience
            keep = self.state.keep_the_end if self._is_over(history) else self.state.keep_if_due
            keep(progress)
        with torch.no_grad():
            for kept, parameter in zip(progress.best, self.state.parameters, strict=True):
                parameter.copy_(kept)
        self.model.eval()
        return history

    def _is_over(self, history: SentenceHistory) -> bool:
        most = self.config.max_steps
        enough = most is not None and history.steps >= most
        return history.stopped or enough or len(history.epochs) >= self.config.num_epochs

    def _rest_of_epoch(self, progress: SentenceProgress, guard: FiniteGuard) -> None:
        config, history = self.config, progress.history
        number = len(history.epochs) + 1
        batches = order_of_epoch(len(self.train), number, config).split(config.batch_size)
        if config.max_steps is not None:
            batches = batches[: config.max_steps - history.steps + progress.batch]
        self.listener.work_started(f"{EPOCH} {number}", len(batches), "batches")
        self.listener.work_advanced(progress.batch)
        self.model.train()
        for batch in batches[progress.batch :]:
            loss = self._step([self.train[index] for index in batch.tolist()])
            guard.note([loss])
            progress.losses.append(float(loss))
            progress.batch += 1
            history.steps += 1
            self.listener.work_advanced(1)
            if progress.batch < len(batches):
                self.state.keep_if_due(progress)
        self.listener.work_ended()

    def _step(self, sentences: Sentences) -> Tensor:
        """One update; the loss (1,) before it."""
        loss = self.losses(self.model, sentences, self.config.max_len, self.end_token).mean
        loss.backward()
        self.state.optimizer.step()
        self.state.optimizer.zero_grad()
        return loss.detach()[None]

    def _end_epoch(self, progress: SentenceProgress, guard: FiniteGuard) -> None:
        """Look at the validation split, and say how the epoch went."""
        number = len(progress.history.epochs) + 1
        self.listener.work_started("validation", len(self.validation), "sentences")
        fit = fit_to(
            self.model, self.validation, self.losses, self.config.max_len, self.end_token, self.listener.work_advanced
        )
        self.listener.work_ended()
        guard.check_perplexity("validation", fit.perplexity)
        bleu = self.speak(number) if self.config.measures_bleu else None
        losses = tuple(progress.losses)
        progress.history.epochs.append(Epoch(losses, fit, bleu))
        progress.losses, progress.batch = [], 0
        spoken = "" if bleu is None else f", BLEU {bleu.forward:.3f} / {bleu.backward:.3f} / {bleu.harmonic:.3f}"
        self.listener.message(
            f"Ep {number} (Step {progress.history.steps:06d}): Train loss {math.fsum(losses) / len(losses):.3f},"
            f" Val loss {fit.loss:.3f}, Val perplexity {fit.perplexity:.2f}{spoken}"
        )


def make_adam(parameters: list[nn.Parameter], config: LanguageModelConfig) -> torch.optim.Optimizer:
    """Adam over what trains, without decay; fused where this build of PyTorch has it."""
    try:
        return torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
    except RuntimeError:
        return torch.optim.Adam(parameters, lr=config.learning_rate)
