"""docs/methods.md: its tables are the code's, and each method's example runs."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest

import additional_experiments
from ablation.config.experiment import FIELDS
from ablation.config.method_settings import METHODS
from ablation.config.methods import DECLARATIONS, own_settings
from ablation.config.rows import ROWS
from ablation.environment import PROJECT

DOCUMENT = (PROJECT / "docs" / "methods.md").read_text(encoding="utf-8")
SECTIONS = dict(section.split("\n", 1) for section in DOCUMENT.split("\n## ")[1:])
COMMAND = re.compile(r"^    python additional_experiments\.py (.*)$", flags=re.MULTILINE)
QUICK = shlex.split("--max_steps 2 --eval_freq 1 --eval_iter 1 --context_length 16")


def cells(section: str) -> list[list[str]]:
    """The lines of a section's table, without its head."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_each_method_is_explained_with_its_rows() -> None:
    table = cells("What each does")
    explained = {names(method)[0]: [int(row) for row in rows.split(",")] for method, rows, *_ in table}
    numbered: dict[str, list[int]] = {}
    for row, settings in ROWS.items():
        numbered.setdefault(settings.get("method", ""), []).append(row)
    assert explained == {name: numbered[name] for name in METHODS}


def test_each_rate_is_the_declared_one() -> None:
    told: dict[str, float] = {}
    for methods, rate, _ in cells("Where the learning rates come from"):
        told |= {name: float(rate) for name in names(methods) if "row" not in methods}
    assert told == {name: (DECLARATIONS[name].defaults or {})["learning_rate"] for name in METHODS}


def test_each_method_has_an_example_and_each_setting_a_word() -> None:
    examples = COMMAND.findall(SECTIONS["An example of each"])
    assert [shlex.split(line)[2] for line in examples] == list(METHODS)
    for setting in own_settings():
        assert f"--{setting}" in DOCUMENT and setting in FIELDS


@pytest.mark.slow
@pytest.mark.parametrize("line", dict.fromkeys(COMMAND.findall(DOCUMENT)))
def test_an_example_runs(line: str, tmp_path: Path) -> None:
    arguments = shlex.split(line)
    assert additional_experiments.main([*arguments, *QUICK, "--results_dir", str(tmp_path)]) == 0
    with next(tmp_path.glob("*.csv")).open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["method"] == arguments[2]
