"""Small GPT-2s of transformers' own, and their weights in the forms in which the world stores them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ablation.config.shapes import ModelShape
from ablation.model.weights import WeightsError, load_into, open_weights
from previous_chapters import GPTModel
from tests.model.test_weights import openai
from tests.support import tf_checkpoint_writer

SHAPE = ModelShape(vocab_size=53, context_length=16, emb_dim=32, n_layers=3, n_heads=4)
TOKENS = torch.randint(53, (2, 16), generator=torch.Generator().manual_seed(2))
INDEX, BIN_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"


def make_twin(**settings: Any) -> Any:
    """A GPT-2 of transformers' own, all of its parameters random."""
    import transformers

    torch.manual_seed(1)
    sizes = {"vocab_size": 53, "n_positions": 16, "n_embd": 32, "n_layer": 3, "n_head": 4}
    config = transformers.GPT2Config(**{**sizes, "initializer_range": 0.3, **settings})
    twin = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in twin.parameters():
            if parameter.ndim == 1:  # biases and norms, which start out as zeros and ones
                parameter += 0.1 * torch.randn_like(parameter)
    return twin


def hidden_states(path: Path, shape: ModelShape | None = None) -> Tensor:
    weights = open_weights(path, shape)
    with torch.device("meta"):
        model = GPTModel(weights.shape)
    load_into(model, weights)
    model.out_head = torch.nn.Identity()
    with torch.no_grad():
        return model(TOKENS)


def check(twin: Any, path: Path, shape: ModelShape | None = None) -> None:
    with torch.no_grad():
        expected = twin.transformer(TOKENS).last_hidden_state
    torch.testing.assert_close(hidden_states(path, shape), expected, rtol=0, atol=1e-5)


def sharded(twin: Any, folder: Path) -> Path:
    twin.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("*.safetensors"))) > 2 and not (folder / "model.safetensors").exists()
    return folder


def pytorch_bin(twin: Any, folder: Path) -> Path:
    torch.save(twin.state_dict(), folder / "pytorch_model.bin")
    return folder


def sharded_bin(twin: Any, folder: Path) -> Path:
    """As `save_pretrained` wrote it before version 5."""
    from huggingface_hub import split_torch_state_dict_into_shards

    state = twin.state_dict()
    split = split_torch_state_dict_into_shards(
        state, filename_pattern="pytorch_model{suffix}.bin", max_shard_size="40KB"
    )
    assert len(split.filename_to_tensors) > 2
    for name, tensors in split.filename_to_tensors.items():
        torch.save({tensor: state[tensor] for tensor in tensors}, folder / name)
    index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
    (folder / BIN_INDEX).write_text(json.dumps(index))
    return folder


def openai_tensors(twin: Any, folder: Path) -> dict[str, tf_checkpoint_writer.Array]:
    save_file({name: tensor.clone() for name, tensor in twin.state_dict().items()}, folder / "whole.safetensors")
    weights = open_weights(folder / "whole.safetensors", SHAPE)
    tensors = openai({name: weights.tensor(name) for name in weights.names if name != "out_head.weight"})
    (folder / "whole.safetensors").unlink()
    return tensors


def step(twin: Any, folder: Path, name: str = "model.ckpt", shards: int = 1) -> Path:
    """One step's TensorFlow checkpoint; returns its prefix."""
    tf_checkpoint_writer.write_folder(openai_tensors(twin, folder), folder, name, shards)
    return folder / name


def state_file(folder: Path, latest: str) -> None:
    """As TensorFlow's `Saver` writes it."""
    (folder / "checkpoint").write_text(
        f'model_checkpoint_path: "{latest}"\nall_model_checkpoint_paths: "model.ckpt-1"\n'
        f'all_model_checkpoint_paths: "{latest}"\n'
    )


def refused(path: Path, message: str, shape: ModelShape | None = SHAPE) -> None:
    with pytest.raises(WeightsError, match=message) as failure:
        open_weights(path, shape).digest()
    assert "\n" not in str(failure.value)
