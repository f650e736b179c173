"""Training steps recorded once as a CUDA graph and replayed: where a step is many small kernels, launching them one by
one from Python takes longer than they do.

A replay runs the same kernels on the same memory. So whatever differs between steps (which messages, which labels) is
copied to where the recorded step reads it; features, parameters, gradients and moments stay where they are. Only steps
of the same shapes can share a recording: where messages are seen at different lengths, every step is computed anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ablation.config.experiment import ExperimentConfig
from ablation.execution.plan import make_plan
from ablation.execution.planned import PlannedExecution
from ablation.results.task import ClassifierTask
from ablation.run.inputs import RunError
from ablation.run.training import Updater, backward

COMPUTED_FIRST = 3  # steps of a shape before it is recorded: what libraries set up at first use is no part of a step


def recording_remarks(config: ExperimentConfig) -> list[str]:
    """One line if ``--execution recorded`` records nothing: only steps of equal shapes share a recording."""
    if config.execution != "recorded" or make_plan(config).one_length:
        return []
    return ["--execution recorded has no effect where messages are seen at different lengths: as planned"]


class Recorder(Protocol):
    """Runs steps, and records them."""

    def aside(self) -> AbstractContextManager[object]:
        """Where steps run that come before a recording."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Note what ``work`` does, without doing it; the returned function does it.

        Raises:
            RunError: it cannot be recorded.
        """


class CudaGraphs:
    """Records CUDA graphs, on a stream beside the current one as CUDA demands."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            yield
        torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        cause: BaseException | None = None  # what ends a recording fails, too, if the work has, and says less
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                try:
                    work()
                except RuntimeError as error:
                    cause = error
                    raise
        except RuntimeError as error:
            cause = cause or error
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            reason = str(cause).partition("\n")[0]
            raise RunError(f"a training step cannot be recorded ({reason}); give --execution planned") from cause
        return graph.replay


@dataclass(frozen=True)
class _Recorded:
    """A recorded step.

    Attributes:
        places: where it reads what differs between steps.
        losses: the one vector that it writes its batches' losses to.
    """

    places: dict[str, Tensor]
    replay: Callable[[], None]
    losses: list[Tensor]


class RecordedUpdater(Updater):
    """What :class:`Updater` does, from recordings as far as shapes allow; up to rounding where the planned execution
    would cut the batches between two updates into several.

    Args:
        optimizer: one that works wholly on the device.
        new_recorder: what records.
    """

    def __init__(
        self,
        task: ClassifierTask,
        execution: PlannedExecution,
        optimizer: torch.optim.Optimizer,
        config: ExperimentConfig,
        new_recorder: Callable[[], Recorder] = CudaGraphs,
    ) -> None:
        super().__init__(task, execution, optimizer, config)
        self._planned = execution
        self._recorder = new_recorder() if execution.has_one_length("train") else None
        self._computed: Counter[int] = Counter()  # per number of messages, how many steps
        self._recorded: dict[int, _Recorded] = {}

    def __call__(self, batches: list[Tensor]) -> list[Tensor]:
        if self._recorder is None:
            return super().__call__(batches)
        indices = torch.cat(batches)
        inputs = {**self._planned.inputs("train", indices), "labels": self._planned.labels("train", indices)}
        count = len(indices)
        if self._computed[count] < COMPUTED_FIRST:
            self._computed[count] += 1
            with self._recorder.aside():
                return [self._compute(inputs)]
        if count not in self._recorded:
            self._recorded[count] = self._record(self._recorder, inputs)
        step = self._recorded[count]
        for name, place in step.places.items():
            place.copy_(inputs[name])
        step.replay()
        return [step.losses[0].clone()]  # the next replay writes its own there

    def _record(self, recorder: Recorder, inputs: dict[str, Tensor]) -> _Recorded:
        places, losses = {name: value.clone() for name, value in inputs.items()}, list[Tensor]()
        with self._capturable():
            return _Recorded(places, recorder.record(lambda: losses.append(self._compute(places))), losses)

    @contextmanager
    def _capturable(self) -> Iterator[None]:
        """The optimizer asks to be told that it is recorded, and only then. (The fused one computes the same.)"""
        for group in self._optimizer.param_groups:
            group["capturable"] = True
        yield
        for group in self._optimizer.param_groups:
            group["capturable"] = False

    def _compute(self, inputs: dict[str, Tensor]) -> Tensor:
        size = self._config.batch_size
        logits, labels = self._planned.suffix(inputs).split(size), inputs["labels"].split(size)
        losses = backward(self._task, logits, labels, self._config)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return losses
