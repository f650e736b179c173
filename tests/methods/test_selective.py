"""Biases and norms against transformers' GPT-2 with the same parameters trained."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.same_values import assert_same, head_of, in_our_names, make_both, read_by
from tests.support.tiny import tiny_config

# method -> what of transformers' trunk it trains
THEIR_NAMES = {"bitfit": r"h\.(\d)\..*\.bias", "norms": r"h\.(\d)\.ln_[12]\.(weight|bias)"}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"from_block": 3},
    {"from_block": 2, "train_final_norm": True, "average_embeddings": True},
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: " ".join(settings) or "all blocks")
@pytest.mark.parametrize("method", THEIR_NAMES)
def test_what_trains_and_how_is_as_in_transformers(method: str, settings: dict[str, Any], dtype: torch.dtype) -> None:
    twin, executions = make_both(tiny_config(method=method, context_length=12, **settings), dtype)
    first, their = settings.get("from_block", 1) - 1, dict[str, Tensor]()
    for name, parameter in twin.transformer.named_parameters():
        found = re.fullmatch(THEIR_NAMES[method], name)
        if (found and int(found[1]) >= first) or ("train_final_norm" in settings and name.startswith("ln_f.")):
            their[name] = parameter
    trained = {name for name, parameter in executions[0].model.named_parameters() if parameter.requires_grad}
    assert trained == {*in_our_names(their), "out_head.weight", "out_head.bias"}
    head = head_of(executions[0])
    logits = read_by(executions[0], lambda tokens: twin.transformer(tokens).last_hidden_state, head)
    assert_same(executions, logits, {**their, "out_head.weight": head[0], "out_head.bias": head[1]}, dtype)
