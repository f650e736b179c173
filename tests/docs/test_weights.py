"""docs/weights.md, "A base of your own": its commands print what the page shows, figures aside."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import additional_experiments
import sweep
from ablation.config.flags import EXPERIMENTS
from ablation.config.generation_rows import GENERATION
from ablation.config.shapes import ALL_SHAPES, NANO
from ablation.environment import PROJECT
from tests.docs.test_classify import COMMAND
from tests.support.language_models import IN_FULL, language_model_run

PAGE = (PROJECT / "docs" / "weights.md").read_text(encoding="utf-8")
(DEMO, FULL) = (COMMAND.findall(block) for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL))
RUNS = {"results/demo/runs/RUN": ALL_SHAPES[NANO], "results/runs/RUN": IN_FULL}


def lines_of(text: str) -> list[str]:
    """Without what another base changes, and without the spaces that align it."""
    text = re.sub(r"\b[0-9a-f]{8}\b", "DIGEST", text)
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with runs of language models where the page has them."""
    monkeypatch.chdir(tmp_path)
    for folder, shape in RUNS.items():
        language_model_run(tmp_path / folder, shape)
    return tmp_path


@pytest.mark.usefixtures("few_messages", "here")
def test_classifiers_say_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    (_, quiet), *others = DEMO
    assert quiet == "" and len(others) == 3
    for command, shown in others:
        _, program, *arguments = shlex.split(command)
        assert program == EXPERIMENTS.program
        quick = ["--max_steps", "1", "--eval_iter", "1"] * ("--quiet" in arguments)
        assert additional_experiments.main([*arguments, *quick]) == (2 if "error: " in shown else 0)
        printed = lines_of("".join(capsys.readouterr()).replace(" --eval_iter 1 --max_steps 1", ""))
        assert lines_of(shown) and set(lines_of(shown)) <= set(printed), printed


@pytest.mark.usefixtures("here")
def test_what_takes_hours_can_be_planned(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for command, shown in [DEMO[0], *FULL]:
        assert shown == ""
        _, program, *arguments = shlex.split(command)
        if program == "sweep.py":
            assert sweep.main([*arguments, "--dry_run"]) == 0
            assert "6 planned, 0 done" in capsys.readouterr().out
        else:
            assert program == "generation_experiments.py"
            GENERATION.read(arguments)


@pytest.mark.slow
def test_a_language_model_trained_as_the_page_says_is_a_base(tmp_path: Path) -> None:
    for name in ("data", "ablation", *(file.name for file in PROJECT.glob("*.py"))):
        (tmp_path / name).symlink_to(PROJECT / name)
    run = "RUN"
    for command, shown in DEMO:
        done = subprocess.run(
            command.replace("python ", f"{sys.executable} ").replace("RUN", run), shell=True, cwd=tmp_path, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        )  # fmt: skip
        assert done.returncode == (2 if "error: " in shown else 0), done.stdout
        assert set(lines_of(shown.replace("RUN", run))) <= set(lines_of(done.stdout)), done.stdout
        with contextlib.suppress(ValueError):  # once a classifier's run is beside it
            (run,) = (folder.name for folder in (tmp_path / "results" / "demo" / "runs").iterdir())
