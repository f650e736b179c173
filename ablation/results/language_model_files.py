"""A trained language model as a file, which is whole: every parameter is in it, under this project's names, and the
header says what is needed to build on it (:mod:`ablation.config.base_run` reads it back without torch)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ablation.config.base_run import (
    CONFIG,
    DEMO_VOCABULARY,
    RUN_JSON,
    SHAPE,
    VOCABULARY,
    BaseRun,
    BaseRunError,
)
from ablation.config.shapes import ModelShape
from ablation.data.demo import VOCABULARY as DEMO_TOKENS
from ablation.data.demo import vocabulary_digest
from ablation.results.run_folder import TRAINED_DIGEST, VOCABULARY_DIGEST

if TYPE_CHECKING:
    from torch import Tensor


def language_model_file(
    tensors: Mapping[str, Tensor], shape: ModelShape, vocabulary: str, config: Mapping[str, Any]
) -> bytes:
    """What ``trained.safetensors`` of a language model's run holds.

    Args:
        tensors: all parameters, float32, by the names of ``GPTModel``, what a method added merged into them; without
            ``out_head.weight`` if that is the token embedding.
        shape: the model's dimensions.
        vocabulary: whose tokens it knows, ``gpt2`` or ``demo``.
        config: the settings that define the run.
    """
    from safetensors.torch import save

    metadata = {
        CONFIG: json.dumps(dict(config)),
        SHAPE: json.dumps(dataclasses.asdict(shape)),
        VOCABULARY: vocabulary,
    }
    if vocabulary == DEMO_VOCABULARY:
        metadata[VOCABULARY_DIGEST] = vocabulary_digest()
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata=metadata)


def check_unaltered(base: BaseRun) -> None:
    """Hold a kept model against what its run wrote, where the run's record is beside it, and against today's tokens.

    Raises:
        BaseRunError: it is another one, or its tokens mean something else by now.
    """
    if base.vocabulary == DEMO_VOCABULARY and base.metadata.get(VOCABULARY_DIGEST) != vocabulary_digest():
        raise BaseRunError(f"{base.path} was trained with another {DEMO_TOKENS.name} than today's; train it anew")
    try:
        written = json.loads(base.path.with_name(RUN_JSON).read_text(encoding="utf-8")).get(TRAINED_DIGEST)
    except (OSError, ValueError, AttributeError):
        return  # a file on its own: its digest says which it is
    if written is not None:
        with base.path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != written:
                raise BaseRunError(f"{base.path} is not what its run wrote (its SHA-256 differs); restore it")
