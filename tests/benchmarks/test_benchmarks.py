"""What the benchmark compares is the same experiment."""

from __future__ import annotations

import pytest
import torch

from ablation.data.encode import make_loaders
from ablation.execution.setup import make_setup
from ablation.model.classifier import RandomWeights
from ablation.run.training import make_optimizer, train
from ablation.tasks.spam import SPAM
from benchmarks.book_style import BookStyleExecution, plain_adamw
from benchmarks.run import Clock, stepping_seconds, table
from tests.support.tiny import CPU, SHAPE, DoubleWeights, make_execution, make_messages, tiny_config


@pytest.mark.parametrize("settings", [{}, {"disable_causal_mask": True}, {"trainable_layers": "all"}])
def test_book_style_gives_the_naive_losses(settings: dict[str, object]) -> None:
    config = tiny_config(batch_size=4, num_epochs=1, learning_rate=1e-3, **settings)
    messages = make_messages(config)
    weights = DoubleWeights(RandomWeights(SHAPE, config.seed))
    book = BookStyleExecution(make_setup(config, weights, messages, CPU, torch.float64))
    assert {type(module).__name__ for module in book.model.modules()} >= {"ElementaryAttention", "ElementaryGELU"}
    histories = [
        train(SPAM, execution, make_loaders(messages, 4), config, Clock(), new_optimizer)
        for execution, new_optimizer in (
            (book, plain_adamw),
            (make_execution(config, messages, "naive", dtype=torch.float64), make_optimizer),
        )
    ]
    for left, right in zip(histories[0].evaluations, histories[1].evaluations, strict=True):
        assert left.train_loss == pytest.approx(right.train_loss, abs=1e-7)
        assert left.validation_loss == pytest.approx(right.validation_loss, abs=1e-7)


def test_extrapolation_counts_steps_evaluations_and_epochs() -> None:
    seconds = {"step": [1.0, 1.0, 1.0], "evaluation": [10.0], "epoch": [100.0]}
    assert stepping_seconds(tiny_config(eval_freq=50), seconds) == 650 + 13 * 10 + 5 * 100
    seconds["step"] = [0.0, 0.0, 0.0, 8.0] * 5  # work comes with the update
    accumulated = tiny_config(eval_freq=50, no_padding=True, batch_size=1, accumulation_steps=4)
    assert stepping_seconds(accumulated, seconds) == 5225 * 2 + 105 * 10 + 5 * 100


def measured(step: float, wall: float | None, **more: float | None) -> dict[str, object]:
    seconds = {"step": [step, step, 1000.0], "evaluation": [0.0], "epoch": [0.0]}  # one step was disturbed
    return {"prefix": 0.0, "loading": None, "seconds": seconds, "wall": wall, "peak": 10**9, **more}


def test_the_table_has_medians_wall_time_and_ratios() -> None:
    row = {
        "book-style": measured(2.0, 1400.0),
        "planned": measured(0.1, None, prefix=65.0, loading=1.0),
        "prefix_share_of_sgemm": 0.9,
    }
    line = table({"1": row}).splitlines()[2]
    assert line == "| 1 | 1,300.0 s (1,400.0) |  | 130.0 s | 66.0 s | 10 | 19.7 | 90% | 1.0 GB |"


def test_the_table_has_whatever_was_measured() -> None:
    executions = {"book-style": measured(2.0, None), "naive": measured(1.0, None), "planned": measured(0.1, None)}
    results = {str(row): {kind: executions[kind]} for row, kind in enumerate(executions, start=1)}
    header, _, *lines = table(results).splitlines()[:5]
    assert lines == [
        "| 1 | 1,300.0 s |  |  |  |  |  |  |  |",
        "| 2 |  | 650.0 s |  |  |  |  |  |  |",
        "| 3 |  |  | 65.0 s | – | – | – | – | 1.0 GB |",
    ]
    assert {line.count("|") for line in (header, *lines)} == {10}
