"""How good a classifier is on labelled messages: which labels it takes for which, and where it is most wrong."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablation.run.answers import Reply, printable, shortened
from ablation.words import plural

WORST = 10  # mistakes shown


@dataclass(frozen=True)
class Mistake:
    """A message with a wrong answer; ``probability`` is that of the wrong label."""

    line: int
    label: str
    answered: str
    probability: float
    text: str


@dataclass(frozen=True)
class OfLabel:
    """Figures of one label; None where they would be a share of nothing.

    Attributes:
        messages: that have it.
        precision: share of the messages answered with it that have it.
        recall: share of the messages with it that are answered so.
        f1: harmonic mean of the two.
    """

    messages: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Scores:
    """What an evaluation found.

    Attributes:
        messages: answered ones; those with a problem are not among them.
        correct: how many of them are right.
        confusion: how many messages with each label (first key) were answered with each (second key).
        per_label: in the model's order.
        roc_area: probability that a message of the second label has the higher logit difference than one of the first;
            of more labels the mean over each against the others. None if messages of a label are lacking.
        worst: the mistakes that the model was surest of.
    """

    messages: int
    correct: int
    confusion: dict[str, dict[str, int]]
    per_label: dict[str, OfLabel]
    roc_area: float | None
    worst: list[Mistake]

    @property
    def accuracy(self) -> float:
        return self.correct / self.messages


class Tally:
    """Answers compared with the labels that their lines have, reply by reply; of the messages it keeps only those of
    the worst mistakes."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._truth: list[int] = []
        self._answered: list[int] = []
        self._scores: list[Sequence[float]] = []
        self._worst: list[tuple[float, int, Mistake]] = []

    def add(self, reply: Reply) -> None:
        """Count a reply; one without an answer does not count."""
        line, answer, labels = reply.line, reply.answer, self._labels
        if answer is None:
            return
        self._truth.append(labels.index(line.label))
        self._answered.append(labels.index(answer.label))
        # Of two labels the difference of the logits: probabilities near 1 are equal long before it is.
        self._scores.append([answer.logits[1] - answer.logits[0]] if len(labels) == 2 else answer.probabilities)
        if answer.label != line.label:
            mistake = Mistake(line.number, line.label, answer.label, answer.probability, line.text)
            (heapq.heappush if len(self._worst) < WORST else heapq.heappushpop)(
                self._worst, (answer.probability, -line.number, mistake)
            )

    def scores(self) -> Scores | None:
        """None if there is no answer."""
        if not self._truth:
            return None
        mistakes = [mistake for *_, mistake in sorted(self._worst, key=lambda one: one[:2], reverse=True)]
        truth, answered = np.array(self._truth), np.array(self._answered)
        return _scores(truth, answered, np.array(self._scores), self._labels, mistakes)


def evaluate(replies: Iterable[Reply], labels: Sequence[str]) -> Scores | None:
    """Compare answers with the labels that their lines have; None if there is no answer."""
    tally = Tally(labels)
    for reply in replies:
        tally.add(reply)
    return tally.scores()


def _scores(
    truth: NDArray[np.int64],
    answered: NDArray[np.int64],
    scores: NDArray[np.float64],
    labels: Sequence[str],
    worst: list[Mistake],
) -> Scores:
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

    numbers = list(range(len(labels)))
    confusion = confusion_matrix(truth, answered, labels=numbers).tolist()
    figures = precision_recall_fscore_support(truth, answered, labels=numbers, zero_division=np.nan)
    per_label = {
        label: OfLabel(int(count), *(None if math.isnan(value) else float(value) for value in values))
        for label, *values, count in zip(labels, *figures, strict=True)
    }
    area = None
    if len(set(truth.tolist())) == len(labels):
        chosen = scores[:, 0] if len(labels) == 2 else scores
        area = float(roc_auc_score(truth, chosen, multi_class="ovr", labels=numbers))
    return Scores(
        messages=len(truth),
        correct=int((truth == answered).sum()),
        confusion={label: dict(zip(labels, row, strict=True)) for label, row in zip(labels, confusion, strict=True)},
        per_label=per_label,
        roc_area=area,
        worst=worst,
    )


# ---- shown ----------------------------------------------------------------------------------------------------------


def as_json_object(scores: Scores) -> dict[str, Any]:
    return {"accuracy": scores.accuracy, **asdict(scores)}


def describe_scores(scores: Scores, width: int) -> list[str]:
    """Lines for a person, none wider than ``width``, but where a label is very long."""
    labels = list(scores.per_label)
    first = max(5, *map(len, labels))
    lines = [f"{plural(scores.messages, 'message')}, {scores.correct:,} right: {scores.accuracy:.2%}", ""]
    lines += _describe_confusion(scores.confusion, width)
    lines += ["", f"{'':{first}}" + "".join(f"{name:>11}" for name in ("messages", "precision", "recall", "F1"))]
    for label, one in scores.per_label.items():
        shares = "".join(f"{'none' if share is None else f'{share:.2%}':>11}" for share in (one.precision, one.recall))
        f1 = "none" if one.f1 is None else f"{one.f1:.4f}"
        lines.append(f"{label:{first}}{one.messages:>11,}{shares}{f1:>11}")
    area = "none: it needs messages of every label" if scores.roc_area is None else f"{scores.roc_area:.4f}"
    against = f"{labels[1]} against {labels[0]}" if len(labels) == 2 else "mean of each label against the others"
    return [*lines, "", f"ROC area ({against}): {area}", "", *_describe_mistakes(scores, first, width)]


def _describe_confusion(confusion: Mapping[str, Mapping[str, int]], width: int) -> list[str]:
    """A line for each label, a column for each answer; labels too long to stand side by side have numbers there."""
    rows, columns = list(confusion), list(confusion)
    cell, answered = max(9, *(len(label) + 2 for label in columns)), "   <- answered"
    if max(map(len, rows)) + cell * len(columns) + len(answered) > width:
        columns = [str(number) for number in range(1, len(rows) + 1)]
        rows = [f"{number} {label}" for number, label in zip(columns, rows, strict=True)]
        cell = 2 + max(len(f"{count:,}") for row in confusion.values() for count in row.values())
    first = max(5, *map(len, rows))
    lines = [f"{'':{first}}" + "".join(f"{column:>{cell}}" for column in columns) + answered]
    for row, counts in zip(rows, confusion.values(), strict=True):
        lines.append(f"{row:{first}}" + "".join(f"{count:>{cell},}" for count in counts.values()))
    return lines


def _describe_mistakes(scores: Scores, first: int, width: int) -> list[str]:
    wrong = scores.messages - scores.correct
    if not wrong:
        return ["no mistakes"]
    lines = [f"{len(scores.worst)} of {plural(wrong, 'mistake')}, the surest first:"]
    lines.append(f"{'line':>6}  {'is':{first}}  {'answer':{max(first, 6)}}  {'probability':>11}  message")
    for one in scores.worst:
        start = f"{one.line:>6}  {one.label:{first}}  {one.answered:{max(first, 6)}}  {one.probability:>11.4%}  "
        lines.append(start + shortened(printable(one.text[: width + 1]), max(width - len(start), 20)))
    return lines
