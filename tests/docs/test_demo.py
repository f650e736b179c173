"""docs/demo.md: its figures are those that the tests hold, and its commands do what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from demo.pretraining import PRETRAINING_COUNTS
from tests.demo.test_demo import README_PERPLEXITY

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "demo.md").read_text(encoding="utf-8")
SHARES = {int(row): tuple(map(int, shares)) for row, *shares in re.findall(r"\| (\d+) \| (\d+) % \| (\d+) % \|", PAGE)}


def test_its_figures_are_those_of_the_tests() -> None:
    assert f"held-out perplexity {README_PERPLEXITY} " in PAGE
    assert f"{sum(PRETRAINING_COUNTS.values()):,} further messages" in PAGE
    assert list(SHARES) == [1, 5]
    for path in re.findall(r"`((?:data|demo|tests)/[\w./]+)`", PAGE):
        assert (PROJECT / path).exists(), path


@pytest.mark.slow
def test_its_commands_call_the_first_message_ham_and_the_second_spam(tmp_path: Path) -> None:
    (section,) = (section for section in PAGE.split("\n## ") if section.startswith("Try a message"))
    train, label = re.findall(r"^    python (.*)$", section, flags=re.MULTILINE)

    def output(command: str) -> str:
        program, *arguments = shlex.split(command)
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        done = subprocess.run(
            [sys.executable, str(PROJECT / program), *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    output(train)
    (folder,) = (tmp_path / "results" / "demo" / "runs").iterdir()
    first, second = output(label.replace("<run id>", folder.name)).splitlines()
    assert first.startswith("ham ") and first.endswith("how are you")
    assert second.startswith("spam ") and second.endswith("You are a winner, you have been specially selected")
