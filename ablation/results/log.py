"""Where results go: the rows of finished runs in one CSV per task, and a folder per run that holds the truth.

``<results>/runs/<run id>/run.json`` is written first, the CSV is an extract of it: :data:`REBUILD_COMMAND` makes it
anew.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ablation.files.storage import replace_file
from ablation.results.task import Task

RUNS_FOLDER, RUN_JSON = "runs", "run.json"
REBUILD_COMMAND = "python -m ablation.tasks --rebuild"  # and the results folder
TASK_OF_OLD_RUNS = "spam"  # a run.json without a task is of the time when there was only this one
LOCK_POLL_SECONDS = 0.005  # an append takes about a millisecond; the default of 0.05 would be most of the wait
HASH_LENGTH = 64  # config_hash stands last and has a fixed length, so that a row cut short is recognised


class ResultsError(Exception):
    """Results cannot be written or read; the message names the file and the way out."""


def format_row(record: Mapping[str, Any], columns: Iterable[str]) -> str:
    """A record as one CSV line with its newline; a value that is missing or None is empty."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(
        "" if record.get(column) is None else str(record[column]).replace("\n", " ").replace("\r", " ")
        for column in columns
    )
    return buffer.getvalue()


# ---- the CSV ---------------------------------------------------------------------------------------------------------


def _one_writer_at_a_time(path: Path) -> AbstractContextManager[object]:
    from filelock import FileLock  # only here, so that a Python without it can be told what it lacks

    return FileLock(f"{path}.lock").acquire(poll_interval=LOCK_POLL_SECONDS)


def append_rows(path: Path, columns: Sequence[str], records: Sequence[Mapping[str, Any]]) -> None:
    """Append the rows of one run to a CSV under a lock, all of them or none.

    A file of an older version gets the columns it lacks; columns of a newer version stay, empty in the new rows. A last
    line without its newline is completed if it is a whole row, and otherwise dropped: whoever was writing it never
    returned, and its ``run.json`` still has the run.

    Args:
        columns: of this version, ``config_hash`` last.

    Raises:
        ResultsError: the folder or file cannot be written, or the file is no results file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _one_writer_at_a_time(path):
            found = _prepare_file(path, columns)
            lines = "".join(format_row(record, found) for record in records)
            if len(records) == 1:
                with path.open("ab", buffering=0) as file:
                    _write_whole(file.fileno(), lines.encode())
            else:  # a write that is cut short would leave some of them
                replace_file(path, path.read_text(encoding="utf-8") + lines)
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


def _prepare_file(path: Path, columns: Sequence[str]) -> list[str]:
    """Make the file ready for an append, and return its columns. The lock must be held."""
    header, ends_well = _header_and_end(path)
    if not header:
        replace_file(path, _header(columns))
        return list(columns)
    found = next(csv.reader([header]))
    if "run_id" not in found:
        raise ResultsError(f"{path}: its first line is no results header; move it away or give another --results_dir")
    if not ends_well:
        _repair_end(path, found, columns[-1])
    if set(columns) <= set(found):
        return found
    merged = [*columns[:-1], *(column for column in found if column not in columns), columns[-1]]
    with path.open(encoding="utf-8", newline="") as file:
        rows = [format_row(row, merged) for row in csv.DictReader(file)]
    replace_file(path, "".join([_header(merged), *rows]))
    return merged


def _header(columns: Sequence[str]) -> str:
    return format_row({column: column for column in columns}, columns)


def _header_and_end(path: Path) -> tuple[str, bool]:
    """The first line, empty if there is none, and whether the last line has its newline."""
    if not path.exists() or path.stat().st_size == 0:
        return "", True
    with path.open("rb") as file:
        header = file.readline().decode("utf-8", errors="replace")
        file.seek(-1, os.SEEK_END)
        return header.rstrip("\r\n"), file.read() == b"\n"


def _repair_end(path: Path, columns: list[str], last: str) -> None:
    text = path.read_text(encoding="utf-8")
    kept, newline, last_line = text.rpartition("\n")
    fields = next(csv.reader([last_line]), [])
    is_header = not newline
    is_whole_row = len(fields) == len(columns) and columns[-1] == last and len(fields[-1]) == HASH_LENGTH
    replace_file(path, kept + newline + (f"{last_line}\n" if is_header or is_whole_row else ""))


# ---- from the runs' own files ----------------------------------------------------------------------------------------


def rebuild(results_dir: Path, tasks: Mapping[str, Task]) -> dict[Path, int]:
    """Make each task's CSV anew from the ``run.json`` files, oldest first; returns how many rows each has.

    Args:
        tasks: by name.

    Raises:
        ResultsError: there are no runs, or a ``run.json`` cannot be read (the CSVs are left as they were).
    """
    files = sorted((results_dir / RUNS_FOLDER).glob(f"*/{RUN_JSON}"))
    if not files:
        raise ResultsError(f"{results_dir / RUNS_FOLDER}: no {RUN_JSON} below it; give the results folder")
    runs: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        record = _read_record(file)
        name = record.get("task", TASK_OF_OLD_RUNS)
        if name not in tasks:
            raise ResultsError(f"{file}: task {name!r} is none of {', '.join(tasks)}; use the version that wrote it")
        runs.setdefault(name, []).append(record)
    found = {}
    for name, records in runs.items():
        path, columns = results_dir / tasks[name].csv_name, tasks[name].columns
        records.sort(key=lambda record: (record["timestamp_utc"], record["run_id"]))
        rows = [format_row(row, columns) for record in records for row in rows_of(record)]
        with _one_writer_at_a_time(path):
            replace_file(path, _header(columns) + "".join(rows))
        found[path] = len(rows)
    return found


def as_record(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows of one run as ``run.json`` has them: what they share, and where there are several, ``evaluations`` with
    what each has of its own."""
    first, *others = rows
    shared = {name: value for name, value in first.items() if all(row[name] == value for row in others)}
    if not others:
        return shared
    return {**shared, "evaluations": [{k: v for k, v in row.items() if k not in shared} for row in rows]}


def rows_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a run, from its ``run.json``: the inverse of :func:`as_record`."""
    return [{**record, **evaluation} for evaluation in record.get("evaluations", [{}])]


def _read_record(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{file}: not readable as JSON ({error}); remove the run's folder or restore the file"
        ) from None
