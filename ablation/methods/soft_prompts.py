"""Soft prompts (Lester et al. 2021): trained embeddings before the message, which start as those of drawn tokens."""

from __future__ import annotations

from typing import Any

import torch

from ablation.config.settings import CommonSettings
from ablation.methods.primitives import ExtraPositions
from ablation.methods.starting_values import Derived


def attach(model: Any, config: CommonSettings) -> dict[str, Derived]:
    embedding = model.tok_emb
    tokens = torch.randint(embedding.num_embeddings, (config.prompt_length or 0,))
    model.extra = ExtraPositions(torch.empty(len(tokens), embedding.embedding_dim, device="meta"))
    return {"extra.embeddings": Derived("tok_emb.weight", lambda weight: weight[tokens])}
