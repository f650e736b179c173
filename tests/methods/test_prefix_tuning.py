"""Prefixes and soft prompts against PEFT's on transformers' GPT-2, and the unified view of prefixes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablation.execution.base import Execution
from ablation.methods.primitives import unwrapped
from tests.support.same_values import BATCHES, assert_same, head_of, make_both, read_by
from tests.support.tiny import SHAPE, tiny_config

LENGTH = 4
DTYPES = [torch.float64, torch.float32]
READS: list[dict[str, Any]] = [
    {"trainable_token_pos": "last"},
    {"trainable_token_pos": "flexible", "average_embeddings": True},
    {"no_padding": True, "batch_size": 1},
]


def in_peft(twin: Any, config_class: str, prompt: Tensor) -> tuple[Any, nn.Parameter]:
    """The twin with PEFT's way, and its trained table with the values of ours; nothing else of it trains."""
    import peft

    adapted = peft.get_peft_model(
        twin, getattr(peft, config_class)(task_type="CAUSAL_LM", num_virtual_tokens=LENGTH)
    ).to(prompt.dtype)  # fmt: skip
    embedding: Any = adapted.prompt_encoder["default"].embedding
    with torch.no_grad():
        embedding.weight.copy_(prompt)
    return adapted, embedding.weight


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("reading", READS, ids=lambda reading: " ".join(map(str, reading.values())))
def test_prefix_tuning_is_pefts(reading: dict[str, Any], dtype: torch.dtype) -> None:
    """A cache of keys and values to transformers, behind which the message's positions start: there its position
    embeddings stand as many rows further down."""
    config = tiny_config(method="prefix_tuning", prefix_length=LENGTH, context_length=12, **reading)
    twin, executions = make_both(config, dtype)
    blocks: Any = executions[0].model.trf_blocks
    tables = [table for block in blocks for table in (block.att.extra.keys, block.att.extra.values)]
    with torch.no_grad():
        positions = twin.transformer.wpe.weight
        twin.transformer.wpe.weight = nn.Parameter(torch.cat([torch.full_like(positions[:LENGTH], 9), positions]))
    adapted, weight = in_peft(twin, "PrefixTuningConfig", torch.cat(tables, dim=1))
    head = head_of(executions[0])

    def states(tokens: Tensor) -> Tensor:
        return adapted(input_ids=tokens, output_hidden_states=True).hidden_states[-1]

    places = [f"trf_blocks.{i}.att.extra" for i in range(SHAPE.n_layers)]
    side_by_side = tuple(f"{place}.{part}" for place in places for part in ("keys", "values"))
    their = {"out_head.weight": head[0], "out_head.bias": head[1], side_by_side: weight}
    assert_same(executions, read_by(executions[0], states, head), their, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("reading", READS, ids=lambda reading: " ".join(map(str, reading.values())))
def test_a_soft_prompt_is_pefts(reading: dict[str, Any], dtype: torch.dtype) -> None:
    """There, what stands before a message is read, too: read_by counts the message's own tokens."""
    config = tiny_config(method="soft_prompt", prompt_length=LENGTH, context_length=12, **reading)
    twin, executions = make_both(config, dtype)
    model: Any = executions[0].model
    adapted, weight = in_peft(twin, "PromptTuningConfig", model.extra.embeddings)
    head = head_of(executions[0])

    def states(tokens: Tensor) -> Tensor:
        return adapted(input_ids=tokens, output_hidden_states=True).hidden_states[-1][:, LENGTH:]

    their = {"out_head.weight": head[0], "out_head.bias": head[1], "extra.embeddings": weight}
    assert_same(executions, read_by(executions[0], states, head), their, dtype)


def mixed(attention: Any, x: Tensor) -> Tensor:
    """What He et al. 2021 show a prefix to be, for one message (T, D), causal: per head the mixture, by the prefix's
    share λ of the softmax sum, of attention without it and of attention to the prefix alone."""
    contexts = []
    projected, extra = (part(x) for part in attention.projections()[:3]), attention.extra
    width = x.shape[1] // attention.n_heads
    tables = [table.split(width, dim=-1) for table in (*projected, extra.keys, extra.values)]
    for query, key, value, prefix_key, prefix_value in zip(*tables, strict=True):
        own = (query @ key.T / math.sqrt(width)).masked_fill(torch.ones(len(x), len(x)).triu(1).bool(), -math.inf)
        to_prefix = query @ prefix_key.T / math.sqrt(width)
        share = torch.sigmoid(to_prefix.logsumexp(1, keepdim=True) - own.logsumexp(1, keepdim=True))
        contexts.append((1 - share) * own.softmax(1) @ value + share * to_prefix.softmax(1) @ prefix_value)
    return attention.out_proj(torch.cat(contexts, dim=1))


@pytest.mark.parametrize("method", ["prefix_tuning", "hybrid"])
def test_the_unified_view_of_prefix_tuning(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole classifier with every attention in the other form gives the same logits and gradients."""
    size = {"bottleneck": 3} if method == "hybrid" else {}
    config = tiny_config(method=method, prefix_length=LENGTH, context_length=12, **size)
    _, executions = make_both(config, torch.float64)
    expected = [_logits_and_gradients(execution) for execution in executions]
    naive = executions[0]
    for block in naive.model.trf_blocks:
        attention: Any = unwrapped(block.att)[0]  # type: ignore[arg-type]
        monkeypatch.setattr(attention, "forward", lambda x, runs=None, own=attention: mixed(own, x[0])[None])
    found = _logits_and_gradients(naive)
    for other in expected:
        for left, right in zip(found, other, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)


def _logits_and_gradients(execution: Execution) -> list[Tensor]:
    logits = torch.cat(execution.logits("train", BATCHES))
    return [logits, *torch.autograd.grad(logits.square().sum(), execution.trainable_parameters())]
