"""Files with one sentence a line, and what is wrong with them, line by line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ablation.data.labels import DataError
from ablation.data.lines import read_lines
from ablation.data.message import MessageError, check_message
from ablation.words import plural


@dataclass
class SentenceFile:
    """What a UTF-8 file has: sentences without blanks around them, numbers of empty lines, and what is wrong."""

    path: Path
    sentences: list[str] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_sentence_file(path: Path, remedy: str) -> SentenceFile:
    """All lines of a file; raises nothing.

    Args:
        remedy: what to do where it cannot be read or has no sentence.
    """
    found = SentenceFile(path)
    try:
        with path.open("rb") as file:
            for line in read_lines(file):
                sentence = line.text.strip()
                if line.problem:
                    found.problems.append(f"{path}, line {line.number}: {line.problem}; mend the line")
                elif not sentence:
                    found.empty.append(line.number)
                else:
                    _take(found, line.number, sentence)
    except OSError as error:
        found.problems.append(f"{path}: {error.strerror or error}; {remedy}")
    if not found.sentences and not found.problems:
        found.problems.append(f"{path}: no sentence in it; {remedy}")
    return found


def _take(found: SentenceFile, number: int, sentence: str) -> None:
    try:
        check_message(sentence)
    except MessageError as error:
        found.problems.append(f"{found.path}, line {number}: {error}; mend the line")
    else:
        found.sentences.append(sentence)


def read_sentences(path: Path, remedy: str) -> tuple[str, ...]:
    """The sentences of a file; empty lines are none.

    Raises:
        DataError: the file cannot be read, has no sentence, or a line that is none; see :func:`read_sentence_file`.
    """
    found = read_sentence_file(path, remedy)
    if found.problems:
        raise DataError(found.problems[0])
    return tuple(found.sentences)


def read_every_line(paths: dict[str, Path], remedy: str) -> dict[str, tuple[str, ...]]:
    """Files in which sentence n is line n, so that no line may be empty.

    Raises:
        DataError: naming the first fault of each file, and how many more lines have one.
    """
    found = {name: read_sentence_file(path, remedy) for name, path in paths.items()}
    if faults := [fault for file in found.values() if (fault := _first_fault(file))]:
        raise DataError("; ".join(faults))
    return {name: tuple(file.sentences) for name, file in found.items()}


def _first_fault(file: SentenceFile) -> str:
    empty = [f"{file.path}, line {number} is empty; remove the line" for number in file.empty]
    first, *more = [*file.problems, *empty] or [""]
    return first + (f" ({plural(len(more), 'more line')} to mend)" if more else "")
