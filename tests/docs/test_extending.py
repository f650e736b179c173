"""The worked examples of docs/extending.md: short, and they do what the text says on a copy of the project."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = (PROJECT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(section.split("\n", 1) for section in DOCUMENT.split("\n## ")[1:])
EXAMPLES = {name: section for name, section in SECTIONS.items() if "```diff" in section}
QUICK = shlex.split("--max_steps 3 --eval_freq 1 --eval_iter 1 --context_length 16 --learning_rate 1e-4")


def hunks(section: str) -> list[tuple[str, str, str]]:
    """The diffs of a section as (file, old text, new text); a new file has no old text."""
    found = []
    for diff in re.findall(r"```diff\n--- (.*?)```", section, flags=re.DOTALL):
        file, *lines = diff.splitlines()
        old = "\n".join(line[1:] for line in lines if line[0] in " -")
        new = "\n".join(line[1:] for line in lines if line[0] in " +")
        found.append((file, old, new))
    return found


def edited(file: Path, old: str, new: str) -> str:
    """The text of a file after one edit."""
    return file.read_text(encoding="utf-8").replace(old, new) if old else new


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a demo run needs."""
    for path in (path for pattern in ("*.py", "ablation/**/*.*", "data/**/*.*") for path in PROJECT.glob(pattern)):
        if path.is_file() and "SMSSpam" not in path.name and path.suffix != ".pyc":
            target = tmp_path / path.relative_to(PROJECT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return tmp_path


def losses(project: Path, command: list[str]) -> list[float]:
    """The losses of one run of a command."""
    done = subprocess.run([sys.executable, *command], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    newest = max((project / "results" / "demo" / "runs").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    with (newest / "losses.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file) for column in ("train_loss", "validation_loss")]


def test_there_are_examples_of_what_people_add() -> None:
    assert [name.split()[:2] for name in EXAMPLES] == [["A", kind] for kind in ("row", "method", "method", "readout")]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_and_finds_its_place(name: str) -> None:
    edits = hunks(EXAMPLES[name])
    assert sum(len(new.splitlines()) for _, old, new in edits if old) < 15
    for file, old, new in edits:
        if not old:
            assert not (PROJECT / file).exists() and len(new.splitlines()) < 25
        else:
            assert (PROJECT / file).read_text(encoding="utf-8").count(old) == 1, (file, old)
        compile(edited(PROJECT / file, old, new), file, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_works(name: str, project: Path) -> None:
    for file, old, new in hunks(EXAMPLES[name]):
        (project / file).write_text(edited(project / file, old, new), encoding="utf-8")
    (line,) = re.findall(r"^    python (.*)$", EXAMPLES[name], flags=re.MULTILINE)
    command = [*shlex.split(line), *QUICK]
    planned = losses(project, command)
    assert len(planned) == 6
    assert planned == pytest.approx(losses(project, [*command, "--execution", "naive"]), abs=1e-5)
    command = [sys.executable, "report.py", "--results_dir", "results/demo"]
    done = subprocess.run(command, cwd=project, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
