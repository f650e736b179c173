"""Recorded steps leave the same parameters as computed ones, to the last bit where both take a batch at once.

A CUDA graph repeats operations on fixed memory, without the Python that chose them. Here a tape does the same with any
device's operations, so that whatever a step would have to decide anew shows up as a difference.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.data.encode import make_loaders
from ablation.execution.features import FeatureOptions
from ablation.execution.planned import PlannedExecution
from ablation.execution.setup import make_setup
from ablation.listener import Listener
from ablation.model.classifier import RandomWeights
from ablation.results.result import History
from ablation.results.task import ClassifierTask
from ablation.run.experiment import feature_stages
from ablation.run.inputs import RunError
from ablation.run.recorded import (
    COMPUTED_FIRST,
    CudaGraphs,
    RecordedUpdater,
    Recorder,
    recording_remarks,
)
from ablation.run.training import Updater, make_optimizer, train
from ablation.tasks.spam import SPAM
from tests.support.cases import CASES, as_parameters, config_of
from tests.support.tape import Tape
from tests.support.tiny import SHAPE, make_execution, make_messages, tiny_config

RECORDED = {name: case for name, case in CASES.items() if case.get("method") != "dylora"}  # whose steps differ in rank
STATIC = {  # all messages are computed at as many positions
    name: case
    for name, case in RECORDED.items()
    if not (case.get("no_padding") or case.get("mask_padding"))
    and (case.get("disable_causal_mask") or case.get("trainable_token_pos") != "flexible")
}


@dataclass
class TapeRecorder:
    """Records tapes. Unlike a graph a tape is run while it is recorded, so that this has to be undone."""

    state: Callable[[], list[Tensor]]
    recordings: int = 0
    replays: int = 0
    computed: int = field(default=0)

    def aside(self) -> AbstractContextManager[object]:
        self.computed += 1
        return nullcontext()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.recordings += 1
        before = [tensor.detach().clone() for tensor in self.state()]
        with Tape() as tape:
            work()
        with torch.no_grad():
            for tensor, value in zip(self.state(), before, strict=True):
                tensor.copy_(value)

        def replay() -> None:
            self.replays += 1
            tape.replay()

        return replay


def train_tiny(config: ExperimentConfig, *, recorded: bool) -> tuple[dict[str, Tensor], History, TapeRecorder | None]:
    messages = make_messages(config)
    execution = make_execution(config, messages, "planned", dtype=torch.float32)
    assert isinstance(execution, PlannedExecution)
    recorder: TapeRecorder | None = None

    def new_updater(
        task: ClassifierTask, execution: PlannedExecution, optimizer: torch.optim.Optimizer, config: ExperimentConfig
    ) -> RecordedUpdater:
        def new_recorder() -> Recorder:
            nonlocal recorder
            moments = optimizer.state.values
            recorder = TapeRecorder(
                lambda: [*execution.trainable_parameters(), *(t for state in moments() for t in state.values())]
            )
            return recorder

        return RecordedUpdater(task, execution, optimizer, config, new_recorder)

    loaders = make_loaders(messages, config.batch_size)
    history = train(SPAM, execution, loaders, config, Listener(), make_optimizer, new_updater if recorded else Updater)
    return {name: p.detach() for name, p in execution.model.named_parameters() if p.requires_grad}, history, recorder


@pytest.mark.parametrize("case", STATIC.values(), ids=STATIC.keys())
def test_recorded_steps_leave_the_same_parameters(case: dict[str, Any]) -> None:
    config = config_of({**case, "num_epochs": 2, "learning_rate": 1e-3})
    expected, expected_history, _ = train_tiny(config, recorded=False)
    found, history, recorder = train_tiny(config, recorded=True)
    assert recorder is not None
    assert recorder.replays >= 1
    assert recorder.computed + recorder.replays == history.updates
    assert history == expected_history
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_a_shape_is_computed_first_recorded_once_and_replayed_from_then_on() -> None:
    _, history, recorder = train_tiny(tiny_config(batch_size=4, num_epochs=3), recorded=True)
    assert recorder is not None
    assert (recorder.computed, recorder.recordings) == (COMPUTED_FIRST, 1)
    assert recorder.replays == history.updates - COMPUTED_FIRST


def test_a_shorter_last_group_of_an_epoch_has_a_recording_of_its_own() -> None:
    """Ten batches in groups of four: every epoch ends with a group of two."""
    config = tiny_config(batch_size=4, num_epochs=5, accumulation_steps=4)
    _, history, recorder = train_tiny(config, recorded=True)
    assert recorder is not None
    assert history.updates == 15
    assert (recorder.computed, recorder.recordings, recorder.replays) == (2 * COMPUTED_FIRST, 2, 9)


@pytest.mark.parametrize(
    "settings", [{"trainable_token_pos": "flexible"}, {"no_padding": True, "batch_size": 1}], ids=["read", "width"]
)
def test_messages_of_different_lengths_are_computed_at_every_step(settings: dict[str, Any]) -> None:
    config = tiny_config(**{"batch_size": 4, "num_epochs": 1, **settings})
    expected, _, _ = train_tiny(config, recorded=False)
    found, _, recorder = train_tiny(config, recorded=True)
    assert recorder is None
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("case", as_parameters(RECORDED))
def test_a_flag_that_records_nothing_is_warned_of(case: dict[str, Any]) -> None:
    config = config_of({**case, "execution": "recorded"})
    execution = make_execution(config, make_messages(config), "planned")
    assert isinstance(execution, PlannedExecution)
    assert bool(recording_remarks(config)) is not execution.has_one_length("train")


def test_dyloras_steps_are_not_recorded() -> None:
    """A recording would repeat one step's rank."""
    with pytest.raises(ConfigError, match=r"--execution recorded: DyLoRA's steps differ in rank; .*give planned"):
        tiny_config(method="dylora", execution="recorded")


def test_the_tape_repeats_operations_and_not_decisions() -> None:
    """Or the tests above could not fail: what Python chose while recording stays chosen."""
    chosen, place, out = [2.0], torch.tensor([1.0]), torch.zeros(1)

    def work() -> None:
        out.copy_(place * chosen[0])

    replay = TapeRecorder(lambda: [out]).record(work)
    assert out == 0  # recording does not count as doing
    chosen[0] = 5.0
    place.fill_(3.0)
    replay()
    assert out == 6  # from the new value in place, by the old choice


class FakeGraph:
    """In place of ``torch.cuda.graph``: leaving a recording whose work has failed fails with words of its own."""

    def __init__(self, graph: object, stream: object) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type | None, *rest: object) -> None:
        if kind is not None:
            raise RuntimeError("operation failed due to a previous error during capture")


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (RuntimeError("a copy from the host\nand more"), RunError, r"recorded \(a copy from the host\); give"),
        (torch.OutOfMemoryError("2 GB are not there"), torch.OutOfMemoryError, "2 GB are not there"),
    ],
    ids=["operation", "memory"],
)
def test_a_failed_recording_says_what_failed_first(
    raised: Exception, expected: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", FakeGraph)

    def work() -> None:
        raise raised

    with pytest.raises(expected, match=words):
        CudaGraphs().record(work)


ON_CUDA: dict[str, dict[str, Any]] = {
    **STATIC,
    "bf16": {"precision": "bf16"},
    "two recordings": {"accumulation_steps": 4, "num_epochs": 5},
}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("case", ON_CUDA.values(), ids=ON_CUDA.keys())
def test_cuda_graphs_leave_the_same_parameters(case: dict[str, Any]) -> None:
    """Needs a CUDA device: ``python -m pytest -m gpu``."""
    config = config_of({"num_epochs": 2, "learning_rate": 1e-3, **case})
    trained = []
    for new_updater in (Updater, RecordedUpdater):
        messages = make_messages(config)
        setup = make_setup(config, RandomWeights(SHAPE, config.seed), messages, torch.device("cuda"))
        execution = PlannedExecution(setup, FeatureOptions(feature_stages(messages, config), memory=10**9))
        execution.prepare(0, Listener())
        loaders = make_loaders(messages, config.batch_size)
        history = train(SPAM, execution, loaders, config, Listener(), new_updater=new_updater)
        parameters = {name: p.detach().cpu() for name, p in execution.model.named_parameters() if p.requires_grad}
        trained.append((parameters, history))
    for left, right in zip(trained[0][1].evaluations, trained[1][1].evaluations, strict=True):
        assert left.train_loss == pytest.approx(right.train_loss, abs=1e-5)
    for name, value in trained[0][0].items():
        if "W_key.bias" not in name:  # its gradient is rounding noise, which AdamW brings to size
            torch.testing.assert_close(trained[1][0][name], value, rtol=0, atol=1e-5)
