"""IA3: PEFT computes the same, with its scale of queries held at one; the formula written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ablation.methods.ia3 import ScaledInputs, ScaledOutputs
from tests.support.peft_twin import Part, assert_same, plain_twin, stirred_execution


def fill(part: Part) -> None:
    scales = part.theirs.ia3_l["default"]
    scales.fill_(1.0)
    if part.theirs.is_feedforward:
        ((_, layer, _, _),) = part.adapted()
        scales[0] = layer.scales
        return
    for _, layer, outputs, _ in part.adapted():
        scales[outputs, 0] = layer.scales


def gradients(part: Part) -> dict[str, Tensor]:
    gradient = part.theirs.ia3_l["default"].grad
    if part.theirs.is_feedforward:
        return {f"{name}.scales": gradient[0] for name, _, _, _ in part.adapted()}
    found = {f"{name}.scales": gradient[outputs, 0] for name, _, outputs, _ in part.adapted()}
    assert [name.rpartition(".")[2] for name, _, _, _ in part.adapted()] == ["W_key", "W_value"]  # no queries
    return found


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("settings", [{}, {"train_final_norm": True}], ids=["blocks", "final norm"])
def test_peft_computes_the_same(settings: dict[str, Any], dtype: torch.dtype) -> None:
    peft = pytest.importorskip("peft")
    ours = stirred_execution(dtype, method="ia3", **settings).model
    twin = plain_twin(ours)
    inner = ["mlp.c_proj"]
    config = peft.IA3Config(target_modules=["attn.c_attn", *inner], feedforward_modules=inner, fan_in_fan_out=True)
    peft.get_peft_model(twin, config).eval()
    assert_same(ours, twin, fill, gradients)


@pytest.mark.parametrize("kind", [ScaledOutputs, ScaledInputs])
def test_the_formula_written_out(kind: type[ScaledOutputs] | type[ScaledInputs]) -> None:
    torch.manual_seed(1)
    layer, x = kind(torch.nn.Linear(4, 6)).double(), torch.randn(3, 4, dtype=torch.float64)
    assert torch.equal(layer.scales, torch.ones(6 if kind is ScaledOutputs else 4))
    torch.nn.init.normal_(layer.scales)
    weight, bias, scales = layer.linear.weight, layer.linear.bias, layer.scales
    expected = scales * (x @ weight.T + bias) if kind is ScaledOutputs else (scales * x) @ weight.T + bias
    for found in (layer(x), torch.nn.functional.linear(x, *layer.effective())):
        assert (found - expected).abs().max() < 1e-13
    half = layer.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert half(x.float()).dtype == half.linear(x.float()).dtype == torch.bfloat16
