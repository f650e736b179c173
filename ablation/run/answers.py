"""Answers to messages as they come, and as records: for a person, a spreadsheet, a program."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ablation.data.labels import LABELS
from ablation.data.lines import InputLine, always, groups
from ablation.data.message import MessageError
from ablation.words import plural

if TYPE_CHECKING:
    from ablation.run.trained_classifier import Answer, TrainedClassifier
    from ablation.run.unfamiliar import Familiar

AT_A_TIME = 512  # messages in memory; enough for batches of similar length
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is run, not shown
WARNINGS_TOLD = 5
SHOWN = 200  # characters of a message where no terminal says how many


@dataclass(frozen=True)
class Reply:
    """A message with its answer, or with the problem that it has in place of one.

    Attributes:
        warning: why the answer may mean little; empty if there is nothing to say.
    """

    line: InputLine
    answer: Answer | None
    warning: str = ""


def answer_lines(
    models: Sequence[tuple[TrainedClassifier, Familiar]],
    lines: Iterator[InputLine],
    is_there: Callable[[], bool] = always,
) -> Iterator[tuple[Reply, ...]]:
    """Each line with every model's reply to it, in order; lines are read once, whoever answers.

    Args:
        models: each with what it saw in training.
        is_there: whether the next line can be had at once; where not, those before it are answered.
    """
    for group in groups(lines, AT_A_TIME, is_there=is_there):
        yield from zip(*(_replies(classifier, familiar, group) for classifier, familiar in models), strict=True)


def _replies(classifier: TrainedClassifier, familiar: Familiar, group: Sequence[InputLine]) -> Iterator[Reply]:
    """One model's reply to each of a few lines, answered together."""
    checked, tokens = [], []
    for line in group:
        problem = line.problem
        try:
            if not problem:
                tokens.append(classifier.tokens_of(line.text))
        except MessageError as error:
            problem = str(error)
        checked.append(InputLine(line.number, line.text, problem, line.label))
    answers = iter(classifier.answer(tokens))
    for line in checked:
        answer = None if line.problem else next(answers)
        yield Reply(line, answer, "" if answer is None else familiar.warning(line.text, answer.tokens))


class Remarks:
    """What there is to say of messages besides their answers; ``problems`` counts those without one.

    Args:
        tell: where a line of it goes.
        advance: called at each message.
    """

    def __init__(self, tell: Callable[[str], None], advance: Callable[[], object]) -> None:
        self._tell, self._advance = tell, advance
        self.problems = self.warnings = 0

    def on(self, answered: Iterator[tuple[Reply, ...]]) -> Iterator[tuple[Reply, ...]]:
        """The same replies, those to each line remarked on before they are handed on; of many warnings only the first
        few. What several models have to say alike is said once."""
        for replies in answered:
            number = replies[0].line.number
            problems = dict.fromkeys(reply.line.problem for reply in replies if reply.line.problem)
            warnings = dict.fromkeys(reply.warning for reply in replies if reply.warning)
            if problems:
                self.problems += 1
                for problem in problems:
                    self._tell(f"line {number}: {problem}")
            elif warnings:
                self.warnings += 1
                for warning in warnings if self.warnings <= WARNINGS_TOLD else ():
                    self._tell(f"warning: line {number}: {warning}")
            self._advance()
            yield replies
        if (more := self.warnings - WARNINGS_TOLD) > 0:
            self._tell(f"warning: {plural(more, 'more message')} of a kind that the model never saw")


# ---- records --------------------------------------------------------------------------------------------------------


def probability_columns(labels: Sequence[str]) -> dict[str, int]:
    """Name of each column of probabilities, and which label's it is: of the published labels spam's says all."""
    if tuple(labels) == tuple(LABELS):
        return {"spam_probability": LABELS["spam"]}
    return {f"probability_{label}": index for index, label in enumerate(labels)}


def columns_of(labels: Sequence[str]) -> tuple[str, ...]:
    """The names of a record's fields."""
    own = probability_columns(labels)
    return ("line", "label", "probability", *own, "tokens", "tokens_read", "cut", "warning", "problem", "text")


def record(reply: Reply, labels: Sequence[str]) -> dict[str, Any]:
    """One message's answer, or its problem, by the names of :func:`columns_of`."""
    line, answer = reply.line, reply.answer
    if answer is None:
        known = {"line": line.number, "problem": line.problem, "text": line.text}
        return {**dict.fromkeys(columns_of(labels)), **known}
    return {
        "line": line.number,
        "label": answer.label,
        "probability": answer.probability,
        **{name: answer.probabilities[index] for name, index in probability_columns(labels).items()},
        "tokens": answer.tokens,
        "tokens_read": answer.read,
        "cut": answer.cut,
        "warning": reply.warning or None,
        "problem": None,
        "text": line.text,
    }


# ---- formats --------------------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """Control characters are shown, not sent to the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shortened(text: str, columns: int) -> str:
    """As much of a text as stands in so many columns of a terminal, at least three; East Asian characters take two."""
    ends = list(accumulate(2 if unicodedata.east_asian_width(character) in "FW" else 1 for character in text))
    if not ends or ends[-1] <= columns:
        return text
    return text[: bisect_right(ends, columns - 3)] + "..."


def as_text(fields: Mapping[str, Any], width: int | None = None) -> str:
    """A line for a person, no wider than ``width`` where that is given."""
    if fields["problem"]:
        return f"line {fields['line']}: {fields['problem']}\n"
    name = "spam_probability" if "spam_probability" in fields else "probability"
    read = f"cut to {fields['tokens_read']} of {fields['tokens']}" if fields["cut"] else f"{fields['tokens']}"
    noun = "token" if read == "1" else "tokens"
    answer = f"{fields['label']:4}  {name} {fields[name]:8.4%}  {f'({read} {noun})':11}  "
    room = SHOWN if width is None else max(width - len(answer), 20)
    return answer + shortened(printable(fields["text"][: SHOWN + 1]), room) + "\n"


def as_csv(fields: Mapping[str, Any], width: int | None = None) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(map(as_cell, fields.values()))  # so both are quoted in cells
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def as_cell(value: Any) -> Any:
    """A text that a spreadsheet would run stands behind an apostrophe, which makes it text there."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def as_json_line(fields: Mapping[str, Any], width: int | None = None) -> str:
    return json.dumps(fields, ensure_ascii=False) + "\n"


# format -> (a record, columns of the terminal or None) -> what is written of it
WRITERS: dict[str, Callable[[Mapping[str, Any], int | None], str]] = {
    "text": as_text, "csv": as_csv, "jsonl": as_json_line,
}  # fmt: skip
