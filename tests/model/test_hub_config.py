"""`config.json` beside weights: heads from it, other computations refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ablation.config.shapes import ModelShape
from ablation.model.hub_config import TANH_GELU
from ablation.model.weights import WeightsError, open_weights
from tests.support.hub_twin import SHAPE, check, make_twin, pytorch_bin, refused, sharded, step

OTHER_HEADS = ModelShape(53, 16, 32, 3, 2)
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def twin() -> Any:
    return make_twin()


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
        ("n_head", True),
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

    x = torch.linspace(-6, 6, 1001)
    expected = torch.nn.functional.gelu(x, approximate="tanh")
    same = set()
    for name in ACT2FN:
        with torch.no_grad():
            if name not in ("prelu", "xielu") and torch.allclose(ACT2FN[name](x), expected, rtol=0, atol=1e-6):
                same.add(name)
    assert same == set(TANH_GELU)
