"""Base weights and messages other than the published ones make a run another run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from ablation.config.experiment import ExperimentConfig, config_hash
from ablation.config.shapes import NANO
from ablation.data.demo import WEIGHTS
from ablation.results.run_folder import config_fields, describe_result
from ablation.run.experiment import run_experiment
from ablation.run.inputs import foreign_digests, has_published_weights
from ablation.tasks.spam import SPAM
from tests.support.made_up_results import made_up_messages

QUICK: dict[str, Any] = {"max_steps": 1, "eval_iter": 1, "context_length": 8, "device": "cpu", "offline": True}


def weights_file(path: Path, shift: float) -> Path:
    """The demo's weights with something added to one number."""
    tensors = load_file(WEIGHTS)
    tensors["final_norm.shift"][0] += shift
    save_file(tensors, path)
    return path


def row_of(config: ExperimentConfig) -> tuple[dict[str, Any], dict[str, str]]:
    """The row that a run would append, and what is foreign to it."""
    result = run_experiment(SPAM, config)
    (row,) = describe_result(SPAM, result).rows
    assert result.foreign == foreign_digests(SPAM, config)  # known before, too
    assert (row["weights_digest"], row["data_digest"]) == (result.facts.weights_digest, result.facts.data_digest)
    return row, dict(result.foreign)


def test_other_base_weights_are_another_run(tmp_path: Path) -> None:
    paths = [weights_file(tmp_path / f"{shift}.safetensors", shift) for shift in (0.0, 1.0, 2.0)]
    (same, own), *others = [row_of(ExperimentConfig(demo=True, weights_path=str(path), **QUICK)) for path in paths]
    assert own == {} and same["config_hash"] == config_hash(ExperimentConfig(demo=True, **QUICK))
    for row, foreign in others:
        assert foreign == {"weights_digest": row["weights_digest"]}
        assert row["row"] is None and row["run_id"].startswith(f"custom-123-{row['config_hash'][:8]}-")
    assert len({row["config_hash"] for row, _ in [(same, own), *others]}) == 3


def test_other_messages_are_another_run(tmp_path: Path) -> None:
    rows = []
    for count in (20, 30):
        data = made_up_messages(tmp_path / str(count), count)
        config = ExperimentConfig(model_size=NANO, data_dir=str(data), trust_new_hash=True, **QUICK)
        row, foreign = row_of(config)
        assert foreign == {"data_digest": row["data_digest"]} and row["row"] is None
        rows.append(row)
    assert len({config_hash(config), *(row["config_hash"] for row in rows)}) == 3


def test_a_row_has_its_number_only_on_what_is_published(tmp_path: Path) -> None:
    rows = []
    for shift in (0, 1):
        path = weights_file(tmp_path / f"{shift}.safetensors", shift)
        config = ExperimentConfig(demo=True, weights_path=str(path))
        rows.append(config_fields(SPAM, config, datetime.now(UTC), foreign_digests(SPAM, config)))
    assert [row["row"] for row in rows] == [1, None]
    assert [row["run_id"].partition("-")[0] for row in rows] == ["1", "custom"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),  # fetched ones are checked
        ({"weights": "random"}, True),  # the configuration says all of them
        ({"weights": "random", "trust_new_hash": True}, True),
        ({"weights_path": "mine.safetensors"}, False),
        ({"demo": True, "trust_new_hash": True}, True),
    ],
    ids=str,
)
def test_which_weights_are_published(
    settings: dict[str, Any], expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights_file(tmp_path / "mine.safetensors", 1)
    assert has_published_weights(ExperimentConfig(**settings)) == expected


def test_trusting_new_hashes_does_not_make_published_messages_foreign(real_data_dir: Path) -> None:
    config = ExperimentConfig(model_size=NANO, data_dir=str(real_data_dir), trust_new_hash=True)
    assert foreign_digests(SPAM, config) == {}


def test_nothing_at_hand_is_nothing_foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is fetched to find out."""
    monkeypatch.setattr("socket.create_connection", lambda *a, **k: pytest.fail("a connection was opened"))
    config = ExperimentConfig(
        data_dir=str(tmp_path), models_dir=str(tmp_path), trust_new_hash=True, weights_path=None
    )
    assert foreign_digests(SPAM, config) == {}
    assert list(tmp_path.iterdir()) == []
