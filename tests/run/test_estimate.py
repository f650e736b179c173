"""Times are told from runs like the one that is planned, on this machine; else they are unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import additional_experiments
from ablation.config.rows import row_config
from ablation.results.read import read_results
from ablation.run import estimate
from ablation.run.estimate import estimate_seconds, has_kept_features
from ablation.tasks.spam import SPAM
from tests.support.made_up_results import made_up_messages, make_run, publish


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Messages that count as the published ones; the machine is that of made-up runs."""
    monkeypatch.setattr(estimate, "device_name", lambda device: "Some CPU")
    folder = made_up_messages(tmp_path / "data")
    publish(monkeypatch, folder)
    return folder


def seconds(results: Path, row: int, reuses: bool = False, **overrides: Any) -> float | None:
    config = row_config(row, **{"threads": 2, "seed": 99, **overrides})
    return estimate_seconds(SPAM, config, read_results(results, SPAM)[0], reuses=reuses)


def test_only_runs_of_the_same_work_under_the_same_conditions_tell(tmp_path: Path, data: Path) -> None:
    make_run(tmp_path, data, row_config(5, seed=1), 0.9, total_minutes=4.0, features="none", feature_seconds=0)
    make_run(tmp_path, data, row_config(5, seed=2), 0.9, total_minutes=99.0, threads=1)
    make_run(tmp_path, data, row_config(5, seed=3), 0.9, total_minutes=99.0, device_name="another")
    make_run(tmp_path, data, row_config(5, seed=4, execution="naive"), 0.9, total_minutes=99.0)
    assert seconds(tmp_path, 5) == 240
    assert seconds(tmp_path, 5, learning_rate=1e-3) == 240
    assert seconds(tmp_path, 5, batch_size=4) is None
    assert seconds(tmp_path, 5, threads=4) is None
    assert seconds(tmp_path, 4) is None


def test_a_method_is_told_by_runs_of_the_same_one_alone(tmp_path: Path, data: Path) -> None:
    changes: dict[str, Any] = {"total_minutes": 4.0, "features": "none", "feature_seconds": 0}
    for row in (11, 20, 26):
        make_run(tmp_path, data, row_config(row, seed=1), 0.9, **changes)
    assert (seconds(tmp_path, 20), seconds(tmp_path, 26)) == (240, 240)
    assert seconds(tmp_path, 20, lora_scaling="alpha", learning_rate=1.0) == 240
    assert seconds(tmp_path, 20, lora_init="normal_rank", lora_alpha=1) == 240
    assert seconds(tmp_path, 26, adapter_scale=1.0, decayed="everything") == 240
    assert seconds(tmp_path, 20, lora_rank=16) is seconds(tmp_path, 20, from_block=6) is None
    assert seconds(tmp_path, 26, bottleneck=8) is seconds(tmp_path, 26, train_final_norm=True) is None
    for row in (5, 21, 22, 25, 27, 28, 33):
        assert seconds(tmp_path, row) is None


def test_features_are_reckoned_by_themselves(tmp_path: Path, data: Path) -> None:
    """Made-up features take 100 s; rows 1 and 3 share theirs, row 4 has others."""
    make_run(tmp_path, data, row_config(1, seed=1), 0.9, total_minutes=3.0)
    make_run(tmp_path, data, row_config(3, seed=1), 0.9, total_minutes=1.0, features="reused", feature_seconds=10)
    make_run(tmp_path, data, row_config(4, seed=1), 0.9, total_minutes=1.0, features="reused", feature_seconds=10)
    assert (seconds(tmp_path, 1), seconds(tmp_path, 1, reuses=True)) == (180, 80)
    assert (seconds(tmp_path, 3), seconds(tmp_path, 3, reuses=True)) == (150, 60)
    assert (seconds(tmp_path, 4), seconds(tmp_path, 4, reuses=True)) == (None, 60)
    assert seconds(tmp_path, 4, weights="random") is None


def test_more_steps_take_longer(tmp_path: Path, data: Path) -> None:
    changes: dict[str, Any] = {"features": "none", "feature_seconds": 0, "training_minutes": 2.0, "total_minutes": 2.5}
    make_run(tmp_path, data, row_config(5, seed=1, num_epochs=2), 0.9, **changes)
    assert seconds(tmp_path, 5, num_epochs=4) == pytest.approx(270)
    (run,) = read_results(tmp_path, SPAM)[0]
    per_epoch = run.counts["train"].total // 8
    assert seconds(tmp_path, 5, num_epochs=2, max_steps=per_epoch) == pytest.approx(90)


def test_features_are_kept_where_a_run_has_left_them(tmp_path: Path, data: Path) -> None:
    folder = tmp_path / "features"
    make_run(tmp_path, data, row_config(1, seed=1, feature_cache=str(folder)), 0.9)
    runs = read_results(tmp_path, SPAM)[0]
    assert not has_kept_features(SPAM, row_config(3, feature_cache=str(folder)), runs)
    folder.mkdir()
    (folder / "entry").touch()
    assert has_kept_features(SPAM, row_config(3, feature_cache=str(folder)), runs)
    assert not has_kept_features(SPAM, row_config(4, feature_cache=str(folder)), runs)
    assert not has_kept_features(SPAM, row_config(3), runs)


def test_a_dry_run_says_how_long(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--row", "5", "--dry_run", "--threads", "2", "--device", "cpu", "--results_dir", str(tmp_path)]
    assert additional_experiments.main(command) == 0
    assert "time                  unknown: no run like this one has finished here yet" in capsys.readouterr().out
    make_run(tmp_path, data, row_config(5, seed=1), 0.9, total_minutes=4.0, features="none", feature_seconds=0)
    assert additional_experiments.main(command) == 0
    assert "time                  about 4 min" in capsys.readouterr().out


@pytest.mark.parametrize("minutes", ["soon", "nan", "-3", "0", "inf"])
def test_a_row_without_a_time_tells_nothing(tmp_path: Path, data: Path, minutes: str) -> None:
    make_run(tmp_path, data, row_config(5, seed=1), 0.9, total_minutes=minutes, features="none", feature_seconds=0)
    assert seconds(tmp_path, 5) is None
    make_run(tmp_path, data, row_config(5, seed=2), 0.9, total_minutes=4.0, features="none", feature_seconds="?")
    assert seconds(tmp_path, 5) == 240
