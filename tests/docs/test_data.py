"""The worked example of docs/data.md: its file is what it says, and its commands do what stands beside them."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ablation.config.experiment import FIELDS
from tests.support.own_mail import COLUMNS, DOCUMENT, LABELS, make_mail

PROJECT = Path(__file__).resolve().parents[2]
COMMANDS = re.findall(r"^    python (.*)$", DOCUMENT, flags=re.MULTILINE)
QUICK = {"additional_experiments.py": "--max_steps 5 --eval_iter 1", "sweep.py": "--eval_iter 1"}  # less of the same


def test_the_mailbox_is_what_the_page_says(tmp_path: Path) -> None:
    with make_mail(tmp_path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "category", "message"] and len(rows) == 300
    assert tuple(sorted(Counter(row["category"] for row in rows))) == LABELS
    assert "300 short messages with three labels" in DOCUMENT


def test_flags_and_commands_of_the_page_are_there() -> None:
    for flag in re.findall(r"`--(\w+)", DOCUMENT):
        assert flag in FIELDS, flag
    assert [command.split()[0] for command in COMMANDS] == [
        *["additional_experiments.py"] * 2, "baselines.py", "sweep.py", "report.py", "classify.py",
    ]  # fmt: skip
    assert sum(" ".join(COLUMNS) in command for command in COMMANDS) == 4


@pytest.mark.slow
def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    """In a folder that holds the mailbox alone, one after the other, shortened."""
    make_mail(tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    outputs = []
    for command in COMMANDS:
        program, *flags = shlex.split(command.replace("<run id>", "RUN"))
        kept = next(iter(sorted((tmp_path / "results/demo/runs").glob("*/trained.safetensors"))), None)
        flags = [str(kept.parent) if "RUN" in flag and kept else flag for flag in flags]
        line = [sys.executable, str(PROJECT / program), *flags, *QUICK.get(program, "").split()]
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    dry, run, cheap, _, report, answer = outputs
    assert "labels                billing, praise, question" in dry
    assert "210" not in dry and re.search(r"mail\.csv; 2\d\d / \d+ / 6\d to train on", run)
    assert cheap.count("B1 majority class") == 1
    assert "8 runs, 6 configurations" in report
    assert answer.split()[0] in LABELS
