"""What people ask of a saved model: answers to messages, at one position or at all, and how good they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from ablation.config.experiment import ExperimentConfig
from ablation.data.inbox import open_messages
from ablation.data.lines import InputLine, always
from ablation.data.message_table import Columns
from ablation.results.task import Task
from ablation.run import answers, positions
from ablation.run.answers import Remarks, Reply, answer_lines
from ablation.run.evaluate import as_json_object, describe_scores, evaluate
from ablation.run.open_classifier import open_classifier, seen_in_training
from ablation.run.trained_classifier import ClassifierError, SavedRun, TrainedClassifier


@dataclass(frozen=True)
class Request:
    """What is asked of a saved run.

    Attributes:
        config: the run's configuration on this machine.
        messages: those of the command line, if there is no file.
        file: of messages, or ``-``.
        columns: what is wanted of it.
        written: the format.
        threshold: see :class:`TrainedClassifier`.
        width: columns of the terminal that the answers go to; None if they go elsewhere.
    """

    saved: SavedRun
    config: ExperimentConfig
    messages: tuple[str, ...]
    file: str | None
    columns: Columns
    written: str = "text"
    threshold: float | None = None
    width: int | None = None

    def open(self) -> AbstractContextManager[tuple[Iterator[InputLine], Callable[[], bool]]]:
        """The messages, and whether the next one is there yet."""
        if self.file is not None:
            return open_messages(self.file, self.columns)
        return nullcontext((iter(InputLine(n, text) for n, text in enumerate(self.messages, start=1)), always))


@contextmanager
def _answered(
    request: Request, task: Task, remarks: Remarks
) -> Iterator[tuple[TrainedClassifier, Iterator[Reply]]]:
    """The classifier, and its replies to the messages, one by one as they are taken."""
    with request.open() as (lines, is_there):  # first: what is wrong with a file is said before a model is loaded
        classifier = open_classifier(request.saved, request.config, request.threshold)
        familiar = seen_in_training(request.saved, request.config, task, classifier.tokenizer)
        yield classifier, remarks.on(answer_lines(classifier, lines, familiar, is_there))


def classify(request: Request, task: Task, remarks: Remarks) -> Iterator[str]:
    """Every message with its answer."""
    write, labels = answers.WRITERS[request.written], request.saved.labels
    with _answered(request, task, remarks) as (_, replies):
        if request.written == "csv":
            yield write({name: name for name in answers.columns_of(labels)}, None)
        for reply in replies:
            if not (reply.line.problem and request.written == "text"):
                yield write(answers.record(reply, labels), request.width)


def show_positions(request: Request, task: Task, remarks: Remarks) -> Iterator[str]:
    """Every message with what the model would say at each of its positions."""
    write, labels = positions.WRITERS[request.written], request.saved.labels
    with _answered(request, task, remarks) as (classifier, replies):
        if request.written == "csv":
            yield answers.as_csv({name: name for name in positions.columns_of(labels)})
        for reply in replies:
            if reply.answer is not None:
                yield write(reply, positions.read_positions(classifier, reply.line.text), labels, request.width)


def evaluation(request: Request, task: Task, remarks: Remarks) -> Iterator[str]:
    """How the answers compare with the labels of the messages.

    Raises:
        ClassifierError: there is none.
    """
    labels = request.saved.labels
    with _answered(request, task, remarks) as (_, replies):
        scores = evaluate(replies, labels)
    if scores is None:
        raise ClassifierError(f"--evaluate {request.file}: no labelled message in it; check the file")
    if request.written == "jsonl":
        lines = [json.dumps(as_json_object(scores), ensure_ascii=False, indent=1)]
    else:
        lines = describe_scores(scores, request.width or positions.PAGE)
    yield "\n".join([*lines, ""])
