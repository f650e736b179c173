"""What people ask of saved models: answers to messages, at one position or at all, and how good they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from ablation.config.experiment import ExperimentConfig
from ablation.data.inbox import open_messages
from ablation.data.lines import InputLine, always
from ablation.data.message_table import Columns
from ablation.results.task import ClassifierTask
from ablation.run import answers, compare_models, positions
from ablation.run.answers import Remarks, Reply, answer_lines
from ablation.run.evaluate import Scores, Tally, as_json_object, describe_scores
from ablation.run.open_classifier import Bases, open_classifier, seen_in_training
from ablation.run.trained_classifier import ClassifierError, SavedRun, TrainedClassifier


@dataclass(frozen=True)
class Request:
    """What is asked of saved runs.

    Attributes:
        runs: one or several, of the same labels.
        configs: each run's configuration on this machine.
        messages: those of the command line, if there is no file.
        file: of messages, or ``-``.
        columns: what is wanted of it.
        written: the format.
        threshold: see :class:`TrainedClassifier`.
        width: columns of the terminal that the answers go to; None if they go elsewhere.
    """

    runs: tuple[SavedRun, ...]
    configs: tuple[ExperimentConfig, ...]
    messages: tuple[str, ...]
    file: str | None
    columns: Columns
    written: str = "text"
    threshold: float | None = None
    width: int | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return self.runs[0].labels

    @property
    def compares(self) -> bool:
        """Whether several models are asked."""
        return len(self.runs) > 1

    def open(self) -> AbstractContextManager[tuple[Iterator[InputLine], Callable[[], bool]]]:
        """The messages, and whether the next one is there yet."""
        if self.file is not None:
            return open_messages(self.file, self.columns)
        return nullcontext((iter(InputLine(n, text) for n, text in enumerate(self.messages, start=1)), always))


@contextmanager
def _answered(
    request: Request, task: ClassifierTask, remarks: Remarks
) -> Iterator[tuple[list[TrainedClassifier], Iterator[tuple[Reply, ...]]]]:
    """The classifiers, and their replies to the messages, one message after the other as they are taken."""
    with request.open() as (lines, is_there):  # first: what is wrong with a file is said before a model is loaded
        bases, models = Bases(), []
        for saved, config in zip(request.runs, request.configs, strict=True):
            classifier = open_classifier(saved, config, request.threshold, bases)
            models.append((classifier, seen_in_training(saved, config, task, classifier.tokenizer)))
        yield [classifier for classifier, _ in models], remarks.on(answer_lines(models, lines, is_there))


def classify(request: Request, task: ClassifierTask, remarks: Remarks) -> Iterator[str]:
    """Every message with its answer, or with that of each model."""
    compared, labels = compare_models.WRITERS[request.written], request.labels
    write = answers.WRITERS[request.written]
    with _answered(request, task, remarks) as (_, answered):
        if request.written == "csv":
            columns = compare_models.columns_of(labels) if request.compares else answers.columns_of(labels)
            yield write({name: name for name in columns}, None)
        for replies in answered:
            if request.compares:
                yield compared(replies, request.runs, request.width)
            elif not (replies[0].line.problem and request.written == "text"):
                yield write(answers.record(replies[0], labels), request.width)


def show_positions(request: Request, task: ClassifierTask, remarks: Remarks) -> Iterator[str]:
    """Every message with what the one model would say at each of its positions."""
    write, labels = positions.WRITERS[request.written], request.labels
    with _answered(request, task, remarks) as ((classifier,), answered):
        if request.written == "csv":
            yield answers.as_csv({name: name for name in positions.columns_of(labels)})
        for (reply,) in answered:
            if reply.answer is not None:
                yield write(reply, positions.read_positions(classifier, reply.line.text), labels, request.width)


def evaluation(request: Request, task: ClassifierTask, remarks: Remarks) -> Iterator[str]:
    """How the answers compare with the labels of the messages.

    Raises:
        ClassifierError: there is none.
    """
    tallies = [Tally(request.labels) for _ in request.runs]
    with _answered(request, task, remarks) as (_, answered):
        for replies in answered:
            for tally, reply in zip(tallies, replies, strict=True):
                tally.add(reply)
    scores = [found for tally in tallies if (found := tally.scores()) is not None]
    if len(scores) < len(tallies):
        raise ClassifierError(f"--evaluate {request.file}: no labelled message in it; check the file")
    yield "\n".join([*_shown(request, scores), ""])


def _shown(request: Request, scores: list[Scores]) -> list[str]:
    """Of one model all that there is to say; of several the figures side by side."""
    as_json = request.written == "jsonl"
    if request.compares and as_json:
        return [compare_models.scores_as_json(scores, request.runs)]
    if request.compares:
        return compare_models.describe_scores(scores, request.runs)
    if as_json:
        return [json.dumps(as_json_object(scores[0]), ensure_ascii=False, indent=1)]
    return describe_scores(scores[0], request.width or positions.PAGE)
