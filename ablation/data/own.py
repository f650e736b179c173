"""Own data: labelled messages of the user in one file that is split here, or in three.

A file is read strictly: whatever would make an example another than its author meant is refused, with its line. Tabs
or commas (or semicolons) are told apart by the name and the first line; see :func:`read_file`. This module does
without torch, as :mod:`ablation.data.spam` does.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ablation.config.own_data import OwnDataSettings, joined_labels
from ablation.data.labels import DataError
from ablation.data.message import MessageError, check_message
from ablation.data.spam import SPLITS, data_digest
from ablation.words import plural

LABEL, TEXT = "label", "text"  # columns of a header, in whatever case, unless others are named
TRAIN_TENTHS, VALIDATION_TENTHS = 7, 1  # of each label; whole numbers, because 0.7 × 90 is 62.99…
FEWEST_OF_A_LABEL = 10  # so that each split has some of it
LONGEST_LABEL = 60  # characters; what is longer is a message in the wrong column
Example = tuple[int, str, str]  # (line, label, text)


@dataclass(frozen=True)
class OwnExamples:
    """Own data, ready to use.

    Attributes:
        splits: per split, columns ``Label`` (number of the class) and ``Text``.
        labels: names of the classes, in the order of their numbers.
    """

    splits: dict[str, pd.DataFrame]
    labels: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of which messages, labels and order, as of published data, and what the classes are called."""
        content = {"labels": self.labels, "splits": data_digest(self.splits)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def describe(self, settings: OwnDataSettings) -> str:
        """Where they are from, how many there are, and what the classes are called, in one line."""
        files = ", ".join(map(str, _files(settings).values()))
        sizes = " / ".join(f"{len(split):,}" for split in self.splits.values())
        return f"{files}; {sizes} to train on, to choose by, to test on; labels {', '.join(self.labels)}"


def load_own_examples(settings: OwnDataSettings) -> OwnExamples:
    """Read, check and split what the settings name.

    One file is cut 70/10/20 % within each label, after a shuffle by ``split_seed``, so that each split has each label's
    share; classes are not balanced. Three files are taken as they are.

    Raises:
        DataError: a file cannot be read, or a line, a label or a count is not fit to learn from.
    """
    files = _files(settings)
    found = {name: read_file(path, settings.label_column, settings.text_column) for name, path in files.items()}
    labels = _class_names(settings, files, found)
    frames = {name: _frame(examples, labels) for name, examples in found.items()}
    splits = frames if settings.data_file is None else _split(frames["data"], settings.split_seed)
    return OwnExamples(splits, labels)


def _files(settings: OwnDataSettings) -> dict[str, Path]:
    if settings.data_file is not None:
        return {"data": Path(settings.data_file)}
    names = (settings.train_file, settings.validation_file, settings.test_file)
    return {split: Path(str(name)) for split, name in zip(SPLITS, names, strict=True)}


# ---- one file --------------------------------------------------------------------------------------------------------


def read_file(path: Path, label_column: str | None = None, text_column: str | None = None) -> list[Example]:
    """The examples of a file, each with the line that it begins in.

    Values are separated by tabs in a ``.tsv``, by commas (or semicolons, if the first line has no comma) in a
    ``.csv``, in other files by the first of tab, comma and semicolon that the first line has. Between tabs a quotation
    mark is a character like others, so a line is an example; otherwise a value with a separator, a quotation mark or a
    line break stands in quotation marks (RFC 4180). The first line is a header if columns are named, or if it has the
    columns ``label`` and ``text``; a file without one has label and text, in this order. Blank lines are passed over.

    Raises:
        DataError: naming the file, the line and the way out.
    """
    rows = _rows(path)
    first_line, first = next(rows, (1, []))
    if not first:
        raise DataError(f"{path}: has no line; give a file with a label and a text in each")
    named = label_column is not None or text_column is not None
    columns = [cell.strip() for cell in first]
    if named or {LABEL, TEXT} <= {column.casefold() for column in columns}:
        label_at = _find_column(path, columns, label_column, LABEL)
        text_at = _find_column(path, columns, text_column, TEXT)
        examples = []
    elif len(first) == 2:
        label_at, text_at = 0, 1
        examples = [_example(path, first_line, first, label_at, text_at)]
    else:
        raise DataError(
            f"{path}, line {first_line}: {plural(len(first), 'column')} ({_shown(columns)}), and no header with {LABEL}"
            f" and {TEXT}; name the columns with --label_column and --text_column, or give two: label, text"
        )
    for line, row in rows:
        if len(row) != len(first):
            raise DataError(f"{path}, line {line}: {plural(len(row), 'column')}, the first line has {len(first)};"
                            " put a text with separators in quotation marks, in a .csv")  # fmt: skip
        examples.append(_example(path, line, row, label_at, text_at))
    return examples


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The values of each line that has some, with its number; of several lines that are one example, the first's."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None
    separator = _separator(path, text.lstrip().partition("\n")[0])
    lines = io.StringIO(text, newline="")
    if separator == "\t":
        reader = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE, strict=True)
    else:
        reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path}, line {line}: {error}; check its quotation marks, and double those in a text")\
                from None  # fmt: skip
        if row is None:
            return
        if len(row) > 1 or "".join(row).strip():
            yield line, row


def _separator(path: Path, first_line: str) -> str:
    if path.suffix.casefold() == ".tsv":
        return "\t"
    usual = ",;\t" if path.suffix.casefold() == ".csv" else "\t,;"
    found = next((separator for separator in usual if separator in first_line), None)
    if found is None:
        raise DataError(f"{path}, line 1: has one column; separate label and text by a comma, or by a tab in a .tsv")
    return found


def _find_column(path: Path, columns: list[str], wanted: str | None, usual: str) -> int:
    """Where a column stands: by its name as given, or by the usual one in whatever case."""
    names = [column.casefold() for column in columns] if wanted is None else columns
    name, there = wanted or usual, names.count(wanted or usual)
    if there != 1:
        what = f"no column {name!r}" if there == 0 else f"column {name!r} stands {there} times"
        raise DataError(f"{path}, line 1: {what}; it has {_shown(columns)}; name one with --{usual}_column")
    return names.index(name)


def _shown(columns: list[str]) -> str:
    shown = ", ".join(column[:30] for column in columns[:12])
    return shown + (", ..." if len(columns) > 12 else "")


def _example(path: Path, line: int, row: list[str], label_at: int, text_at: int) -> Example:
    label, text = row[label_at].strip(), row[text_at].replace("\r\n", "\n")  # as classify.py reads it, too
    problem = ""
    if not label:
        problem = "the label is empty"
    elif len(label) > LONGEST_LABEL or not label.isprintable():
        problem = f"{label[:20]!r}... is no label: {LONGEST_LABEL} printable characters at most"
    try:
        check_message(text)
    except MessageError as error:
        problem = problem or str(error)
    if problem:
        raise DataError(f"{path}, line {line}: {problem}; mend the line or take it out")
    return line, label, text


# ---- classes and splits ----------------------------------------------------------------------------------------------


def _class_names(settings: OwnDataSettings, files: dict[str, Path], found: dict[str, list[Example]]) -> tuple[str, ...]:
    """The classes in order: as given, or those of the training messages, sorted.

    Raises:
        DataError: a label is not one of them, or one has too few messages to learn from.
    """
    training, *_ = found  # of one file, all of it
    counts = Counter(label for _, label, _ in found[training])
    for name, examples in found.items():
        if not examples:
            raise DataError(f"{files[name]}: has no message; give at least one")
    _check_no_header(files[training], found[training][0], counts)
    given = settings.label_names if settings.labels is not None else ()
    labels = given or tuple(sorted(counts))
    for name, examples in found.items():
        for line, label, _ in examples:
            if label not in labels:
                remedy = f"add it to --labels {joined_labels(given)}" if given else "no training message has it"
                raise DataError(f"{files[name]}, line {line}: label {label!r} is not one of {', '.join(labels[:12])};"
                                f" {remedy}, or take the line out")  # fmt: skip
    if len(labels) < 2:
        raise DataError(f"{files[training]}: all messages have the label {labels[0]!r}; give at least two labels")
    fewest = 1 if settings.data_file is None else FEWEST_OF_A_LABEL
    if scarce := [label for label in labels if counts[label] < fewest]:
        label, few = scarce[0], plural(counts[scarce[0]], "message")
        raise DataError(
            f"{files[training]}: {few} to learn the label {label!r} from; give at least {fewest}, or leave it out"
        )
    return labels


def _check_no_header(path: Path, first: Example, counts: Counter[str]) -> None:
    """A header of other names than the usual ones must not become an example."""
    line, label, text = first
    if line == 1 and counts[label] == 1:
        raise DataError(
            f"{path}, line 1: no other line has the label {label!r}; if it is a header ({_shown([label, text])}), name"
            " its columns with --label_column and --text_column; if not, put one above it, such as label,text"
        )


def _frame(examples: list[Example], labels: tuple[str, ...]) -> pd.DataFrame:
    numbers = {label: number for number, label in enumerate(labels)}
    frame = pd.DataFrame({"Label": [numbers[label] for _, label, _ in examples], "Text": [e[2] for e in examples]})
    return frame.astype({"Label": "int64"})


def _split(messages: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    """Shuffle the messages, cut those of each label at 70 % and 80 %, and leave each split in the shuffled order."""
    shuffled = messages.sample(frac=1, random_state=seed)
    place = shuffled.groupby("Label").cumcount()
    size = shuffled.groupby("Label")["Label"].transform("size")
    train_end = size * TRAIN_TENTHS // 10
    validation_end = train_end + size * VALIDATION_TENTHS // 10
    bounds = (place < train_end, (place >= train_end) & (place < validation_end), place >= validation_end)
    return {name: shuffled[here].reset_index(drop=True) for name, here in zip(SPLITS, bounds, strict=True)}
