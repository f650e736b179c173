"""A run says how far it is, and is the same run."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.config.shapes import NANO
from ablation.listener import TRAINING, Listener, Listeners
from ablation.run import progress_file
from ablation.run.experiment import run_experiment
from ablation.run.progress_file import ProgressFile, RunProgress, progress_told, read_progress
from tests.support.toy_task import TOY, ToyConfig


class Reader(Listener):
    """Reads the file at each event, as a sweep might."""

    def __init__(self, path: Path) -> None:
        self.path, self.seen = path, list[RunProgress | None]()

    def work_advanced(self, amount: int) -> None:
        self.seen.append(read_progress(self.path))


def test_it_is_told_how_far_a_run_is_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_file, "INTERVAL", 0.0)
    config = ToyConfig(
        model_size=NANO, weights="random", n_layers=2, emb_dim=16, n_heads=2, trainable_layers="all", max_steps=3,
        eval_freq=1, device="cpu",
    )  # fmt: skip
    path = tmp_path / "run.progress"
    reader = Reader(path)
    watched = run_experiment(TOY, config, Listeners(ProgressFile(path), reader))
    assert watched.history.evaluations == run_experiment(TOY, config).history.evaluations
    steps = [(now.work, now.done, now.amount) for now in reader.seen if now is not None]
    assert steps == [(TRAINING, done, 3) for done in (1, 2, 3)]
    assert [now.loss for now in reader.seen if now is not None][1:] == [
        losses.train_loss for losses in watched.history.evaluations[:2]
    ]
    ended = read_progress(path)
    assert ended is not None and ended.trained and ended.seconds_left is None


def test_a_pace_tells_what_is_left() -> None:
    assert RunProgress(TRAINING, 10, 40, seconds=5.0).seconds_left == 15
    assert RunProgress(TRAINING, 0, 40, seconds=5.0).seconds_left is None


def test_a_run_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "run.progress"
    with pytest.raises(KeyboardInterrupt), progress_told(str(path)) as told:
        told.work_started(TRAINING, 10, "batch")
        assert path.exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_ends_no_run(tmp_path: Path) -> None:
    ProgressFile(tmp_path / "nowhere" / "run.progress").work_started(TRAINING, 10, "batch")
    assert read_progress(tmp_path / "nowhere" / "run.progress") is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"done": "x"}', '{"work": 1}', '{"loss": "low"}', '{"seconds": NaN}', '{"amount": null}'],
)
def test_what_no_run_says_is_no_progress(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.progress").write_text(text)
    assert read_progress(tmp_path / "run.progress") is None
