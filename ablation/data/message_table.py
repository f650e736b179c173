"""Files of messages: a message a line, or a table (CSV, TSV) of which one column holds the messages.

A table is known by its file's name, or by a first line that names a column of messages. Lines of label, tab, message,
as the SMS Spam Collection has them, need no header.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ablation.data.lines import ByteLines, InputLine, read_lines

TEXT_COLUMNS = ("text", "message", "sms")
LABEL_COLUMNS = ("label", "category", "class")
DELIMITERS = {".csv": ",;\t", ".tsv": "\t", ".tab": "\t"}  # by the end of a file's name: those that it may have
LONGEST_NAME = 60  # characters; a longer cell names no column


class TableError(Exception):
    """A file's columns do not say what is asked of them; the message lists them, and the flag to name one."""


@dataclass(frozen=True)
class Columns:
    """What is wanted of a file of messages.

    Attributes:
        labels: names that a label may have.
        text: the column of the messages, where it was named.
        label: the column of the labels, where it was named.
        labelled: whether every message has to have its label.
    """

    labels: Sequence[str]
    text: str | None = None
    label: str | None = None
    labelled: bool = False


@dataclass(frozen=True)
class Layout:
    """How a table is read: delimiter, whether the first line is a header, and the columns, counted from 0."""

    delimiter: str
    header: bool
    text: int
    label: int | None


def read_messages(stream: ByteLines, name: str, columns: Columns) -> Iterator[InputLine]:
    """The messages of a stream, read as they are asked for, but for the first line with something in it.

    Args:
        name: of the file; its end may say that it is a table.

    Raises:
        TableError: which column is meant is not clear, or there is none.
    """
    lines, begin = read_lines(stream), list[InputLine]()
    for line in lines:  # up to the first that says something; a table may begin with empty ones
        begin.append(line)
        if line.problem or line.text.strip():
            break
    else:
        return iter(begin)
    first = begin[-1]
    if first.problem and (columns.labelled or columns.text or Path(name).suffix.lower() in DELIMITERS):
        raise TableError(f"{name}, line {first.number}: {first.problem}; save the table as UTF-8")
    layout = find_layout(first.text, name, columns)
    lines = chain(begin, lines)
    return lines if layout is None else _records(lines, layout, columns)


# ---- what a file is -------------------------------------------------------------------------------------------------


def find_layout(first: str, name: str, columns: Columns) -> Layout | None:
    """How a file is read by its first line; None for a message a line.

    Raises:
        TableError: which column is meant is not clear, or there is none.
    """
    known = DELIMITERS.get(Path(name).suffix.lower(), "")
    tables = [(delimiter, _cells(first, delimiter)) for delimiter in known or "\t,;"]
    for delimiter, cells in tables if columns.text is None and columns.label is None else []:
        if len(cells) == 2 and cells[0].strip() in columns.labels and (known or delimiter == "\t"):
            return Layout(delimiter, header=False, text=1, label=0)
    delimiter, cells = max(tables, key=lambda table: len(table[1]))
    names = [cell.strip() for cell in cells]
    if not (known or columns.text or columns.label or _is_header(names)):
        if columns.labelled:
            raise TableError(
                f"{name}: no labels in it; give a CSV whose header names a column of messages and one of labels, or"
                f" lines of label, tab, message with the labels {', '.join(columns.labels)}"
            )
        return None
    text = _find(names, columns.text, TEXT_COLUMNS, name, "text_column", "messages")
    label = None
    if columns.labelled:
        label = _find(names, columns.label, LABEL_COLUMNS, name, "label_column", "labels")
    return Layout(delimiter, header=True, text=text, label=label)


def _reader(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Between tabs a quotation mark is a character like others, so that a line is a record."""
    if delimiter == "\t":
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=delimiter, strict=True)  # else a mark left open swallows what follows it


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(_reader([line], delimiter), [])
    except csv.Error:
        return []


def _is_header(names: Sequence[str]) -> bool:
    """Whether these are names of columns, one of them that of messages: no message is likely to read so."""
    short = all(0 < len(name) <= LONGEST_NAME for name in names)
    return len(names) > 1 and short and any(name.casefold() in TEXT_COLUMNS for name in names)


def _find(names: Sequence[str], wanted: str | None, usual: Sequence[str], file: str, flag: str, what: str) -> int:
    """The column of that name, or the one with a usual name."""
    has = f"it has {', '.join(names)}" if names else "it has none"
    if wanted is not None:
        if wanted in names:
            return names.index(wanted)
        raise TableError(f"--{flag} {wanted}: no such column in {file}; {has}")
    found = [column for column, name in enumerate(names) if name.casefold() in usual]
    if len(found) == 1:
        return found[0]
    raise TableError(f"{file}: which column has the {what}? {has}; name one with --{flag}")


# ---- its records ----------------------------------------------------------------------------------------------------


def _records(lines: Iterable[InputLine], layout: Layout, columns: Columns) -> Iterator[InputLine]:
    """A message for each record, numbered by the line at which it begins; a line that cannot be read is one of its
    own."""
    unreadable: list[InputLine] = []
    begin = 0

    def texts() -> Iterator[str]:
        nonlocal begin
        for line in lines:
            if line.problem:
                unreadable.append(line)
            else:
                begin = begin or line.number
                yield line.text + "\n"

    reader = _reader(texts(), layout.delimiter)
    header = layout.header
    while True:
        cells, begin, problem = None, 0, ""
        try:
            cells = next(reader)
        except StopIteration:
            pass
        except csv.Error as error:
            problem = f"no record of the table ({error}); look for a quotation mark left open"
        yield from unreadable
        unreadable.clear()
        if problem:
            yield InputLine(begin, "", problem)
        elif cells is None:
            return
        elif cells and header:
            header = False
        elif cells:  # a line that is empty is no record
            yield _message(begin, cells, layout, columns)


def _message(number: int, cells: Sequence[str], layout: Layout, columns: Columns) -> InputLine:
    needed = max(layout.text, layout.label or 0) + 1
    if len(cells) < needed:
        return InputLine(number, "", f"the record ends after column {len(cells)}, column {needed} is needed")
    text = cells[layout.text]
    if layout.label is None or not columns.labelled:
        return InputLine(number, text)
    given = cells[layout.label].strip()
    meant = [label for label in columns.labels if label == given]
    meant += [label for label in columns.labels if label.casefold() == given.casefold()]
    if not meant:
        return InputLine(number, text, f"label {given!r} is none of {', '.join(columns.labels)}")
    return InputLine(number, text, label=meant[0])
