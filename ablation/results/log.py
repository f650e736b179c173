"""The CSV of a task: its rows, appended by many at once. The truth is in the runs' folders (see
:mod:`ablation.results.runs`), the CSV is an extract of them: :data:`REBUILD_COMMAND` makes it anew."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ablation.config.base_run import RUN_JSON as RUN_JSON  # is had from here, too
from ablation.config.own_data import joined_labels
from ablation.files.storage import beside, replace_file
from ablation.results.table import BYTE_ORDER_MARK, HEADER_COLUMN, Table, cells_of, header_problem, read_table

RUNS_FOLDER, LOCK = "runs", "runs.lock"
REBUILD_COMMAND = "python -m ablation.tasks --rebuild"  # and the results folder
LOCK_POLL_SECONDS = 0.005  # an append takes about a millisecond; the default of 0.05 would be most of the wait


class ResultsError(Exception):
    """Results cannot be written or read; the message names the file and the way out."""


def encodable(value: Any) -> Any:
    """The value; of a text whose bytes are not UTF-8, as paths may have them, those escaped."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def format_row(record: Mapping[str, Any], columns: Iterable[str]) -> str:
    """A record as one CSV line with its newline; a value that is missing or None is empty."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(
        "" if record.get(column) is None else encodable(_cell(record[column])).replace("\n", " ").replace("\r", " ")
        for column in columns
    )
    return buffer.getvalue()


def _cell(value: Any) -> str:
    """A value as a cell has it; names in a list stand between commas."""
    return joined_labels(value) if isinstance(value, list) else str(value)


def header_line(columns: Sequence[str]) -> str:
    return format_row({column: column for column in columns}, columns)


def one_writer_at_a_time(results_dir: Path) -> AbstractContextManager[object]:
    """Whoever holds it may write in the results folder, its own calls included; a killed process holds it no longer."""
    from filelock import FileLock  # only here, so that a Python without it can be told what it lacks

    lock = FileLock(results_dir.absolute() / LOCK, is_singleton=True)
    return lock.acquire(poll_interval=LOCK_POLL_SECONDS)


def replace_csv(path: Path, content: str) -> None:
    """Write the file anew; a link stays one."""
    replace_file(Path(os.path.realpath(path)), content)


def keep_damaged(path: Path) -> Path:
    """Keep the file as it is now beside itself."""
    kept = beside(path, f".damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    replace_file(kept, path.read_bytes())
    return kept


# ---- appending -------------------------------------------------------------------------------------------------------


def append_rows(path: Path, columns: Sequence[str], records: Sequence[Mapping[str, Any]]) -> None:
    """Append the rows of one run to a CSV under a lock, all of them or none.

    A file of an older version gets the columns it lacks; columns of a newer version stay, empty in the new rows. A last
    line without its newline is completed if it is a whole row, and otherwise dropped: whoever was writing it never
    returned, and its ``run.json`` still has the run. The damaged file is kept beside.

    Args:
        columns: of this version, ``config_hash`` last.

    Raises:
        ResultsError: the folder or file cannot be written, or the file is no results file, or damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with one_writer_at_a_time(path.parent):
            found = _columns_if_ready(path, columns) or mend(path, columns, read_table(path, columns), frozenset())
            lines = "".join(format_row(record, found) for record in records)
            if len(records) == 1:
                with path.open("ab", buffering=0) as file:
                    _write_whole(file.fileno(), lines.encode())
            else:  # a write that is cut short would leave some of them
                replace_csv(path, path.read_text(encoding="utf-8") + lines)
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror or error}; give another --results_dir") from None


def _write_whole(descriptor: int, line: bytes) -> None:
    end = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, line)
        if written != len(line):  # a full disk may take a part
            raise OSError(28, "no space left for the row")
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def _columns_if_ready(path: Path, columns: Sequence[str]) -> list[str]:
    """The columns of a file that rows can be appended to as it is; empty if it has to be looked at as a whole."""
    if not path.exists() or path.stat().st_size == 0:
        return []
    with path.open("rb") as file:
        header = file.readline().removeprefix(BYTE_ORDER_MARK).removesuffix(b"\n").removesuffix(b"\r")
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n" or b"\r" in header:
            return []
    try:
        found = cells_of(header)
    except ValueError:
        return []
    return found if set(columns) <= set(found) and not header_problem(found, columns) else []


def mend(path: Path, columns: Sequence[str], table: Table, held: Set[str]) -> list[str]:
    """Make the file ready for an append, and return its columns. The lock must be held.

    What is damaged goes, with all rows of the runs that it names, and the damaged file is kept beside.

    Args:
        held: ids of runs whose rows are to be had elsewhere, and are appended next.

    Raises:
        ResultsError: what is damaged is held nowhere else.
    """
    for damage in table.damage:
        if not damage.droppable and not damage.names(held):
            raise ResultsError(
                f"{path}, line {damage.line}: {damage.reason}, and no folder below {RUNS_FOLDER} holds it;"
                " correct the line, move the file away or give another --results_dir"
            )
    if table.damage or table.odd_line_ends:
        keep_damaged(path)
    others = [column for column in table.columns if column not in columns]
    merged = [*columns[:-1], *others, columns[-1]] if not set(columns) <= set(table.columns) else table.columns
    kept = [row for row in table.rows if not table.is_damaged(row[HEADER_COLUMN])]
    replace_csv(path, header_line(merged) + "".join(format_row(row, merged) for row in kept))
    return merged
