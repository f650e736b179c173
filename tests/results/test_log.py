"""Results under fire: many writers, killed writers, damaged and foreign files."""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import os
import random
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ablation.config.experiment import FIELDS, ExperimentConfig, config_hash
from ablation.config.rows import row_config
from ablation.listener import Count
from ablation.results import log as results_log
from ablation.results.log import ResultsError, append_rows
from ablation.results.run_folder import config_fields, evaluation_fields
from ablation.results.runs import rebuild
from ablation.tasks import __main__ as tasks_command
from ablation.tasks.registry import TASKS
from ablation.tasks.spam import COLUMNS, SPAM

# Later than the first columns, in this order.
OWN_DATA = (
    "labels", "data_file", "train_file", "validation_file", "test_file", "text_column", "label_column", "split_seed",
)  # fmt: skip
SPAWN = multiprocessing.get_context("spawn")


def append_row(folder: Path, row: dict[str, Any]) -> None:
    append_rows(folder / "results.csv", COLUMNS, [row])

METHOD_SETTINGS = (
    "method", "from_block", "train_final_norm", "decayed", "lora_targets", "lora_scaling", "lora_init", "lora_head",
    "bottleneck", "adapter_after", "adapter_scale", "prefix_length", "prompt_length",
)  # fmt: skip
COSTS = (
    "added_parameters", "optimizer_bytes", "added_multiply_adds", "unmerged_multiply_adds", "added_positions", "merges",
)  # fmt: skip
FORGETTING = ("measure_forgetting", "held_out_text", "perplexity_before", "perplexity_after")
NEWER = (
    *OWN_DATA, "checkpoint_every", "checkpoint_dir", "restart", "resumed", *METHOD_SETTINGS, *FORGETTING, *COSTS,
    "base", "n_train", "padding_side", "truncation_side", "mask_padding", "shift_positions",
    "baseline_settings", "validation_auc", "test_auc",
)  # fmt: skip


def make_row(name: str, **fields: Any) -> dict[str, Any]:
    row = dict.fromkeys(COLUMNS) | config_fields(SPAM, ExperimentConfig(), datetime(2026, 1, 2, tzinfo=UTC))
    return row | {"run_id": name, "device_name": 'CPU, "fast"'} | fields


def read(folder: Path) -> list[dict[str, str]]:
    text = (folder / "results.csv").read_text()
    assert text.endswith("\n")
    rows = list(csv.DictReader(text.splitlines()))
    assert all(None not in row and None not in row.values() for row in rows)  # neither too many nor too few fields
    return rows


def test_columns_are_the_documented_ones() -> None:
    """Old files have them in this order; a setting that is added needs a column, behind the old ones and before the
    hash."""
    assert COLUMNS[:3] == ("run_id", "timestamp_utc", "row")
    digest = "e4659d440926ef7a0eab75cf996557fefc2407fcb4812c7d880dd70b7a6bfbf1"
    older = (*COLUMNS[: -1 - len(NEWER)], COLUMNS[-1])
    assert hashlib.sha256(",".join(older).encode()).hexdigest() == digest
    assert COLUMNS[len(older) - 1 : -1] == NEWER
    assert set(FIELDS) <= set(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert COLUMNS[-1] == "config_hash"


def test_a_row_reads_back_as_written(tmp_path: Path) -> None:
    row = make_row("a", max_steps=None, training_acc=0.1 + 0.2, git_commit="line\nbreak")
    append_row(tmp_path, row)
    (found,) = read(tmp_path)
    assert tuple(found) == COLUMNS
    assert float(found["training_acc"]) == 0.1 + 0.2
    assert found["max_steps"] == "" and found["device_name"] == 'CPU, "fast"' and found["git_commit"] == "line break"
    assert found["config_hash"] == config_hash(ExperimentConfig())


def test_run_id_row_and_accuracies() -> None:
    at = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
    fields = config_fields(SPAM, row_config(14, seed=7), at)
    assert fields["row"] == 14
    assert fields["run_id"] == f"14-7-{config_hash(row_config(14, seed=7))[:8]}-20260304T050607.000089Z"
    assert config_fields(SPAM, row_config(14, num_epochs=1), at)["run_id"].startswith("custom-123-")
    counts = evaluation_fields(SPAM.evaluate({"train": Count(3, 4), "validation": Count(1, 2), "test": Count(0, 5)})[0])
    assert (counts["training_acc"], counts["validation_acc"], counts["test_acc"]) == (0.75, 0.5, 0.0)


# ---- many writers, killed writers ------------------------------------------------------------------------------------


def append_many(folder: Path, writer: int, count: int) -> None:
    for number in range(count):
        append_row(folder, make_row(f"{writer}-{number}"))


def test_eight_processes_append_two_hundred_rows_each(tmp_path: Path) -> None:
    writers = [SPAWN.Process(target=append_many, args=(tmp_path, writer, 200)) for writer in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    rows = read(tmp_path)
    assert sorted(row["run_id"] for row in rows) == sorted(f"{w}-{n}" for w in range(8) for n in range(200))
    assert (tmp_path / "results.csv").read_text().count("run_id") == 1


def append_for_ever(folder: Path, acknowledged: Path, name: str) -> None:
    with acknowledged.open("ab", buffering=0) as file:
        for number in range(10**9):
            append_row(folder, make_row(f"{name}-{number}"))
            os.write(file.fileno(), f"{name}-{number}\n".encode())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_no_acknowledged_row_is_lost_when_writers_are_killed_fifty_times(tmp_path: Path) -> None:
    acknowledged = tmp_path / "acknowledged"
    acknowledged.touch()
    fork = multiprocessing.get_context("fork")  # fifty starts of a fresh interpreter would take a minute
    draw = random.Random(1)
    for kill in range(50):
        writer = fork.Process(target=append_for_ever, args=(tmp_path, acknowledged, f"w{kill}"))
        writer.start()
        size_before = acknowledged.stat().st_size
        for _ in range(1000):  # until this writer has appended at least once
            if acknowledged.stat().st_size > size_before:
                break
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.02))
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    append_row(tmp_path, make_row("survivor"))
    found = [row["run_id"] for row in read(tmp_path)]
    returned = acknowledged.read_text().split()
    assert len(returned) >= 50
    assert set(returned) <= set(found)
    assert len(found) == len(set(found))
    assert found[-1] == "survivor"


# ---- damaged and foreign files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 10, 70, 300])
def test_a_row_cut_short_is_dropped_and_the_next_stands_on_its_own_line(cut: int, tmp_path: Path) -> None:
    for name in "ab":
        append_row(tmp_path, make_row(name))
    file = tmp_path / "results.csv"
    file.write_bytes(file.read_bytes()[: -1 - cut])
    append_row(tmp_path, make_row("c"))
    assert [row["run_id"] for row in read(tmp_path)] == ["a", "c"]


def test_a_whole_last_row_without_its_newline_is_kept(tmp_path: Path) -> None:
    for name in "ab":
        append_row(tmp_path, make_row(name))
    file = tmp_path / "results.csv"
    file.write_bytes(file.read_bytes()[:-1])
    append_row(tmp_path, make_row("c"))
    assert [row["run_id"] for row in read(tmp_path)] == ["a", "b", "c"]


def test_a_header_without_its_newline_is_kept(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text(",".join(COLUMNS))
    append_row(tmp_path, make_row("a"))
    assert [row["run_id"] for row in read(tmp_path)] == ["a"]


def test_a_file_of_an_older_version_gets_the_columns_it_lacks(tmp_path: Path) -> None:
    older = [column for column in COLUMNS if column not in ("order_seed", "features")]
    lines = [",".join(older), results_log.format_row(make_row("old", row=3), older).rstrip("\n")]
    (tmp_path / "results.csv").write_text("\n".join(lines) + "\n")
    append_row(tmp_path, make_row("new"))
    rows = read(tmp_path)
    assert tuple(rows[0]) == COLUMNS
    assert [(row["run_id"], row["row"], row["features"]) for row in rows] == [("old", "3", ""), ("new", "1", "")]


def test_columns_of_a_newer_version_stay(tmp_path: Path) -> None:
    newer = [*COLUMNS[:-1], "phase_of_the_moon", COLUMNS[-1]]
    line = results_log.format_row(make_row("newer", phase_of_the_moon="full"), newer)
    (tmp_path / "results.csv").write_text(",".join(newer) + "\n" + line)
    append_row(tmp_path, make_row("ours"))
    assert [(row["run_id"], row["phase_of_the_moon"]) for row in read(tmp_path)] == [("newer", "full"), ("ours", "")]


def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    file.write_text("shopping,list\nmilk,eggs\n")
    with pytest.raises(ResultsError, match="no results header"):
        append_row(tmp_path, make_row("a"))
    assert file.read_text() == "shopping,list\nmilk,eggs\n"


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="--results_dir"):
        append_row(tmp_path / "file" / "results", make_row("a"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append_row(tmp_path, make_row("a"))
    before = (tmp_path / "results.csv").read_bytes()
    whole_write = os.write

    def half_a_write(descriptor: int, data: bytes) -> int:
        return whole_write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half_a_write)
    with pytest.raises(ResultsError, match="no space left"):
        append_row(tmp_path, make_row("b"))
    assert (tmp_path / "results.csv").read_bytes() == before


# ---- several rows at once --------------------------------------------------------------------------------------------


def test_the_rows_of_one_run_are_appended_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [make_row("a", device_name=name) for name in ("one", "two")]
    append_row(tmp_path, make_row("before"))
    append_rows(tmp_path / "results.csv", COLUMNS, rows)
    assert [(row["run_id"], row["device_name"]) for row in read(tmp_path)][1:] == [("a", "one"), ("a", "two")]
    before = (tmp_path / "results.csv").read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultsError, match="no space left"):
        append_rows(tmp_path / "results.csv", COLUMNS, rows)
    assert (tmp_path / "results.csv").read_bytes() == before


# ---- rebuilding ------------------------------------------------------------------------------------------------------


def test_rebuild_makes_the_csv_anew_from_the_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for hour, name in enumerate(["b", "a"]):
        row = make_row(name, timestamp_utc=f"2026-01-02T0{hour}:00:00+00:00", test_acc=0.5)
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({**row, "history": {"steps": 3}}))
        append_row(tmp_path, row)
    before = (tmp_path / "results.csv").read_bytes()
    (tmp_path / "results.csv").unlink()
    assert tasks_command.main(["--rebuild", str(tmp_path)]) == 0
    assert "2 rows" in capsys.readouterr().out
    assert (tmp_path / "results.csv").read_bytes() == before


def test_rebuild_refuses_what_it_cannot_read_and_keeps_the_csv(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"no run\.json"):
        rebuild(tmp_path, TASKS)
    append_row(tmp_path, make_row("a"))
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / "run.json").write_text("{")
    with pytest.raises(ResultsError, match=r"x/run\.json: not readable"):
        rebuild(tmp_path, TASKS)
    assert [row["run_id"] for row in read(tmp_path)] == ["a"]


def test_rebuild_command_line_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert tasks_command.main(["--bild"]) == 2
    assert "usage" in capsys.readouterr().err
