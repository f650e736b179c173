"""The language model that a baseline asks in words, opened: GPT-2, or a causal model of transformers in its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ablation.baselines.asked_models import AskedCausalModel, AskedGPT
from ablation.baselines.asking import AskedModel
from ablation.baselines.baseline import Asked
from ablation.baselines.hf_models import load_causal
from ablation.baselines.prompts import NoRoomError, check_room
from ablation.config.baseline import BaselineConfig
from ablation.config.settings import RANDOM
from ablation.environment import environment_stamp
from ablation.listener import Listener
from ablation.model.layouts import HEAD
from ablation.model.weights import WithoutDraws, combined_digest, load_into, tensor_digest
from ablation.run.frame import running
from ablation.run.inputs import RunError, open_pretrained, open_tokenizer, settings_of_base
from ablation.run.stopwatch import Stopwatch
from previous_chapters import GPTModel


@dataclass(frozen=True)
class OpenedAsked:
    """A model that can be asked.

    Attributes:
        name: how the command names it.
        answers_as: SHA-256 (hex) of what decides its answers: weights, architecture, tokenizer, kind of device.
        columns: what a row says of it, by column name.
    """

    model: AskedModel
    name: str
    answers_as: str
    columns: dict[str, Any]
    watch: Stopwatch


@contextmanager
def open_asked(asked: Asked) -> Iterator[OpenedAsked]:
    """The model that the configuration names; the process is afterwards as it was.

    Raises:
        HubError, RunError, WeightsError, DownloadError: it cannot be had or used.
    """
    config = asked.config
    with running(config) as (device, watch):
        with watch.part("load"):
            if config.hf_model is None:
                name = f"--model_size {config.model_in_use}"
                opened, module, digest, others = _open_gpt(asked, device)
            else:
                name = f"--hf_model {config.hf_model}"
                opened, module, digest, others = _open_causal(config, device)
        columns = {
            **environment_stamp(str(device)),
            "total_parameters": sum(parameter.numel() for parameter in set(module.parameters())),
            "trainable_parameters": 0,
            "weights_digest": digest,
            "base": settings_of_base(config),
        }
        decides = json.dumps([digest, others, device.type])
        yield OpenedAsked(opened, name, hashlib.sha256(decides.encode()).hexdigest(), columns, watch)


def _open_gpt(asked: Asked, device: torch.device) -> tuple[AskedModel, torch.nn.Module, str, Any]:
    """The model to be asked, its module, the digest of its weights, and what beside them it answers by."""
    config = asked.config
    tokenizer = open_tokenizer(config)
    try:
        label = asked.task.labels(config)[1]
        check_room(tokenizer.encode_ordinary, config.shape.context_length, label, asked.settings["text_tokens"])
    except NoRoomError as error:  # before the weights are read
        raise RunError(str(error)) from None
    model, digest = _gpt(config, asked.listener)
    model.to(device).eval()
    return AskedGPT(model, tokenizer), model, digest, [asdict(config.shape), tokenizer.name]


def _gpt(config: BaselineConfig, listener: Listener) -> tuple[GPTModel, str]:
    """GPT-2 with its vocabulary head, and the digest of its weights as other rows have it."""
    if config.weights == RANDOM:
        listener.message(f"weights: random, seed {config.seed}")
        torch.manual_seed(config.seed)
        model = GPTModel(config.shape)
        tensors = {name: tensor for name, tensor in model.state_dict().items() if name != HEAD}
        return model, combined_digest({name: tensor_digest(tensor) for name, tensor in tensors.items()})
    weights = open_pretrained(config, listener)
    with torch.device("meta"), WithoutDraws():
        model = GPTModel(weights.shape)
    load_into(model, weights)
    return model, weights.digest()


def _open_causal(config: BaselineConfig, device: torch.device) -> tuple[AskedModel, Any, str, Any]:
    """As :func:`_open_gpt`."""
    loaded = load_causal(str(config.hf_model), offline=config.offline)
    loaded.model.to(device)
    return AskedCausalModel(loaded), loaded.model, loaded.digest, loaded.settings_digest()
