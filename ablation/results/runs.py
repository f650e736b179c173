"""The folders of finished runs, which are the truth: ``<results>/runs/<run id>/run.json`` is written first, and rows of
the CSV are made from it, also later by whoever finds a folder without its row."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ablation.config.settings import ConfigError
from ablation.results.log import (
    RUN_JSON,
    RUNS_FOLDER,
    ResultsError,
    append_rows,
    format_row,
    header_line,
    keep_damaged,
    mend,
    one_writer_at_a_time,
    replace_csv,
)
from ablation.results.table import HEADER_COLUMN, Table, read_table
from ablation.results.task import Task

TASK_OF_OLD_RUNS = "spam"  # a run.json without a task is of the time when there was only this one
UNFINISHED = ".unfinished"  # ends the name of a folder that is being written; the name begins with a dot


class OddRunError(Exception):
    """A ``run.json`` is JSON but not that of a run; the message says why."""


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


def with_more_rows(record: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], task: Task) -> dict[str, Any]:
    """The ``run.json`` of a run that has been evaluated further: what it said, with more rows behind its own.

    Args:
        rows: by column name, each with all columns of the task.
    """
    own = [{column: row.get(column) for column in task.columns} for row in rows_of(record)]
    further = {name: value for name, value in record.items() if name not in (*task.columns, "task", "evaluations")}
    return {"task": task.name, **as_record([*own, *rows]), **further}


def run_files(results_dir: Path) -> Iterator[Path]:
    """Where the ``run.json`` of each finished run is; not those of folders that are being written."""
    for file in sorted((results_dir / RUNS_FOLDER).glob(f"*/{RUN_JSON}")):
        if not file.parent.name.startswith("."):
            yield file


def remove_unfinished(results_dir: Path) -> None:
    """Remove what killed writers left: folders and new CSVs are written under the lock, which must be held."""
    for file in results_dir.glob(".*.csv.*.tmp"):
        file.unlink()
    for folder in (results_dir / RUNS_FOLDER).glob(f".*{UNFINISHED}"):
        shutil.rmtree(folder, ignore_errors=True)


def read_run(file: Path) -> dict[str, Any]:
    """The ``run.json`` of a run.

    Raises:
        OddRunError: it is not that of a run.
        ResultsError: it cannot be read as JSON.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise OddRunError("nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{file}: not readable as JSON ({error}); remove the run's folder or restore the file"
        ) from None
    if not isinstance(record, dict):
        raise OddRunError("no JSON object")
    if not isinstance(record.get("timestamp_utc"), str):
        raise OddRunError("no timestamp_utc")
    if record.get(HEADER_COLUMN) != file.parent.name:
        raise OddRunError(f"run_id {record.get(HEADER_COLUMN)!r} is not its folder's name")
    evaluations = record.get("evaluations", [{}])
    if not isinstance(evaluations, list) or not all(isinstance(one, dict) for one in evaluations):
        raise OddRunError("evaluations is no list of JSON objects")
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        raise OddRunError("characters that are not Unicode, or nested too deeply") from None
    return record


def task_of(record: Mapping[str, Any]) -> Any:
    return record.get("task", TASK_OF_OLD_RUNS)


def _by_time(record: Mapping[str, Any]) -> tuple[str, str]:
    return record["timestamp_utc"], record[HEADER_COLUMN]


# ---- before training ----------------------------------------------------------------------------------------------


def check_writable(results_dir: Path, task: Task) -> None:
    """Find out by trying whether a run of the task can be kept below this folder. Nothing is left behind, and no file
    is changed that another process may be using: what is tried is tried in a folder of its own.

    Raises:
        ConfigError: it cannot.
    """
    try:
        for folder in (results_dir.absolute(), results_dir.absolute() / RUNS_FOLDER):
            there = next(path for path in (folder, *folder.parents) if path.exists())
            with TemporaryDirectory(dir=there, prefix=".trial-", ignore_cleanup_errors=True) as own:
                below = Path(own, folder.relative_to(there))  # its names, too, may be what cannot be
                below.mkdir(parents=True, exist_ok=True)
                (below / RUN_JSON).write_bytes(b"{}")
        if (csv := results_dir / task.csv_name).exists():
            csv.open("ab").close()
    except OSError as error:
        problem = f"--results_dir {results_dir}: cannot be written to ({error.strerror or error}); give another folder"
        raise ConfigError([problem]) from None


# ---- rows that are missing -------------------------------------------------------------------------------------------


def complete(results_dir: Path, task: Task) -> list[str]:
    """Give the task's CSV the rows that it lacks: of runs killed between folder and row, and what damage took; the
    damaged file is kept beside. Writes nothing if nothing is wrong.

    Returns:
        One line for each place where the file was damaged.

    Raises:
        ResultsError: the CSV cannot be read or written, or is damaged where no run's folder holds what it had; the
            message names the line.
    """
    path = results_dir / task.csv_name
    try:
        table = read_table(path, task.columns)
        if not table.damage and not table.odd_line_ends and not _lacking(results_dir, task, table):
            return []
        with one_writer_at_a_time(results_dir):
            table = read_table(path, task.columns)
            lacking = _lacking(results_dir, task, table)
            if table.damage or table.odd_line_ends:
                mend(path, task.columns, table, {run[HEADER_COLUMN] for run, _ in lacking})
            if lacking:
                append_rows(path, task.columns, [row for _, rows in lacking for row in rows])
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror or error}; give another --results_dir") from None
    places = dict.fromkeys(f"{path}, line {damage.line}: {damage.reason}" for damage in table.damage)
    return [f"{place}; repaired, the file as it was is kept beside" for place in places]


def _lacking(results_dir: Path, task: Task, table: Table) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The task's runs whose folder has rows that the table lacks, and these rows; the oldest run first.

    A run without any row, or with a damaged one, lacks all. One with some may lack those of its further evaluations,
    where the task's runs have several.
    """
    there: dict[str, list[dict[str, str]]] = {}
    for row in table.rows:
        there.setdefault(row[HEADER_COLUMN], []).append(row)
    found = []
    for file in run_files(results_dir):
        name = file.parent.name
        known = [] if table.is_damaged(name) else there.get(name, [])
        if known and not task.evaluation_columns:
            continue
        try:
            record = read_run(file)
        except (OddRunError, ResultsError):
            continue  # a rebuild names it
        if task_of(record) == task.name and (rows := _not_among(known, rows_of(record), task.evaluation_columns)):
            found.append((record, rows))
    return sorted(found, key=lambda lacking: _by_time(lacking[0]))


def _not_among(
    known: Sequence[Mapping[str, str]], rows: Sequence[dict[str, Any]], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows of a run that the table lacks: as many as it has too few, told by what tells evaluations apart."""
    if not known:
        return list(rows)
    left = Counter(format_row(row, columns) for row in known)
    lacking = []
    for row in rows:
        evaluation = format_row(row, columns)
        left[evaluation] -= 1
        if left[evaluation] < 0:
            lacking.append(row)
    return lacking[: max(len(rows) - len(known), 0)]


# ---- all rows anew ---------------------------------------------------------------------------------------------------


def rebuild(results_dir: Path, tasks: Mapping[str, Task]) -> tuple[dict[Path, int], list[str]]:
    """Make each task's CSV anew from the ``run.json`` files, oldest first.

    Args:
        tasks: by name.

    Returns:
        How many rows each file has, and one line for each ``run.json`` that was left out because it is not that of a
        run; the file as it was is then kept beside.

    Raises:
        ResultsError: there are no runs, or a ``run.json`` cannot be read (the CSVs are left as they were).
    """
    if not any(run_files(results_dir)):
        raise ResultsError(f"{results_dir / RUNS_FOLDER}: no {RUN_JSON} below it; give the results folder")
    found = {}
    try:
        with one_writer_at_a_time(results_dir):
            remove_unfinished(results_dir)
            runs, problems = _runs_by_task(results_dir, tasks)
            for name, records in runs.items():
                path, columns = results_dir / tasks[name].csv_name, tasks[name].columns
                rows = [format_row(row, columns) for record in sorted(records, key=_by_time) for row in rows_of(record)]
                if problems and path.exists():
                    keep_damaged(path)
                replace_csv(path, header_line(columns) + "".join(rows))
                found[path] = len(rows)
    except OSError as error:
        raise ResultsError(f"{results_dir}: {error.strerror or error}; check the folder's permissions") from None
    return found, problems


def _runs_by_task(
    results_dir: Path, tasks: Mapping[str, Task]
) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    runs: dict[str, list[dict[str, Any]]] = {}
    problems = []
    for file in run_files(results_dir):
        try:
            record = read_run(file)
        except OddRunError as odd:
            problems.append(f"{file}: {odd}; left out, restore the file or remove the run's folder")
            continue
        name = task_of(record)
        if name not in tasks:
            raise ResultsError(f"{file}: task {name!r} is none of {', '.join(tasks)}; use the version that wrote it")
        runs.setdefault(name, []).append(record)
    return runs, problems
