"""DoRA: PEFT computes the same, its norms are those of the whole matrix, and constants in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ablation.methods.dora import LinearWithDoRA, row_norms
from lora import LoRATerm
from tests.support.parity import tensors
from tests.support.peft_twin import Part, assert_same, fill_terms, lora_twin, stirred_execution, term_gradients
from tests.support.tape import Tape

RANK, SCALE = 3, 5 / 3


def fill(part: Part) -> None:
    fill_terms(part, RANK)
    if not any(isinstance(layer, LinearWithDoRA) for _, layer, _, _ in part.adapted()):
        return
    magnitudes = part.theirs.lora_magnitude_vector["default"].weight
    weight = part.theirs.get_base_layer().weight  # of Conv1D (in, out)
    magnitudes.copy_(weight.norm(dim=0 if type(part.theirs.get_base_layer()).__name__ == "Conv1D" else 1))
    for _, layer, outputs, _ in part.adapted():
        magnitudes[outputs] = layer.magnitude


def gradients(part: Part) -> dict[str, Tensor]:
    found = term_gradients(part, RANK)
    for name, _, outputs, _ in part.adapted():
        found[f"{name}.magnitude"] = part.theirs.lora_magnitude_vector["default"].weight.grad[outputs]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "settings",
    [{}, {"lora_targets": "query+value+head"}, {"lora_scaling": "alpha_over_sqrt_rank", "lora_targets": "key+ff_in"}],
    ids=["six maps", "some of the fused, and the head", "alpha/√r"],
)
def test_peft_computes_the_same(settings: dict[str, Any], dtype: torch.dtype) -> None:
    ours = stirred_execution(dtype, method="dora", lora_rank=RANK, lora_alpha=5, **settings).model
    stabilised = "lora_scaling" in settings
    scale = 5 / RANK**0.5 if stabilised else SCALE
    twin = lora_twin(ours, RANK, scale, stabilised=stabilised, dora=True)
    assert_same(ours, twin, fill, gradients)


def stirred_layer() -> LinearWithDoRA:
    torch.manual_seed(2)
    linear = torch.nn.Linear(7, 5).requires_grad_(False)
    layer = LinearWithDoRA(linear, RANK, 5, partial(LoRATerm, scale=SCALE))
    assert torch.equal(layer.magnitude, row_norms(linear.weight))
    layer.double()
    torch.nn.init.normal_(layer.lora.B)
    torch.nn.init.uniform_(layer.magnitude, 0.5, 1.5)
    return layer


def test_the_formula_written_out_and_its_gradients() -> None:
    """The norm is a constant of the backward pass; as a function of A and B it would have other gradients."""
    layer, x = stirred_layer(), torch.randn(4, 7, dtype=torch.float64)

    def formula(norms: Callable[[Tensor], Tensor]) -> Tensor:
        whole = layer.linear.weight + SCALE * (layer.lora.A @ layer.lora.B).T
        return (layer.magnitude / norms(whole)) * (x @ whole.T) + layer.linear.bias

    y = formula(lambda whole: whole.norm(dim=1).detach())
    trained = [layer.lora.A, layer.lora.B, layer.magnitude]
    expected = torch.autograd.grad(y.square().sum(), trained)
    for form in (layer(x), torch.nn.functional.linear(x, *layer.effective())):
        assert (form - y).abs().max() < 1e-12
        found = torch.autograd.grad(form.square().sum(), trained)
        assert all((a - b).abs().max() < 1e-11 for a, b in zip(found, expected, strict=True))
    (other,) = torch.autograd.grad(formula(lambda whole: whole.norm(dim=1)).square().sum(), trained[:1])
    assert (other - expected[0]).abs().max() > 1e-3


def test_no_matrix_as_large_as_the_weight_is_formed() -> None:
    """Neither forward nor backward: thin products do for the norms, and nothing trains in the weight."""
    layer, x = stirred_layer(), torch.randn(2, 7, dtype=torch.float64, requires_grad=True)
    with Tape() as tape:
        layer(x).sum().backward()
    made = [tensor for *_, out in tape.operations for tensor in tensors(out)]
    weight = layer.linear.weight
    own = [tensor for tensor in made if tensor.numel() >= weight.numel() and tensor.data_ptr() != weight.data_ptr()]
    assert len(made) > 10 and own == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norms_from_thin_products_are_the_whole_matrixs(dtype: torch.dtype) -> None:
    layer = stirred_layer().to(dtype)
    expected = layer.linear.weight.double() + SCALE * (layer.lora.A.double() @ layer.lora.B.double()).T
    with torch.autocast("cpu", torch.bfloat16):  # whatever the products around it are computed in
        found = layer._norms()
        x = torch.randn(2, 7, dtype=dtype)
        assert layer(x).dtype == layer.linear(x).dtype  # as the layer without it, whatever a magnitude is held in
    assert found.dtype == dtype
    relative = (found.double() / expected.norm(dim=1) - 1).abs().max()
    assert relative < (1e-6 if dtype == torch.float32 else 1e-14)
