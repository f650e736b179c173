"""Snapshots: what was written is read back to the bit, or named and not used."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from ablation.files import snapshots as module
from ablation.files.snapshots import ENDING, PREVIOUS, SHARE, Snapshots

KEY = {"config_hash": "abc", "device": "cpu"}
TENSORS = {
    "states": torch.arange(12, dtype=torch.float32).view(3, 4),
    "step": torch.tensor(7.0),
    "generator": torch.arange(5, dtype=torch.uint8),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "none": torch.empty(0, 3),
}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Kept:
    """Snapshots in a folder, with a clock of the test's and what they say."""

    def __init__(self, folder: Path, key: dict[str, Any] = KEY, every: float = 60.0) -> None:
        self.said: list[str] = []
        self.clock = Clock()
        self.all = Snapshots(folder, key, every, self.said.append, self.clock)
        self.file = folder / f"training{ENDING}"


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    Kept(tmp_path).all.write("training", TENSORS, {"epoch": 2, "losses": [0.1, 1 / 3]})
    found = Kept(tmp_path).all.read("training")
    assert found is not None and found.facts == {"epoch": 2, "losses": [0.1, 1 / 3]}
    assert {name: tensor.dtype for name, tensor in found.tensors.items()} == {n: t.dtype for n, t in TENSORS.items()}
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in TENSORS.items())
    found.tensors["states"].zero_()  # stays in memory
    again = Kept(tmp_path).all.read("training")
    assert again is not None and torch.equal(again.tensors["states"], TENSORS["states"])


def damage_cut(content: bytes) -> bytes:
    return content[:-9]


def damage_number(content: bytes) -> bytes:
    return bytes([content[3] ^ 16]) + content[1:]


def damage_header(content: bytes) -> bytes:
    at = content.index(b'"facts"') + 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "reason"), [(damage_cut, "cut off"), (damage_number, "numbers are damaged"), (damage_header, "header")]
)
def test_a_damaged_one_is_named_and_the_one_before_it_used(tmp_path: Path, damage: Any, reason: str) -> None:
    kept = Kept(tmp_path)
    kept.all.write("training", TENSORS, {"epoch": 1})
    kept.all.write("training", TENSORS, {"epoch": 2})
    kept.file.write_bytes(damage(kept.file.read_bytes()))
    found = kept.all.read("training")
    assert found is not None and found.facts == {"epoch": 1}
    assert len(kept.said) == 1 and str(kept.file) in kept.said[0] and reason in kept.said[0]
    kept.file.with_name(kept.file.name + PREVIOUS).unlink()
    assert kept.all.read("training") is None


def test_one_of_another_run_or_device_is_refused_by_name(tmp_path: Path) -> None:
    Kept(tmp_path).all.write("training", TENSORS, {})
    other = Kept(tmp_path, {**KEY, "device": "cuda"})
    assert other.all.read("training") is None
    assert other.said == [f"checkpoint: {other.file} is not used: it has another device: cpu instead of cuda"]


def test_what_a_killed_writer_left_is_no_snapshot(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.all.write("training", TENSORS, {"epoch": 1})
    content = kept.file.read_bytes()
    kept.file.with_name(kept.file.name + ".part").write_bytes(content[:50])  # killed while writing
    found = kept.all.read("training")
    assert found is not None and found.facts == {"epoch": 1}
    kept.file.rename(kept.file.with_name(kept.file.name + PREVIOUS))  # killed between the two renames
    found = kept.all.read("training")
    assert found is not None and found.facts == {"epoch": 1} and kept.said == []
    kept.all.write("training", TENSORS, {"epoch": 2})
    found = kept.all.read("training")
    assert found is not None and found.facts == {"epoch": 2}


def test_a_full_disk_is_said_and_nothing_else_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(tmp_path)
    kept.all.write("training", TENSORS, {"epoch": 1})

    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "append", full)
    kept.all.write("training", TENSORS, {"epoch": 2})
    assert kept.said == [f"checkpoint: not written (No space left on device: {tmp_path}); the run goes on"]
    found = kept.all.read("training")
    assert found is not None and found.facts == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == [kept.file.name]


def test_they_are_due_after_the_time_asked_for_and_cost_a_small_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(tmp_path, every=60.0)
    kept.clock.now = 59.0
    assert not kept.all.is_due and not kept.all.has_begun
    kept.clock.now = 60.0
    assert kept.all.is_due and kept.all.has_begun
    real = module.append

    def slow(*arguments: Any) -> int:
        kept.clock.now += 1.0
        return real(*arguments)

    monkeypatch.setattr(module, "append", slow)  # twice a tensor
    kept.all.write("training", {"a": torch.zeros(2), "b": torch.zeros(2)}, {})
    assert kept.clock.now == 64.0
    kept.clock.now += 4.0 / SHARE - 1
    assert not kept.all.is_due
    kept.clock.now += 1
    assert kept.all.is_due


def test_they_end_together(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "run")
    kept.all.remove()  # none yet
    kept.all.write("training", TENSORS, {})
    kept.all.write("training", TENSORS, {})
    kept.all.remove()
    assert not (tmp_path / "run").exists()
