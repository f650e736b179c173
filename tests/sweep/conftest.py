"""What the tests of sweeps share: a stand-in for the runner."""

from __future__ import annotations

from pathlib import Path

import pytest

import sweep
from ablation.sweep import inputs
from ablation.tasks import spam

PROJECT = Path(sweep.__file__).parent

# Stands in for additional_experiments.py: behaves as tests/…/behaviour says, by seed, and appends a row like it.
RUNNER = """
import os, sys, time
sys.path.insert(0, {project!r})
from datetime import UTC, datetime
from pathlib import Path
from ablation.config.flags import EXPERIMENTS
from ablation.listener import Count
from ablation.results.log import append_rows
from ablation.results.run_folder import config_fields, evaluation_fields
from ablation.tasks.spam import SPAM

config, _, _ = EXPERIMENTS.read(sys.argv[1:])
folder = Path({folder!r})
with (folder / "started").open("a") as file:
    file.write(f"{{config.seed}} {{os.getpid()}} {{config.threads}} {{config.feature_cache}}\\n")
behaviour = folder / f"behaviour-{{config.seed}}"
if behaviour.exists():
    exec(behaviour.read_text())
(evaluation,) = SPAM.evaluate({{split: Count(9, 10) for split in ("train", "validation", "test")}})
digests = {{"data_digest": "d" * 64, "weights_digest": "e" * 64}}
row = {{**config_fields(SPAM, config, datetime.now(UTC)), **evaluation_fields(evaluation), **digests}}
row["training_minutes"] = 1
append_rows(Path(config.results_dir) / SPAM.csv_name, SPAM.columns, [row])
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where ``behaviour-<seed>`` holds what a run with that seed does first; ``started`` lists the runs."""
    folder = tmp_path / "stand_in"
    folder.mkdir()
    runner = folder / "runner.py"
    runner.write_text(RUNNER.format(project=str(PROJECT), folder=str(folder)))
    monkeypatch.setattr(spam.SpamTask, "command", str(runner))
    monkeypatch.setattr(inputs, "check_inputs", lambda *_, **__: [])  # it reads none
    return folder


def started(folder: Path) -> list[list[str]]:
    """What each run that the stand-in was started for had: seed, process, threads, folder of features."""
    return [line.split(" ") for line in (folder / "started").read_text().splitlines()]
