"""Run folders and the CSV made from them: kills between the two, damaged files, odd folders, names that exist."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import additional_experiments
import baselines
import sweep
from ablation.config.experiment import ExperimentConfig
from ablation.listener import Count
from ablation.results.log import ResultsError, format_row
from ablation.results.run_folder import RunRecord, config_fields, evaluation_fields, write_run
from ablation.sweep.state import finished_runs
from ablation.tasks import __main__ as tasks_command
from ablation.tasks.spam import COLUMNS, SPAM

SPAWN = multiprocessing.get_context("spawn")


def make_record(seed: int, **fields: Any) -> RunRecord:
    row = dict.fromkeys(COLUMNS)
    row |= config_fields(SPAM, ExperimentConfig(seed=seed), datetime(2026, 1, 2, microsecond=seed, tzinfo=UTC))
    row |= evaluation_fields(SPAM.evaluate({split: Count(1, 2) for split in ("train", "validation", "test")})[0])
    row |= {"training_minutes": 1, "data_digest": "d" * 64, "device_name": "Some CPU"}
    return RunRecord([row | fields], {}, {"losses.csv": "step\n"})


def write(results: Path, *seeds: int) -> list[str]:
    """Keep runs; returns their ids."""
    records = [make_record(seed) for seed in seeds]
    for record in records:
        write_run(results, SPAM, record)
    return [record.rows[0]["run_id"] for record in records]


def read(results: Path) -> list[dict[str, str]]:
    with (results / SPAM.csv_name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def ids(results: Path) -> list[str]:
    return [row["run_id"] for row in read(results)]


def seeds_done(results: Path) -> list[str]:
    """As a sweep sees them."""
    return [run["seed"] for runs in finished_runs(results, SPAM).values() for run in runs]



def rebuild(results: Path) -> int:
    return tasks_command.main(["--rebuild", str(results)])


# ---- many at once, and killed ----------------------------------------------------------------------------------------


def write_from_outside(results: Path, started: Path) -> None:
    started.touch()
    write(results, 2)


def test_a_row_that_is_appended_during_a_rebuild_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process appends after the rebuild has found the runs, unless a lock makes it wait."""
    results, started = tmp_path / "results", tmp_path / "started"
    write(results, 1)
    writer = SPAWN.Process(target=write_from_outside, args=(results, started))
    read_text = Path.read_text

    def slow(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == "run.json" and writer.pid is None:
            writer.start()
            while not started.exists():
                time.sleep(0.01)
            writer.join(0.5)
        return read_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", slow)
    assert rebuild(results) == 0
    writer.join()
    assert [row["seed"] for row in read(results)] == ["1", "2"]


def test_a_run_killed_between_folder_and_row_is_done(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    path = tmp_path / SPAM.csv_name
    whole = path.read_bytes()
    path.write_bytes(whole[: whole[:-1].rindex(b"\n") + 1])
    assert seeds_done(tmp_path) == ["1", "2"]
    assert path.read_bytes() == whole
    path.unlink()
    assert seeds_done(tmp_path) == ["1", "2"]
    assert path.read_bytes() == whole


def test_the_next_run_completes_what_a_killed_one_left(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    (tmp_path / SPAM.csv_name).unlink()
    write(tmp_path, 3)
    assert sorted(row["seed"] for row in read(tmp_path)) == ["1", "2", "3"]


def test_looking_at_results_that_are_whole_writes_nothing(tmp_path: Path) -> None:
    assert seeds_done(tmp_path / "nowhere") == []
    assert not (tmp_path / "nowhere").exists()
    write(tmp_path, 1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert seeds_done(tmp_path) == ["1"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("next_step", [rebuild, lambda results: write(results, 2)], ids=["rebuild", "run"])
def test_unfinished_folders_are_no_runs_and_go(next_step: Callable[[Path], object], tmp_path: Path) -> None:
    (run_id,) = write(tmp_path, 1)
    unfinished = tmp_path / "runs" / ".2-x.unfinished"
    unfinished.mkdir()
    (unfinished / "run.json").write_text((tmp_path / "runs" / run_id / "run.json").read_text().replace(run_id, "2-x"))
    new_csv = tmp_path / ".results.csv.0123456789abcdef.tmp"
    new_csv.touch()
    next_step(tmp_path)
    assert "2-x" not in ids(tmp_path)
    assert not unfinished.exists() and not new_csv.exists()


# ---- names that exist ------------------------------------------------------------------------------------------------


def test_a_run_id_that_exists_gets_a_number(tmp_path: Path) -> None:
    for _ in range(3):
        write(tmp_path, 1)
    first, *others = ids(tmp_path)
    assert others == [f"{first}-2", f"{first}-3"]
    for run_id in ids(tmp_path):
        assert json.loads((tmp_path / "runs" / run_id / "run.json").read_text())["run_id"] == run_id
    assert rebuild(tmp_path) == 0
    assert ids(tmp_path) == [first, *others]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names there are Unicode")
def test_a_path_that_is_not_utf8_is_escaped(tmp_path: Path) -> None:
    results = Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xff"))
    write_run(results, SPAM, make_record(1, results_dir=str(results)))
    assert [row["results_dir"] for row in read(results)] == [f"{tmp_path}/r\\udcff"]
    assert rebuild(results) == 0
    assert [row["results_dir"] for row in read(results)] == [f"{tmp_path}/r\\udcff"]


# ---- damaged files ---------------------------------------------------------------------------------------------------


def columns_reordered(data: bytes) -> bytes:
    """A whole last line without its newline, where config_hash is not the last column."""
    order = [COLUMNS[-1], *COLUMNS[:-1]]
    rows = csv.DictReader(data.decode().splitlines())
    return "".join([",".join(order) + "\n", *(format_row(row, order) for row in rows)]).encode()[:-1]


def open_quote(data: bytes) -> bytes:
    """A quote that does not close, and a column that an older version did not have."""
    older = [column for column in COLUMNS if column != "features"]
    rows = csv.DictReader(data.decode().splitlines())
    lines = [",".join(older) + "\n", *(format_row(row, older) for row in rows)]
    return "".join([lines[0], lines[1].replace("Some CPU", '"Some CPU'), *lines[2:]]).encode()


# A file of two runs, damaged, and the line to name.
DAMAGE: dict[str, tuple[Callable[[bytes], bytes], int]] = {
    "not UTF-8, no newline": (lambda data: data.replace(b"Some CPU", b"Some \xff")[:-1], 2),
    "carriage returns, a line cut in its middle": (
        lambda data: (data[: data.index(b"Some CPU")] + data[data.index(b"\n1-2") :]).replace(b"\n", b"\r"), 2),
    "a header too long": (lambda data: b"x" * 200_000 + data, 1),
    "config_hash not the last": (columns_reordered, 3),
    "an open quote": (open_quote, 2),
    "a renamed column": (lambda data: data.replace(b"test_acc", b"accuracy", 1), 1),
    "a column twice": (lambda data: data.replace(b"test_acc", b"training_acc", 1), 1),
    "no header": (lambda data: data.partition(b"\n")[2], 1),
    "binary": (lambda data: b"\0\x80\xff" + data, 1),
}  # fmt: skip


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*arguments: object, **options: object) -> None:
        raise AssertionError("trained, though the results are damaged")

    monkeypatch.setattr("ablation.run.experiment.run_experiment", train)
    monkeypatch.setattr("ablation.baselines.rows.answer", train)


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_repaired_from_the_folders(name: str, tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    path = tmp_path / SPAM.csv_name
    damaged = DAMAGE[name][0](path.read_bytes())
    path.write_bytes(damaged)
    assert sorted(seeds_done(tmp_path)) == ["1", "2"]
    (kept,) = [file for file in tmp_path.iterdir() if file.name.startswith("results.csv.damaged")]
    assert kept.read_bytes() == damaged
    write(tmp_path, 3)
    assert sorted(row["seed"] for row in read(tmp_path)) == ["1", "2", "3"]
    assert {row["test_acc"] for row in read(tmp_path)} == {"0.5"}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_that_no_folder_holds_is_refused_before_training(
    name: str, tmp_path: Path, no_training: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for run_id in write(tmp_path, 1, 2):
        (tmp_path / "runs" / run_id / "run.json").unlink()
    path = tmp_path / SPAM.csv_name
    damage, line = DAMAGE[name]
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    command = ["--demo", "--results_dir", str(tmp_path)]
    for main, own in ((additional_experiments.main, []), (baselines.main, []), (sweep.main, ["--rows", "1"])):
        assert main([*own, *(["--"] if own else []), *command]) == 1
        (error,) = capsys.readouterr().err.splitlines()
        assert error.startswith(f"error: {path}, line {line}: ")
    assert path.read_bytes() == damaged


def test_a_line_cut_within_a_letter_is_dropped_and_kept_beside(tmp_path: Path) -> None:
    write(tmp_path, 1)
    path = tmp_path / SPAM.csv_name
    damaged = path.read_bytes() + "1-2-é".encode()[:-1]
    path.write_bytes(damaged)
    write(tmp_path, 3)
    assert [row["seed"] for row in read(tmp_path)] == ["1", "3"]
    (kept,) = [file for file in tmp_path.iterdir() if file.name.startswith("results.csv.damaged")]
    assert kept.read_bytes() == damaged


def test_of_several_rows_of_a_run_none_is_lost_or_double(tmp_path: Path) -> None:
    (row,) = make_record(1).rows
    write_run(tmp_path, SPAM, RunRecord([row, {**row, "device_name": "Another"}], {}, {}))
    path = tmp_path / SPAM.csv_name
    path.write_bytes(path.read_bytes().replace(b"Another", b"An\xffother"))
    assert seeds_done(tmp_path) == ["1", "1"]
    assert [row["device_name"] for row in read(tmp_path)] == ["Some CPU", "Another"]


def test_only_line_ends_end_lines(tmp_path: Path) -> None:
    write_run(tmp_path, SPAM, make_record(1, device_name="Some\u2028C\x85PU"))
    assert seeds_done(tmp_path) == ["1"]


def test_damage_during_training_loses_no_run(tmp_path: Path) -> None:
    (tmp_path / SPAM.csv_name).write_text("shopping,list\nmilk,eggs\n")
    with pytest.raises(ResultsError, match="line 1: no results header"):
        write(tmp_path, 1)
    (tmp_path / SPAM.csv_name).unlink()
    assert seeds_done(tmp_path) == ["1"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_stays_one(tmp_path: Path) -> None:
    elsewhere, results = tmp_path / "elsewhere.csv", tmp_path / "results"
    results.mkdir()
    (results / SPAM.csv_name).symlink_to(elsewhere)
    write(results, 1)
    elsewhere.write_bytes(elsewhere.read_bytes()[:-1])
    write(results, 2)
    assert rebuild(results) == 0
    assert (results / SPAM.csv_name).is_symlink()
    assert [row["seed"] for row in csv.DictReader(elsewhere.read_text().splitlines())] == ["1", "2"]


# ---- odd run.json ----------------------------------------------------------------------------------------------------

ODD = {
    "a list": "[]",
    "null": "null",
    "no time": '{"run_id": "odd"}',
    "nested": "[" * 100_000 + "]" * 100_000,
    "another's": '{"run_id": "x", "timestamp_utc": "2026-01-02T00:00:00+00:00"}',
    "surrogate": '{"run_id": "odd", "timestamp_utc": "2026-01-02T00:00:00+00:00", "device_name": "\\ud800"}',
    "evaluations": '{"run_id": "odd", "timestamp_utc": "2026-01-02T00:00:00+00:00", "evaluations": [1]}',
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_run_json_is_named_and_left_out(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_id,) = write(tmp_path, 1)
    odd = tmp_path / "runs" / "odd" / "run.json"
    odd.parent.mkdir()
    odd.write_text(ODD[name])
    assert rebuild(tmp_path) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {odd}: ") and "left out" in error
    assert ids(tmp_path) == [run_id]
    assert seeds_done(tmp_path) == ["1"]
