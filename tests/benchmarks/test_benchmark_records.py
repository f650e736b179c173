"""A benchmark's record, whose parts may be measured one by one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.record import earlier_results, write_record


def test_parts_measured_one_by_one_make_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "new" / "record"
    assert earlier_results(None) == earlier_results(folder) == {}
    for number, row in enumerate(("1", "2", "1"), start=1):
        stamp = {"device_name": "A", "threads": 1, "torch_version": "2", "git_commit": f"commit {number}"}
        monkeypatch.setattr("benchmarks.record.environment_stamp", lambda device, stamp=stamp: dict(stamp))
        monkeypatch.setattr(sys, "argv", ["benchmarks/run.py", "--rows", row])
        results = earlier_results(folder) | {row: {"seconds": float(row)}}
        write_record(folder, results, f"table of {len(results)}")
    assert json.loads((folder / "raw.json").read_text()) == {"1": {"seconds": 1.0}, "2": {"seconds": 2.0}}
    assert (folder / "table.md").read_text() == "table of 2\n"
    environment = json.loads((folder / "environment.json").read_text())
    assert [(part["command"], part["git_commit"]) for part in environment["parts"]] == [
        ("python benchmarks/run.py --rows 2", "commit 2"),
        ("python benchmarks/run.py --rows 1", "commit 3"),
    ]
    assert {"device_name", "threads", "torch_version", "cores", "memory_gb"} <= set(environment)
