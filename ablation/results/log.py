"""Where results go: one row per finished run in ``results.csv``, and a folder per run that holds the truth.

``results/runs/<run id>/run.json`` is written first, ``results.csv`` is an extract of it:
``python -m ablation.results.log --rebuild results`` makes the CSV anew.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from ablation.config.experiment import FIELDS, ExperimentConfig, config_hash
from ablation.config.rows import row_number
from ablation.environment import require_packages
from ablation.listener import Count

CSV_NAME, RUNS_FOLDER, RUN_JSON = "results.csv", "runs", "run.json"

COLUMNS = (
    "run_id",
    "timestamp_utc",
    "row",
    *(name for name in FIELDS if name != "threads"),  # its column holds the number that was in use, further down
    "effective_context_length",
    "total_parameters",
    "trainable_parameters",
    "train_correct",
    "train_total",
    "validation_correct",
    "validation_total",
    "test_correct",
    "test_total",
    "training_acc",
    "validation_acc",
    "test_acc",
    "training_minutes",
    "total_minutes",
    "load_seconds",
    "peak_memory_mb",
    "device_name",
    "threads",
    "python_version",
    "torch_version",
    "git_commit",
    "weights_digest",
    "data_digest",
    "features",
    "feature_seconds",
    "config_hash",
)
LOCK_POLL_SECONDS = 0.005  # an append takes about a millisecond; the default of 0.05 would be most of the wait
HASH_LENGTH = 64  # config_hash stands last and has a fixed length, so that a row cut short is recognised


class ResultsError(Exception):
    """Results cannot be written or read; the message names the file and the way out."""


# ---- one row ---------------------------------------------------------------------------------------------------------


def run_id(row: str, seed: int, hash_of_config: str, at: datetime) -> str:
    """``<row>-<seed>-<first 8 of the hash>-<UTC time>``; the row is ``custom`` where it is none of the published."""
    return f"{row or 'custom'}-{seed}-{hash_of_config[:8]}-{at:%Y%m%dT%H%M%S.%fZ}"


def count_fields(counts: Mapping[str, Count]) -> dict[str, Any]:
    """Correct, total and accuracy (a fraction) of each split, by their column names."""
    fields: dict[str, Any] = {}
    for split, count in counts.items():
        fields[f"{split}_correct"], fields[f"{split}_total"] = count.correct, count.total
    for split, count in counts.items():
        fields[f"{'training' if split == 'train' else split}_acc"] = count.accuracy
    return fields


def config_fields(config: ExperimentConfig, at: datetime) -> dict[str, Any]:
    """What a row says of a run by its configuration and the time it ended."""
    row = row_number(config)
    hash_of_config = config_hash(config)
    return {
        "run_id": run_id(str(row or ""), config.seed, hash_of_config, at),
        "timestamp_utc": at.isoformat(timespec="seconds"),
        "row": row,
        **{name: getattr(config, name) for name in FIELDS},
        "config_hash": hash_of_config,
    }


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


def append_row(results_dir: Path, record: Mapping[str, Any]) -> None:
    """Append one row to ``results.csv`` under a lock, whole or not at all.

    A file of an older version gets the columns it lacks; columns of a newer version stay, empty in the new row. A last
    line without its newline is completed if it is a whole row, and otherwise dropped: whoever was writing it never
    returned, and its ``run.json`` still has the run.

    Raises:
        ResultsError: the folder or file cannot be written, or the file is no results file.
    """
    path = results_dir / CSV_NAME
    try:
        results_dir.mkdir(parents=True, exist_ok=True)
        with _one_writer_at_a_time(path):
            columns = _prepare_file(path)
            with path.open("ab", buffering=0) as file:
                _write_whole(file.fileno(), format_row(record, columns).encode())
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


def _prepare_file(path: Path) -> list[str]:
    """Make the file ready for an append, and return its columns. The lock must be held."""
    header, ends_well = _header_and_end(path)
    if not header:
        replace_file(path, format_row({column: column for column in COLUMNS}, COLUMNS))
        return list(COLUMNS)
    columns = next(csv.reader([header]))
    if "run_id" not in columns:
        raise ResultsError(f"{path}: its first line is no results header; move it away or give another --results_dir")
    if not ends_well:
        _repair_end(path, columns)
    if all(column in columns for column in COLUMNS):
        return columns
    merged = [*COLUMNS[:-1], *(column for column in columns if column not in COLUMNS), COLUMNS[-1]]
    with path.open(encoding="utf-8", newline="") as file:
        rows = [format_row(row, merged) for row in csv.DictReader(file)]
    replace_file(path, "".join([format_row({column: column for column in merged}, merged), *rows]))
    return merged


def _header_and_end(path: Path) -> tuple[str, bool]:
    """The first line, empty if there is none, and whether the last line has its newline."""
    if not path.exists() or path.stat().st_size == 0:
        return "", True
    with path.open("rb") as file:
        header = file.readline().decode("utf-8", errors="replace")
        file.seek(-1, os.SEEK_END)
        return header.rstrip("\r\n"), file.read() == b"\n"


def _repair_end(path: Path, columns: list[str]) -> None:
    text = path.read_text(encoding="utf-8")
    kept, newline, last_line = text.rpartition("\n")
    fields = next(csv.reader([last_line]), [])
    is_header = not newline
    is_whole_row = len(fields) == len(columns) and columns[-1] == COLUMNS[-1] and len(fields[-1]) == HASH_LENGTH
    replace_file(path, kept + newline + (f"{last_line}\n" if is_header or is_whole_row else ""))


def replace_file(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it, so that it is at any time the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def rebuild(results_dir: Path) -> int:
    """Make ``results.csv`` anew from the ``run.json`` files, oldest first; returns how many rows it has.

    Raises:
        ResultsError: there are no runs, or a ``run.json`` cannot be read (the CSV is left as it was).
    """
    files = sorted((results_dir / RUNS_FOLDER).glob(f"*/{RUN_JSON}"))
    if not files:
        raise ResultsError(f"{results_dir / RUNS_FOLDER}: no {RUN_JSON} below it; give the results folder")
    records = []
    for file in files:
        try:
            records.append(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ResultsError(
                f"{file}: not readable as JSON ({error}); remove the run's folder or restore the file"
            ) from None
    records.sort(key=lambda record: (record["timestamp_utc"], record["run_id"]))
    lines = [format_row({column: column for column in COLUMNS}, COLUMNS), *(format_row(r, COLUMNS) for r in records)]
    path = results_dir / CSV_NAME
    with _one_writer_at_a_time(path):
        replace_file(path, "".join(lines))
    return len(records)


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] != "--rebuild":
        print("usage: python -m ablation.results.log --rebuild RESULTS_DIR", file=sys.stderr)
        return 2
    require_packages()
    try:
        rows = rebuild(Path(arguments[1]))
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{Path(arguments[1]) / CSV_NAME}: {rows} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
