"""The loop: steps, updates, evaluations, and what decides them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ablation.config.experiment import ExperimentConfig
from ablation.data.encode import EncodedMessages, encode_messages, make_loaders
from ablation.execution.naive import NaiveExecution
from ablation.execution.planned import PlannedExecution
from ablation.listener import Count, Listener, StepLosses
from ablation.results.result import History
from ablation.run.training import train
from ablation.tasks.spam import SPAM
from tests.support.tiny import PAD, make_execution, make_messages, tiny_config

Execution = NaiveExecution | PlannedExecution


def train_tiny(
    config: ExperimentConfig,
    messages: dict[str, EncodedMessages] | None = None,
    kind: str = "planned",
    dtype: torch.dtype = torch.float32,
    listener: Listener | None = None,
) -> tuple[Execution, History]:
    messages = messages or make_messages(config)
    execution = make_execution(config, messages, kind, dtype=dtype)
    return execution, train(SPAM, execution, make_loaders(messages, config.batch_size), config, listener or Listener())


def parameters(execution: Execution) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in execution.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("kind", ["naive", "planned"])
def test_ignore_index_changes_nothing_to_the_last_bit(kind: str) -> None:
    """Row 18 is row 1: no label equals the ignored one."""
    left, left_history = train_tiny(tiny_config(num_epochs=2), kind=kind)
    right, right_history = train_tiny(tiny_config(num_epochs=2, ignore_index=50256), kind=kind)
    assert left_history == right_history
    for name, value in parameters(left).items():
        assert torch.equal(value, parameters(right)[name]), name


@pytest.mark.parametrize("kind", ["naive", "planned"])
def test_accumulating_single_messages_equals_one_batch_of_equal_length(kind: str) -> None:
    lists = [[(7 * i + j) % 50 for j in range(6)] for i in range(16)]
    trained = []
    for flags in (
        {"no_padding": True, "batch_size": 1, "accumulation_steps": 8},
        {"batch_size": 8},
    ):
        config = tiny_config(num_epochs=3, learning_rate=1e-3, **flags)
        split = encode_messages(lists, [i % 2 for i in range(16)], 6, PAD, padded=not config.no_padding)
        messages = dict.fromkeys(("train", "validation", "test"), split)
        # In float64, because AdamW normalises the rounding noise of gradients that are zero in theory (key biases).
        execution = make_execution(config, messages, kind, dtype=torch.float64)
        loaders = make_loaders(messages, config.batch_size)
        loaders["train"] = torch.utils.data.DataLoader(range(16), batch_size=config.batch_size)  # type: ignore[arg-type]
        history = train(SPAM, execution, loaders, config, Listener())
        assert history.updates == 6
        trained.append(parameters(execution))
    for name, value in trained[0].items():
        assert (value - trained[1][name]).abs().max() < 1e-6, name


@pytest.mark.parametrize(
    ("settings", "steps", "updates", "evaluated_at"),
    [
        ({"num_epochs": 2}, 20, 20, [0, 5, 10, 15]),
        ({"max_steps": 1}, 1, 1, [0]),
        ({"max_steps": 13}, 13, 13, [0, 5, 10]),
        ({"num_epochs": 1, "max_steps": 99}, 10, 10, [0, 5]),
        ({"num_epochs": 1, "accumulation_steps": 4}, 10, 3, [0, 5]),  # after batches 4, 8 and the last
        ({"max_steps": 6, "accumulation_steps": 4}, 6, 2, [0, 5]),  # cut short like an epoch
        ({"num_epochs": 1, "eval_freq": 3}, 10, 10, [0, 3, 6, 9]),
    ],
)
def test_steps_updates_and_evaluations(
    settings: dict[str, Any], steps: int, updates: int, evaluated_at: list[int]
) -> None:
    for kind in ("naive", "planned"):
        _, history = train_tiny(tiny_config(batch_size=4, **settings), kind=kind)
        assert (history.steps, history.updates, history.examples_seen) == (steps, updates, 4 * steps)
        assert [e.step for e in history.evaluations] == evaluated_at
        assert len(history.epoch_counts) == -(-steps // 10)


def test_an_evaluation_takes_as_many_batches_as_there_are() -> None:
    _, history = train_tiny(tiny_config(batch_size=4, num_epochs=1, eval_iter=99))
    assert [(t.total, v.total) for t, v in history.epoch_counts] == [(40, 12)]


def test_seed_and_order_seed() -> None:
    def losses(**settings: int) -> list[float]:
        return [e.train_loss for e in train_tiny(tiny_config(num_epochs=1, batch_size=4, **settings))[1].evaluations]

    assert losses() == losses()
    assert losses(seed=5) != losses()
    same_start, other_order = losses(order_seed=5), losses(order_seed=123)
    assert other_order == losses() != same_start


def test_what_trains_decays_and_what_is_frozen_does_not() -> None:
    """With readout first, query and key have zero gradients: decay is all that happens to them, biases included."""
    config = tiny_config(trainable_token_pos="first", batch_size=4, num_epochs=1, learning_rate=0.01, weight_decay=0.5)
    messages = make_messages(config)
    execution = make_execution(config, messages, "planned")
    before = {name: value.clone() for name, value in parameters(execution).items()}
    history = train(SPAM, execution, make_loaders(messages, 4), config, Listener())
    decay = (1 - 0.01 * 0.5) ** history.updates
    for part in ("W_query.weight", "W_query.bias", "W_key.weight", "W_key.bias"):
        name = f"trf_blocks.2.att.{part}"
        torch.testing.assert_close(parameters(execution)[name], before[name] * decay)


def test_rows_of_the_embeddings_that_never_occur_decay_as_in_the_naive_run() -> None:
    config = tiny_config(trainable_layers="all", batch_size=4, num_epochs=2, learning_rate=0.01, save_model=True)
    naive, _ = train_tiny(config, kind="naive", dtype=torch.float64)
    planned, history = train_tiny(config, kind="planned", dtype=torch.float64)
    assert planned.model.tok_emb.num_embeddings < naive.model.tok_emb.num_embeddings
    for name in ("tok_emb.weight", "pos_emb.weight"):
        whole = planned.trained_parameters(history.updates)[name]
        torch.testing.assert_close(whole, parameters(naive)[name], rtol=0, atol=1e-9)


def test_float32_losses_agree_over_two_epochs() -> None:
    config = tiny_config(num_epochs=2, batch_size=4)
    histories = [train_tiny(config, kind=kind)[1] for kind in ("naive", "planned")]
    for left, right in zip(histories[0].evaluations, histories[1].evaluations, strict=True):
        assert left.train_loss == pytest.approx(right.train_loss, abs=1e-4)
        assert left.validation_loss == pytest.approx(right.validation_loss, abs=1e-4)


def test_counting_correct_answers() -> None:
    execution = make_execution(tiny_config(), make_messages(tiny_config()), "naive")
    indices = torch.tensor([4, 0, 2])
    right = torch.nn.functional.one_hot(execution.labels("train", indices), 2).float()
    labels = execution.labels("train", indices)
    assert SPAM.correct(right, labels) == Count(3, 3)
    right[1] = right[1].flip(0)
    assert SPAM.correct(right, labels).accuracy == pytest.approx(2 / 3)


def test_the_listener_hears_everything() -> None:
    class Recorder(Listener):
        def __init__(self) -> None:
            self.amount = self.advanced = self.ended = 0
            self.evaluations: list[StepLosses] = []
            self.epochs: list[int] = []

        def work_started(self, what: str, amount: int, unit: str) -> None:
            self.amount = amount

        def work_advanced(self, amount: int) -> None:
            self.advanced += amount

        def work_ended(self) -> None:
            self.ended += 1

        def evaluated(self, losses: StepLosses) -> None:
            self.evaluations.append(losses)

        def epoch_ended(self, epoch: int, train: Count, validation: Count) -> None:
            self.epochs.append(epoch)

    recorder = Recorder()
    _, history = train_tiny(tiny_config(batch_size=4, num_epochs=2), listener=recorder)
    assert (recorder.amount, recorder.advanced, recorder.ended) == (20, 20, 1)
    assert recorder.evaluations == history.evaluations
    assert recorder.epochs == [1, 2]
