"""The commands of docs/classify.md, as typed: they print what the page shows, figures aside."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablation.environment import PROJECT

DOCUMENT = (PROJECT / "docs" / "classify.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", flags=re.MULTILINE)


def examples() -> Iterator[tuple[str, str]]:
    """Each command with what the page shows below it."""
    for block in re.findall(r"```console\n(.*?)```", DOCUMENT, flags=re.DOTALL):
        yield from COMMAND.findall(block)


def without_figures(text: str) -> list[str]:
    """Lines without what another machine or another model may change: figures, and spaces that align them."""
    text = re.sub(r"\d+-\d+-[0-9a-f]{8}-\w+\.\w+", "RUN", text)
    return [" ".join(re.sub(r"\d[\d.,]*(?:e-\d+[\d.,]*)*%?", "N ", line).split()) for line in text.splitlines()]


def test_every_command_names_flags_that_there_are() -> None:
    commands = [command for command, _ in examples()]
    assert len(commands) >= 9 and all("python " in command for command in commands)
    code = "".join(file.read_text(encoding="utf-8") for file in PROJECT.glob("*.py"))
    shared = {"--row", "--demo", "--save_model"}  # those of every experiment
    for flag in re.findall(r"--[a-z_]+", DOCUMENT):
        assert flag in shared or f'"{flag}"' in code, flag


@pytest.mark.slow
def test_the_page_shows_what_the_commands_print(tmp_path: Path) -> None:
    for name in ("data", "ablation", *(file.name for file in PROJECT.glob("*.py"))):
        (tmp_path / name).symlink_to(PROJECT / name)
    (table,) = re.findall(r"```csv\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    (tmp_path / "inbox.csv").write_text(table, encoding="utf-8")
    for command, shown in examples():
        done = subprocess.run(
            command.replace("python ", f"{sys.executable} "), shell=True, cwd=tmp_path, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        )  # fmt: skip
        assert done.returncode == (2 if "error: " in shown else 0), done.stdout
        printed = without_figures(done.stdout)
        for line in without_figures(shown):
            assert line in printed, f"{command}\n{done.stdout}"
