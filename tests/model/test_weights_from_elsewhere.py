"""Weights as Hugging Face and TensorFlow store them, against transformers' own model and against damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ablation.model.weights import open_weights
from tests.support.hub_twin import (
    BIN_INDEX,
    INDEX,
    SHAPE,
    check,
    make_twin,
    pytorch_bin,
    refused,
    sharded,
    sharded_bin,
    state_file,
    step,
)

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def twin() -> Any:
    return make_twin()


# Hugging Face's folders


@pytest.mark.parametrize("write", [sharded, pytorch_bin, sharded_bin])
def test_folders_of_the_hub(twin: Any, tmp_path: Path, write: Callable[[Any, Path], Path]) -> None:
    check(twin, write(twin, tmp_path), SHAPE)


@pytest.mark.parametrize(("write", "index"), [(sharded, INDEX), (sharded_bin, BIN_INDEX)])
def test_the_index_named_directly(twin: Any, tmp_path: Path, write: Callable[[Any, Path], Path], index: str) -> None:
    check(twin, write(twin, tmp_path) / index, SHAPE)


def test_shards_have_the_digest_of_the_whole(twin: Any, tmp_path: Path) -> None:
    digests = set()
    for name, write in {"shards": sharded, "bin": pytorch_bin, "bins": sharded_bin}.items():
        (tmp_path / name).mkdir()
        weights = open_weights(write(twin, tmp_path / name), SHAPE)
        digests.add(weights.digest())
        assert len(weights._file.paths) == len(set(weights._file.paths)) == (1 if name == "bin" else 6)
    twin.save_pretrained(tmp_path / "whole")
    assert digests == {open_weights(tmp_path / "whole", SHAPE).digest()}


def damage_index(folder: Path, change: Callable[[dict[str, str]], object]) -> None:
    content = json.loads((folder / INDEX).read_text())
    change(content["weight_map"])
    (folder / INDEX).write_text(json.dumps(content))


@pytest.mark.parametrize("write", [sharded, sharded_bin])
def test_a_missing_or_damaged_shard_is_named(twin: Any, tmp_path: Path, write: Callable[[Any, Path], Path]) -> None:
    shard = sorted(write(twin, tmp_path).glob("*-00002-of-*"))[0]
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    refused(tmp_path, rf"{shard.name} is no intact|{shard.name} is refused")
    shard.unlink()
    refused(tmp_path, rf"index\.json lists '{shard.name}', which is missing; fetch it")


@pytest.mark.parametrize(
    "place", ["../x.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "a\\b.bin", "c:d.bin"]
)
def test_an_index_never_leads_out_of_its_folder(twin: Any, tmp_path: Path, place: str) -> None:
    (tmp_path / "model").mkdir()
    shard = sorted(sharded(twin, tmp_path / "model").glob("*.safetensors"))[0]
    shutil.copy(shard, tmp_path / "x.safetensors")
    damage_index(shard.parent, lambda places: places.update({"transformer.wpe.weight": place}))
    refused(shard.parent, r"index\.json lists '.*', which is no file of its folder")


@pytest.mark.parametrize("place", ["config.json", "model.safetensors.index.json", "x.txt", "..", "", "\n"])
def test_an_index_that_lists_other_files(twin: Any, tmp_path: Path, place: str) -> None:
    (sharded(twin, tmp_path) / "x.txt").touch()
    damage_index(tmp_path, lambda places: places.update({"transformer.wpe.weight": place}))
    refused(tmp_path, r"index\.json lists '.*', which is no \.safetensors")


def test_an_index_and_its_shards_that_disagree(twin: Any, tmp_path: Path) -> None:
    """A tensor in another shard than the index says, in two shards, or in none of the index."""
    first, second = sorted(sharded(twin, tmp_path).glob("*.safetensors"))[:2]
    index, name = (tmp_path / INDEX).read_text(), "transformer.wpe.weight"
    home = json.loads(index)["weight_map"][name]
    other = next(path for path in (first, second) if path.name != home)
    damage_index(tmp_path, lambda places: places.update({name: other.name}))
    refused(tmp_path, rf"index\.json and ({other.name}|{home}) disagree about \['{name}'\]")
    (tmp_path / INDEX).write_text(index)
    save_file({**load_file(other), name: torch.zeros(16, 32)}, other)
    refused(tmp_path, rf"index\.json and {other.name} disagree about \['{name}'\]")


def test_an_index_that_names_a_tensor_twice(twin: Any, tmp_path: Path) -> None:
    path = sharded(twin, tmp_path) / INDEX
    shard = sorted(tmp_path.glob("*.safetensors"))[0].name
    twice = f'"weight_map": {{"transformer.wpe.weight": "{shard}",'
    path.write_text(path.read_text().replace('"weight_map": {', twice))
    refused(tmp_path, r"index\.json is no intact JSON \(it names 'transformer\.wpe\.weight' twice\)")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no intact JSON"),
        (b"\xff\xfe", "no intact JSON"),
        (b"[" * 100_000, "no intact JSON"),
        (b'{"weight_map": 1' + b"0" * 5000 + b"}", "no intact JSON"),
        (b"[]", "no intact JSON"),
        (b"null", "no intact JSON"),
        (b"{}", "no weight_map"),
        (b'{"weight_map": {}}', "no weight_map"),
        (b'{"weight_map": []}', "no weight_map"),
        (b'{"weight_map": {"wte.weight": 3}}', "no weight_map"),
        (b'{"weight_map": {"wte.weight": null}}', "no weight_map"),
    ],
)
def test_damaged_indexes(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / INDEX).write_bytes(content)
    refused(tmp_path, rf"index\.json .*{message}")
    refused(tmp_path / INDEX, rf"index\.json .*{message}")


# TensorFlow's folders


@pytest.mark.parametrize("shards", [1, 2, 3, 11])
def test_checkpoints_in_several_shards(twin: Any, tmp_path: Path, shards: int) -> None:
    prefix = step(twin, tmp_path, shards=shards)
    check(twin, tmp_path, SHAPE)
    check(twin, prefix, SHAPE)
    check(twin, tmp_path / "model.ckpt.index", SHAPE)
    assert len(open_weights(prefix).digest()) == 64


def test_the_checkpoint_file_says_which_step(twin: Any, tmp_path: Path) -> None:
    other = make_twin(initializer_range=0.2)
    for name, model in {"model.ckpt-1": other, "model.ckpt-2": twin, "model.ckpt-10": other}.items():
        step(model, tmp_path, name, shards=2)
    refused(tmp_path, r"holds no model\.safetensors and 3 \*\.index files.*model\.ckpt-1")
    for latest in ("model.ckpt-2", "./model.ckpt-2", "/where/it/was/trained/model.ckpt-2"):
        state_file(tmp_path, latest)
        check(twin, tmp_path, SHAPE)
    check(other, tmp_path / "model.ckpt-10", SHAPE)


@pytest.mark.parametrize("latest", ["model.ckpt-3", "../model.ckpt-1", "", "..", "\\n", "a" * 5000])
def test_a_checkpoint_file_that_names_none_of_its_folder(twin: Any, tmp_path: Path, latest: str) -> None:
    (tmp_path / "below").mkdir()
    for folder in (tmp_path, tmp_path / "below"):
        step(twin, folder, "model.ckpt-1")
    state_file(tmp_path / "below", latest)
    refused(tmp_path / "below", r"below/checkpoint names '.*', which is not in its folder; .*/NAME")


def test_a_checkpoint_file_that_names_nothing(twin: Any, tmp_path: Path) -> None:
    step(twin, tmp_path)
    (tmp_path / "checkpoint").write_bytes(b"\xff\0")
    refused(tmp_path, r"checkpoint names no model_checkpoint_path; .*/NAME")


def test_a_missing_or_truncated_shard_of_a_checkpoint(twin: Any, tmp_path: Path) -> None:
    shard = tmp_path / "model.ckpt.data-00001-of-00002"
    step(twin, tmp_path, shards=2)
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    refused(tmp_path, rf"{shard.name} is truncated: {len(content) - 1} bytes, but model/.* ends at byte {len(content)}")
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused(tmp_path, rf"{shard.name}: tensor model/.* is damaged")
    shard.unlink()
    refused(tmp_path, rf"cannot read .*{shard.name}: No such file")
