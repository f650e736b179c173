"""The README says what the code does."""

from __future__ import annotations

import re

import pytest

from ablation.config.experiment import FIELDS
from ablation.environment import PROJECT
from ablation.report.readme import README, renew, replace_block


def test_tables_are_as_the_code_makes_them() -> None:
    """Renew them with ``python -m ablation.report.readme``."""
    text = README.read_text(encoding="utf-8")
    assert renew(text) == text


def test_every_flag_named_in_the_readme_exists() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not re.search(r"\$ +ray ", line))  # Ray's own commands have their own
    modules = [PROJECT / "ablation" / name for name in ("config/flags.py", "tasks/__main__.py")]
    sources = [*PROJECT.glob("*.py"), *PROJECT.glob("benchmarks/*.py"), *modules]
    scripts = "".join(path.read_text(encoding="utf-8") for path in sources)
    for flag in set(re.findall(r"--([a-z_]+)", text)):
        assert flag in FIELDS or f'"--{flag}"' in scripts, flag


def test_every_file_named_in_the_readme_exists() -> None:
    text = README.read_text(encoding="utf-8")
    for name in set(re.findall(r"`([a-z_/]+(?:\.py|\.json|\.txt|/))`", text)):
        made_by_runs = name.startswith("results/") or name in ("run.json",)
        assert made_by_runs or (PROJECT / name).exists(), name


def test_a_missing_marker_is_a_clear_error() -> None:
    assert replace_block("a <!-- x:begin -->old<!-- x:end --> b", "x", "new") == (
        "a <!-- x:begin -->\nnew\n<!-- x:end --> b"
    )
    with pytest.raises(ValueError, match="x:begin"):
        replace_block("nothing here", "x", "new")
