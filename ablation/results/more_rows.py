"""More rows of a finished run: evaluations of what it trained, made later than itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.files.storage import replace_file
from ablation.results.card_parts import CARD
from ablation.results.log import RUN_JSON, RUNS_FOLDER, ResultsError, encodable, one_writer_at_a_time
from ablation.results.runs import OddRunError, complete, read_run, rows_of, with_more_rows
from ablation.results.task import Task


@dataclass(frozen=True)
class Further:
    """What is added to a run, as it is when nobody else may write.

    Attributes:
        rows: what each row has of its own, by column name.
        changed: what else ``run.json`` says from now on, instead of what it said under these names.
        files: of the folder, by name; they take the place of those that are there.
    """

    rows: Sequence[Mapping[str, Any]]
    changed: Mapping[str, Any]
    files: Mapping[str, str]


def read_record(folder: Path) -> dict[str, Any]:
    """The ``run.json`` of a run's folder.

    Raises:
        ResultsError: it is none, or cannot be read.
    """
    try:
        return read_run(folder / RUN_JSON)
    except OddRunError as odd:
        raise ResultsError(f"{folder / RUN_JSON}: {odd}; restore the file, or train anew") from None


def results_folder(folder: Path) -> Path:
    """The results folder that a run's folder stands in.

    Raises:
        ResultsError: it stands in none.
    """
    runs = folder.absolute().parent
    if runs.name != RUNS_FOLDER:
        raise ResultsError(f"{folder}: not below {RUNS_FOLDER} of a results folder, so its rows have no place; move it")
    return folder.parent.parent


def add_rows(
    folder: Path,
    task: Task,
    further: Callable[[Mapping[str, Any]], Further],
    card: Callable[[Task, Mapping[str, Any], Path], str],
) -> list[dict[str, Any]]:
    """Add evaluations to a run: files, then ``run.json``, then rows, all under one lock, so that of several who add at
    once nobody's are lost. Killed in between, the rows come with the next completion.

    Args:
        further: asked under the lock what to add to the run as it then is.
        card: of its model, written anew.

    Returns:
        The added rows, by column name.

    Raises:
        ResultsError: as :func:`ablation.results.runs.complete`.
    """
    results_dir = results_folder(folder)
    try:
        with one_writer_at_a_time(results_dir):
            record = read_record(folder)
            added = further(record)
            if not added.rows:
                return []
            shared = rows_of(record)[0]
            rows = [{column: {**shared, **own}.get(column) for column in task.columns} for own in added.rows]
            rows = [{name: encodable(value) for name, value in row.items()} for row in rows]
            extended = {**with_more_rows(record, rows, task), **added.changed}
            for name, content in added.files.items():
                replace_file(folder / name, content)
            replace_file(folder / CARD, card(task, extended, results_dir))
            replace_file(folder / RUN_JSON, json.dumps(extended, indent=1) + "\n")
            complete(results_dir, task)
    except OSError as error:
        raise ResultsError(f"{folder}: {error.strerror or error}; nothing was appended") from None
    return rows
