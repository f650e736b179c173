"""What a run forgets: how well the model predicts text that no training has seen, before and after.

The trunk alone changes. The vocabulary head is the base's both times, also where it is tied to token embeddings that
were trained. Measured in float32 and after everything else, so that a run's other figures are what they would be.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablation.config.experiment import ExperimentConfig
from ablation.data.held_out import HeldOutText, digest_of, first_sequences, load_held_out_text
from ablation.execution.perplexity import Trunk, perplexity, token_losses
from ablation.listener import Listener
from ablation.model.classifier import WeightSource, assemble
from ablation.model.weights import Weights, WithoutDraws
from ablation.results.result import Forgetting
from ablation.run.inputs import open_tokenizer, open_weights
from ablation.words import plural
from previous_chapters import GPTModel


@dataclass(frozen=True)
class Probe:
    """What is asked before and after.

    Attributes:
        weights: the base's.
        text: of which ``sequences`` are the first, as token ids with the end-of-text token at both ends.
    """

    config: ExperimentConfig
    weights: Weights
    text: HeldOutText
    sequences: list[list[int]]

    def measure(self, trained: Mapping[str, Tensor], device: torch.device, listener: Listener) -> Forgetting:
        """Perplexities of the base and of what training made of it.

        Args:
            trained: parameters by their names in the adapted model, embeddings with all rows.
        """
        started, weights = time.perf_counter(), self.weights
        trunks = base_trunk(weights), trained_trunk(self.config, weights, trained)
        room = weights.shape.context_length - trunks[1].model.n_extra  # the same text both times
        sequences = [ids[: room + 1] for ids in self.sequences]
        listener.work_started("held-out text", len(trunks) * weights.shape.n_layers, "blocks")
        with _exact_products():
            losses = [token_losses(trunk, weights.head(), sequences, device, listener.work_advanced)
                      for trunk in trunks]  # fmt: skip
        listener.work_ended()
        before, after = map(perplexity, losses)
        tokens = sum(map(len, losses[0]))
        if before is None or after is None:
            listener.message("forgetting: a perplexity is no finite number, and stays empty")
        return Forgetting(
            before=before,
            after=after,
            source=self.text.source,
            texts=len(sequences),
            tokens=tokens,
            sha256=digest_of(sequences),
            seconds=round(time.perf_counter() - started, 3),
        )


def open_probe(config: ExperimentConfig, listener: Listener) -> Probe | None:
    """What the configuration measures forgetting with; None if it does not.

    Raises:
        DataError: there is no text, or it cannot be used.
        WeightsError, DownloadError: the vocabulary or the weights cannot be had or used.
    """
    text = load_held_out_text(config)
    if text is None:
        return None
    sequences = first_sequences(text, open_tokenizer(config))
    weights = open_weights(config, Listener())
    if not isinstance(weights, Weights):  # the configuration refuses those that were drawn
        raise TypeError("random weights have no vocabulary head")
    listener.message(f"held-out text: {text.source}, {len(sequences):,} of {plural(len(text.texts), 'text')}")
    return Probe(config, weights, text, sequences)


def base_trunk(weights: WeightSource, dtype: torch.dtype = torch.float32) -> Trunk:
    """GPT-2 as it was before."""
    with torch.device("meta"), WithoutDraws():
        model = GPTModel(weights.shape)
    return Trunk(model.to(dtype).requires_grad_(False), weights)


def trained_trunk(
    config: ExperimentConfig, weights: WeightSource, trained: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
) -> Trunk:
    """What training made of it: all that trained has its values, the rest is the base's."""
    assembly = assemble(config, weights.shape)
    model = assembly.model.to(dtype)
    for name, value in trained.items():
        part, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(part), leaf, nn.Parameter(value.to(dtype), requires_grad=False))
    return Trunk(model.requires_grad_(False), weights, assembly.sources)


@contextmanager
def _exact_products() -> Iterator[None]:
    """Without ``--precision tf32``."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
