"""A language model's run that was cut off and gone on with is the run that was not, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ablation.config.experiment import config_hash
from ablation.files.snapshots import Snapshots
from ablation.run.inputs import RunError
from ablation.run.kinds import save_result
from ablation.tasks.language_model import LANGUAGE_MODEL
from tests.support.sentence_runs import CutOffError, Cutter, Noting, found_out, run_tiny, tiny

pytestmark = pytest.mark.usefixtures("few_messages")

# Dropout draws from the global generator, sentences after each epoch do not. So high a rate makes the first epoch best.
SETTINGS: dict[str, Any] = {
    "validation_bleu": True, "dropout": 0.1, "learning_rate": 0.1, "num_epochs": 3, "patience": 2, "save_model": True,
    "checkpoint_every": 5.0,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "by perplexity": {},
    "by BLEU": {"select_by": "bleu", "num_epochs": 4, "learning_rate": 0.03},
    "lora, tied": {"method": "lora", "tie_head": True},
    "last block, in file order": {"trainable_layers": "last_block", "shuffle": "never", "max_steps": 5},
    "naive": {"execution": "naive"},
}


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A checkpoint wherever there may be one."""
    monkeypatch.setattr(Snapshots, "is_due", property(lambda self: True))
    monkeypatch.setattr(Snapshots, "has_begun", property(lambda self: True))
    yield


def cut_off(folder: Path, after: int, within: str = "", **settings: Any) -> Cutter:
    cutter = Cutter(after, within)
    with pytest.raises(CutOffError):
        run_tiny(folder, cutter, **{**SETTINGS, **settings})
    return cutter


def snapshot(folder: Path) -> Path:
    (found,) = folder.glob("checkpoints/*/training.snapshot")
    return found


@pytest.mark.usefixtures("always_due")
def test_it_goes_on_to_the_bit(tmp_path: Path) -> None:
    """Cut off within an epoch, in its validation, where sentences are generated after it, between two, and so on."""
    whole = run_tiny(tmp_path, **{**SETTINGS, "checkpoint_every": 0.0})
    assert whole.history.best_epoch < len(whole.history.epochs) == 3
    places = [("epoch 1", 3), ("validation", 1), ("random", 1), ("epoch 2", 1), ("epoch 2", 3), ("random", 1)]
    begun = [cut_off(tmp_path, after, within).works[0] for within, after in places]
    assert begun == ["epoch 1", "epoch 1", "epoch 1", "epoch 1", "epoch 2", "epoch 2"]
    result = run_tiny(tmp_path, last := Noting(), **SETTINGS)
    assert found_out(result) == found_out(whole)
    assert result.resumed == 5  # one of the six was cut off before it had written anything
    assert any("going on from a checkpoint" in line for line in last.said)
    save_result(LANGUAGE_MODEL, result)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize("kind", KINDS)
def test_so_it_does_from_every_place(kind: str, tmp_path: Path) -> None:
    settings = {**SETTINGS, **KINDS[kind]}
    whole = run_tiny(tmp_path, counter := Noting(), **{**settings, "checkpoint_every": 0.0})
    for after in range(1, counter.done + 1):
        folder = tmp_path / str(after)
        cut_off(folder, after, **settings)
        assert found_out(run_tiny(folder, **settings)) == found_out(whole), after


# ---- after training --------------------------------------------------------------------------------------------------


def test_who_is_cut_off_while_it_generates_need_not_train_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end is written down in any case, unless the run is too short for any checkpoint."""
    monkeypatch.setattr(Snapshots, "is_due", property(lambda self: False))
    settings = {**SETTINGS, "validation_bleu": False, "num_epochs": 2, "n_samples": 2}
    whole = run_tiny(tmp_path, **{**settings, "checkpoint_every": 0.0})
    cut_off(tmp_path, 1, "random", **settings)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(Snapshots, "has_begun", property(lambda self: True))
    cutter = cut_off(tmp_path, 1, "random", **settings)
    assert cutter.works == ["epoch 1", "validation", "epoch 2", "validation", "random at temperature 1"]
    result = run_tiny(tmp_path, last := Noting(), **settings)
    assert last.works == ["random at temperature 1"] and found_out(result) == found_out(whole)


# ---- what is gone on from --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("always_due")
def test_where_the_newest_is_damaged_the_one_before_it_serves(tmp_path: Path) -> None:
    whole = run_tiny(tmp_path, **{**SETTINGS, "checkpoint_every": 0.0})
    cut_off(tmp_path, 3, "epoch 2")
    content = bytearray(snapshot(tmp_path).read_bytes())
    content[len(content) // 2] ^= 1
    snapshot(tmp_path).write_bytes(content)
    result = run_tiny(tmp_path, last := Noting(), **SETTINGS)
    assert result.resumed == 1 and found_out(result) == found_out(whole)
    assert sum("training.snapshot is not used" in line for line in last.said) == 1


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize(
    "change",
    [
        {"restart": True},
        *(pytest.param(one, marks=pytest.mark.slow) for one in ({"seed": 7}, {"execution": "naive"}, {"max_len": 9})),
    ],
)
def test_only_the_same_run_is_gone_on_with(change: dict[str, Any], tmp_path: Path) -> None:
    cut_off(tmp_path, 5)
    result = run_tiny(tmp_path, last := Noting(), **{**SETTINGS, "num_epochs": 3, **change})
    assert result.resumed == 0 and last.works[0] == "epoch 1"
    assert not any("going on" in line for line in last.said)


@pytest.mark.slow
@pytest.mark.usefixtures("always_due")
def test_how_it_will_speak_is_no_other_run(tmp_path: Path) -> None:
    cut_off(tmp_path, 5)
    changes: dict[str, Any] = {"n_samples": 0, "decoding": "greedy"}
    assert run_tiny(tmp_path, **SETTINGS, **changes).resumed == 1
    assert config_hash(tiny(tmp_path, **SETTINGS, **changes)) == config_hash(tiny(tmp_path, **SETTINGS))


@pytest.mark.usefixtures("always_due")
def test_an_interrupt_says_that_the_same_command_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt, match="the same command goes on from the last checkpoint"):
        run_tiny(tmp_path, Cutter(4, how=KeyboardInterrupt), **SETTINGS)


@pytest.mark.usefixtures("always_due")
def test_what_is_not_finite_is_not_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is (nan|inf);"):
        run_tiny(tmp_path, **{**SETTINGS, "learning_rate": 1e30})
    assert not list(tmp_path.rglob("*.snapshot"))
