"""The model with its new head before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ablation.baselines.baseline import Asked, Fitted
from ablation.baselines.finite import check_finite
from ablation.baselines.models import Opened, open_model
from ablation.listener import Count
from ablation.results.run_folder import count_fields
from ablation.run.training import predict


def untrained(asked: Asked) -> Fitted:
    """What the untrained head answers to all messages; beside it what was published: right answers in the first batches
    of each split, those of training as the seed shuffles them.

    Raises:
        RunError: a logit is not finite.
        As :func:`ablation.baselines.models.open_model`.
    """
    with open_model(asked) as opened, torch.inference_mode():
        first = first_batches(asked, opened, asked.settings["first_batches"])
        logits = {}
        for split in asked.task.splits:
            batch = [opened.everything(split)]
            logits[split] = opened.execution.logits(split, batch)[0].double().cpu().numpy()
            check_finite(f"logits of the {split} split", logits[split], asked.config)
        words = ", ".join(f"{split} {count.accuracy:.2%}" for split, count in first.items())
        asked.listener.message(f"first {asked.settings['first_batches']} batches: {words}")
        return Fitted(
            logits,
            columns={**opened.columns, "training_minutes": 0.0},
            further={"first_batches": {"batches": asked.settings["first_batches"], **_fields(first)}},
        )


def first_batches(asked: Asked, opened: Opened, batches: int) -> dict[str, Count]:
    """Right answers in the first batches of each split. The seed is set once, then each loader is passed over in turn,
    as published: so the training split's are the first batches of its first epoch in every row."""
    torch.manual_seed(asked.config.effective_order_seed)
    loaders, counts = opened.loaders(asked.config.batch_size), {}
    for split in asked.task.splits:
        indices, logits = predict(opened.execution, split, loaders[split], batches)
        counts[split] = asked.task.correct(logits, opened.execution.labels(split, indices))
    return counts


def _fields(counts: Mapping[str, Count]) -> dict[str, Any]:
    return {name: number for split, count in counts.items() for name, number in count_fields(split, count).items()}
