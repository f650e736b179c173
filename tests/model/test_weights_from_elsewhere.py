"""Weights as Hugging Face and TensorFlow store them, against transformers' own model and against damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ablation.config.shapes import ModelShape
from ablation.model.weights import WeightsError, load_into, open_weights
from previous_chapters import GPTModel
from tests.model.test_weights import openai
from tests.support import tf_checkpoint_writer

transformers = pytest.importorskip("transformers")
SHAPE = ModelShape(vocab_size=53, context_length=16, emb_dim=32, n_layers=3, n_heads=4)
TOKENS = torch.randint(53, (2, 16), generator=torch.Generator().manual_seed(2))
INDEX, BIN_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"
OTHER_HEADS = ModelShape(53, 16, 32, 3, 2)


def make_twin(**settings: Any) -> Any:
    """A GPT-2 of transformers' own, all of its parameters random."""
    torch.manual_seed(1)
    sizes = {"vocab_size": 53, "n_positions": 16, "n_embd": 32, "n_layer": 3, "n_head": 4}
    config = transformers.GPT2Config(**{**sizes, "initializer_range": 0.3, **settings})
    twin = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in twin.parameters():
            if parameter.ndim == 1:  # biases and norms, which start out as zeros and ones
                parameter += 0.1 * torch.randn_like(parameter)
    return twin


@pytest.fixture(scope="module")
def twin() -> Any:
    return make_twin()


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


# Hugging Face's folders


@pytest.mark.parametrize("write", [sharded, pytorch_bin, sharded_bin])
def test_folders_of_the_hub(twin: Any, tmp_path: Path, write: Callable[[Any, Path], Path]) -> None:
    check(twin, write(twin, tmp_path), SHAPE)


@pytest.mark.parametrize(("write", "index"), [(sharded, INDEX), (sharded_bin, BIN_INDEX)])
def test_the_index_named_directly(twin: Any, tmp_path: Path, write: Callable[[Any, Path], Path], index: str) -> None:
    check(twin, write(twin, tmp_path) / index, SHAPE)


def test_shards_have_the_digest_of_the_whole(twin: Any, tmp_path: Path) -> None:
    digests = set()
    for name, write in {"shards": sharded, "bin": pytorch_bin, "bins": sharded_bin}.items():
        (tmp_path / name).mkdir()
        weights = open_weights(write(twin, tmp_path / name), SHAPE)
        digests.add(weights.digest())
        assert len(weights._file.paths) == len(set(weights._file.paths)) == (1 if name == "bin" else 6)
    twin.save_pretrained(tmp_path / "whole")
    assert digests == {open_weights(tmp_path / "whole", SHAPE).digest()}


def damage_index(folder: Path, change: Callable[[dict[str, str]], object]) -> None:
    content = json.loads((folder / INDEX).read_text())
    change(content["weight_map"])
    (folder / INDEX).write_text(json.dumps(content))


def refused(path: Path, message: str, shape: ModelShape | None = SHAPE) -> None:
    with pytest.raises(WeightsError, match=message) as failure:
        open_weights(path, shape).digest()
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("write", [sharded, sharded_bin])
def test_a_missing_or_damaged_shard_is_named(twin: Any, tmp_path: Path, write: Callable[[Any, Path], Path]) -> None:
    shard = sorted(write(twin, tmp_path).glob("*-00002-of-*"))[0]
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    refused(tmp_path, rf"{shard.name} is no intact|{shard.name} is refused")
    shard.unlink()
    refused(tmp_path, rf"index\.json lists '{shard.name}', which is missing; fetch it")


@pytest.mark.parametrize(
    "place", ["../x.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "a\\b.bin", "c:d.bin"]
)
def test_an_index_never_leads_out_of_its_folder(twin: Any, tmp_path: Path, place: str) -> None:
    (tmp_path / "model").mkdir()
    shard = sorted(sharded(twin, tmp_path / "model").glob("*.safetensors"))[0]
    shutil.copy(shard, tmp_path / "x.safetensors")
    damage_index(shard.parent, lambda places: places.update({"transformer.wpe.weight": place}))
    refused(shard.parent, r"index\.json lists '.*', which is no file of its folder")


@pytest.mark.parametrize("place", ["config.json", "model.safetensors.index.json", "x.txt", "..", "", "\n"])
def test_an_index_that_lists_other_files(twin: Any, tmp_path: Path, place: str) -> None:
    (sharded(twin, tmp_path) / "x.txt").touch()
    damage_index(tmp_path, lambda places: places.update({"transformer.wpe.weight": place}))
    refused(tmp_path, r"index\.json lists '.*', which is no \.safetensors")


def test_an_index_and_its_shards_that_disagree(twin: Any, tmp_path: Path) -> None:
    """A tensor in another shard than the index says, in two shards, or in none of the index."""
    first, second = sorted(sharded(twin, tmp_path).glob("*.safetensors"))[:2]
    index, name = (tmp_path / INDEX).read_text(), "transformer.wpe.weight"
    home = json.loads(index)["weight_map"][name]
    other = next(path for path in (first, second) if path.name != home)
    damage_index(tmp_path, lambda places: places.update({name: other.name}))
    refused(tmp_path, rf"index\.json and ({other.name}|{home}) disagree about \['{name}'\]")
    (tmp_path / INDEX).write_text(index)
    save_file({**load_file(other), name: torch.zeros(16, 32)}, other)
    refused(tmp_path, rf"index\.json and {other.name} disagree about \['{name}'\]")


def test_an_index_that_names_a_tensor_twice(twin: Any, tmp_path: Path) -> None:
    path = sharded(twin, tmp_path) / INDEX
    shard = sorted(tmp_path.glob("*.safetensors"))[0].name
    twice = f'"weight_map": {{"transformer.wpe.weight": "{shard}",'
    path.write_text(path.read_text().replace('"weight_map": {', twice))
    refused(tmp_path, r"index\.json is no intact JSON \(it names 'transformer\.wpe\.weight' twice\)")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no intact JSON"),
        (b"\xff\xfe", "no intact JSON"),
        (b"[" * 100_000, "no intact JSON"),
        (b'{"weight_map": 1' + b"0" * 5000 + b"}", "no intact JSON"),
        (b"[]", "no intact JSON"),
        (b"null", "no intact JSON"),
        (b"{}", "no weight_map"),
        (b'{"weight_map": {}}', "no weight_map"),
        (b'{"weight_map": []}', "no weight_map"),
        (b'{"weight_map": {"wte.weight": 3}}', "no weight_map"),
        (b'{"weight_map": {"wte.weight": null}}', "no weight_map"),
    ],
)
def test_damaged_indexes(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / INDEX).write_bytes(content)
    refused(tmp_path, rf"index\.json .*{message}")
    refused(tmp_path / INDEX, rf"index\.json .*{message}")


# TensorFlow's folders


@pytest.mark.parametrize("shards", [1, 2, 3, 11])
def test_checkpoints_in_several_shards(twin: Any, tmp_path: Path, shards: int) -> None:
    prefix = step(twin, tmp_path, shards=shards)
    check(twin, tmp_path, SHAPE)
    check(twin, prefix, SHAPE)
    check(twin, tmp_path / "model.ckpt.index", SHAPE)
    assert len(open_weights(prefix).digest()) == 64


def test_the_checkpoint_file_says_which_step(twin: Any, tmp_path: Path) -> None:
    other = make_twin(initializer_range=0.2)
    for name, model in {"model.ckpt-1": other, "model.ckpt-2": twin, "model.ckpt-10": other}.items():
        step(model, tmp_path, name, shards=2)
    refused(tmp_path, r"holds no model\.safetensors and 3 \*\.index files.*model\.ckpt-1")
    for latest in ("model.ckpt-2", "./model.ckpt-2", "/where/it/was/trained/model.ckpt-2"):
        state_file(tmp_path, latest)
        check(twin, tmp_path, SHAPE)
    check(other, tmp_path / "model.ckpt-10", SHAPE)


@pytest.mark.parametrize("latest", ["model.ckpt-3", "../model.ckpt-1", "", "..", "\\n", "a" * 5000])
def test_a_checkpoint_file_that_names_none_of_its_folder(twin: Any, tmp_path: Path, latest: str) -> None:
    (tmp_path / "below").mkdir()
    for folder in (tmp_path, tmp_path / "below"):
        step(twin, folder, "model.ckpt-1")
    state_file(tmp_path / "below", latest)
    refused(tmp_path / "below", r"below/checkpoint names '.*', which is not in its folder; .*/NAME")


def test_a_checkpoint_file_that_names_nothing(twin: Any, tmp_path: Path) -> None:
    step(twin, tmp_path)
    (tmp_path / "checkpoint").write_bytes(b"\xff\0")
    refused(tmp_path, r"checkpoint names no model_checkpoint_path; .*/NAME")


def test_a_missing_or_truncated_shard_of_a_checkpoint(twin: Any, tmp_path: Path) -> None:
    shard = tmp_path / "model.ckpt.data-00001-of-00002"
    step(twin, tmp_path, shards=2)
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    refused(tmp_path, rf"{shard.name} is truncated: {len(content) - 1} bytes, but model/.* ends at byte {len(content)}")
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused(tmp_path, rf"{shard.name}: tensor model/.* is damaged")
    shard.unlink()
    refused(tmp_path, rf"cannot read .*{shard.name}: No such file")


# config.json


@pytest.mark.parametrize("write", [sharded, pytorch_bin, step])
def test_heads_come_from_the_configuration(twin: Any, tmp_path: Path, write: Callable[[Any, Path], Path]) -> None:
    path = write(twin, tmp_path)
    twin.config.save_pretrained(tmp_path)
    assert open_weights(path).shape == SHAPE
    check(twin, path)
    refused(path, r"config\.json says n_head 4, but the model in use has 2;", OTHER_HEADS)


@pytest.mark.parametrize(
    "settings",
    [{"activation_function": "gelu_pytorch_tanh"}, {"reorder_and_upcast_attn": True}, {"n_inner": 128}],
)
def test_settings_that_say_the_same(tmp_path: Path, settings: dict[str, Any]) -> None:
    twin = make_twin(**settings)
    twin.save_pretrained(tmp_path)
    check(twin, tmp_path)
    check(twin, tmp_path / "model.safetensors", SHAPE)


@pytest.mark.parametrize(
    "settings",
    [
        {"activation_function": "gelu"},
        {"activation_function": "relu"},
        {"layer_norm_epsilon": 1e-6},
        {"scale_attn_weights": False},
        {"scale_attn_by_inverse_layer_idx": True},
        {"add_cross_attention": True},
        {"n_inner": 64},
    ],
)
@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_another_computation_is_refused(tmp_path: Path, settings: dict[str, Any], name: str) -> None:
    make_twin(**settings).save_pretrained(tmp_path)
    ((key, value),) = settings.items()
    refused(tmp_path / name, rf"config\.json says {key} {value!r}, but .*;")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "gpt_neo"),
        ("model_type", None),
        ("n_layer", 2),
        ("n_embd", 64),
        ("n_positions", 1024),
        ("vocab_size", 50257),
        ("n_head", "4"),
        ("n_head", 0),
        ("n_head", 5),
        ("n_head", [4]),
        ("num_attention_heads", 2),
        ("layer_norm_epsilon", "1e-5"),
        ("activation_function", ["gelu_new"]),
        ("n_inner", "128"),
    ],
)
@pytest.mark.parametrize("shape", [None, SHAPE])
def test_a_configuration_of_another_model(
    twin: Any, tmp_path: Path, key: str, value: Any, shape: ModelShape | None
) -> None:
    twin.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    refused(tmp_path, r"config\.json says n?\w+ .*, but .*;", shape)
    with pytest.raises(WeightsError) as failure:
        open_weights(tmp_path, shape)
    assert f"{key} {value!r}" in str(failure.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"n_head": 4, "n_head": 4}'])
def test_a_damaged_configuration(twin: Any, tmp_path: Path, content: bytes) -> None:
    twin.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes(content)
    refused(tmp_path, r"config\.json is no intact JSON")


def test_a_configuration_that_says_little(twin: Any, tmp_path: Path) -> None:
    """Also of the years before `model_type`, and by the names of newer models."""
    twin.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"num_attention_heads": 4}')
    check(twin, tmp_path)
    (tmp_path / "config.json").write_text("{}")
    check(twin, tmp_path, SHAPE)


def test_activations_are_told_apart_as_they_compute() -> None:
    """Of all of transformers' activations just those that equal the model's are accepted."""
    from transformers.activations import ACT2FN

    from ablation.model.hub_config import TANH_GELU

    x = torch.linspace(-6, 6, 1001)
    expected = torch.nn.functional.gelu(x, approximate="tanh")
    same = set()
    for name in ACT2FN:
        with torch.no_grad():
            if name not in ("prelu", "xielu") and torch.allclose(ACT2FN[name](x), expected, rtol=0, atol=1e-6):
                same.add(name)
    assert same == set(TANH_GELU)
