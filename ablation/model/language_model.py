"""Make the language model: GPT-2 with its vocabulary head, from scratch or from chosen pretrained blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablation.config.generation import LanguageModelConfig
from ablation.methods.registry import METHODS, adapt
from ablation.model.layouts import HEAD
from ablation.model.weights import Weights, WithoutDraws, combined_digest, tensor_digest
from previous_chapters import GPTModel


@dataclass(frozen=True)
class LanguageModel:
    """A language model to train.

    Attributes:
        added: names of the parameters that the method attached.
    """

    model: GPTModel
    added: frozenset[str]


def build_language_model(config: LanguageModelConfig, tensors: Mapping[str, Tensor] | None = None) -> LanguageModel:
    """Put together what the configuration names, and let exactly what it trains require gradients.

    Args:
        tensors: starting values by the names of ``GPTModel``; they become the model's own. None: the model has none, as
            where only its size is asked for.
    """
    with torch.device("meta"), WithoutDraws():
        model = GPTModel(config.shape, dropout=config.dropout)
    if tensors is not None:
        model.load_state_dict(tensors, assign=True, strict=not config.tie_head)
    if config.tie_head:
        model.out_head = nn.Identity()
    with torch.random.fork_rng(devices=[]):  # whoever builds to count parameters draws nothing
        torch.manual_seed(config.seed)
        adapted = adapt(model, METHODS[config.adaptation], config)
    if config.tie_head:
        with torch.device("meta"), WithoutDraws():
            model.out_head = nn.Linear(config.shape.emb_dim, config.shape.vocab_size, bias=False)
        model.out_head.weight = model.tok_emb.weight
    elif config.method is not None:  # the vocabulary head is no new one, which every method would train
        model.out_head.requires_grad_(False)
    added = frozenset(name for name, _ in model.named_parameters() if name not in adapted.origins)
    return LanguageModel(model, added)


def pretrained_tensors(weights: Weights, config: LanguageModelConfig) -> dict[str, Tensor]:
    """Of a pretrained GPT-2 the chosen blocks, in the order in which they were named, and all that is not in a block.

    Returns:
        Copies that belong to the caller. Without the head where that is tied.
    """
    names = {name: name for name in weights.names if not name.startswith("trf_blocks.") and name != HEAD}
    for place, block in enumerate(config.taken_blocks):
        own = f"trf_blocks.{block}."
        names |= {re.sub(r"^trf_blocks\.\d+", f"trf_blocks.{place}", name): name
                  for name in weights.names if name.startswith(own)}  # fmt: skip
    read = weights.tensors(names.values())
    tensors = {name: read[source].clone() for name, source in names.items()}
    return tensors if config.tie_head else {**tensors, HEAD: weights.head().clone()}


def plain_tensors(model: GPTModel, config: LanguageModelConfig) -> dict[str, Tensor]:
    """All values of a trained model under the names of a plain GPT-2, on the CPU; what a method added is merged, in
    place. Without the head where that is tied."""
    METHODS[config.adaptation].merge(model)
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    if config.tie_head:
        del state[HEAD]
    return state


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of weights, as of a file that holds the same."""
    return combined_digest({name: tensor_digest(tensor) for name, tensor in tensors.items()})
