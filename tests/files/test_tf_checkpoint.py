"""The numpy reader of TensorFlow checkpoints. Numbers in brackets: points of the issue's list."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablation.files import tf_checkpoint
from ablation.files.tf_checkpoint import Checkpoint, WeightsError, read_index
from ablation.files.weight_formats import open_file
from ablation.model.weights import open_weights
from tests.support import tf_checkpoint_writer

FIXTURE = Path(__file__).parents[1] / "fixtures" / "tf_checkpoint"
INDEX, DATA = "model.ckpt.index", "model.ckpt.data-00000-of-00001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of TensorFlow's checkpoint, free to be damaged."""
    for name in (INDEX, DATA):
        shutil.copy(FIXTURE / name, tmp_path)
    return tmp_path


def test_checkpoint_written_by_tensorflow() -> None:
    """[5] Names, shapes and bits as TensorFlow's own reader gave them."""
    expected = json.loads((FIXTURE / "tensors.json").read_text(encoding="utf-8"))
    checkpoint = Checkpoint(FIXTURE / INDEX, FIXTURE / DATA)
    found = checkpoint.read(expected)
    assert sorted(checkpoint.entries) == sorted(expected)
    for name, tensor in found.items():
        assert tensor.dtype == np.float32
        assert list(tensor.shape) == expected[name]["shape"]
        np.testing.assert_array_equal(tensor.ravel(), np.float32(expected[name]["values"]))


def test_steps_and_shards_written_by_tensorflow() -> None:
    """The folder holds two steps of two shards; its `checkpoint` file has the absolute path of another machine."""
    expected = json.loads((FIXTURE / "tensors.json").read_text(encoding="utf-8"))
    for path, factor in (("", 1), ("model.ckpt-20", 1), ("model.ckpt-3", 2), ("model.ckpt-3.index", 2)):
        file = open_file(FIXTURE / "sharded" / path)
        assert len(file.paths) == 3 and file.shapes.keys() == expected.keys()
        for name, tensor in file.read(expected).items():
            numbers = np.float32(expected[name]["values"]).reshape(expected[name]["shape"])
            np.testing.assert_array_equal(tensor.numpy(), factor * numbers)


def test_the_writer_of_these_tests_agrees_with_tensorflow() -> None:
    """The other tests' checkpoints are therefore as TensorFlow would write them."""
    expected = json.loads((FIXTURE / "tensors.json").read_text(encoding="utf-8"))
    tensors = {name: np.float32(entry["values"]).reshape(entry["shape"]) for name, entry in expected.items()}
    index, data = tf_checkpoint_writer.write(tensors)
    assert data == (FIXTURE / DATA).read_bytes()
    expected_index = (FIXTURE / INDEX).read_bytes()
    _, _, position = tf_checkpoint._handle(expected_index[-48:], 0)
    index_block, _, _ = tf_checkpoint._handle(expected_index[-48:], position)
    assert index[:index_block] == expected_index[:index_block]  # the keys in the last block may be shortened


def test_flipped_byte_names_the_tensor(folder: Path) -> None:
    """[5] One bit of one number in `model/h1/mlp/c_fc/w`: that tensor is refused, by name; others can be read."""
    checkpoint = Checkpoint(folder / INDEX, folder / DATA)
    data = bytearray((folder / DATA).read_bytes())
    data[checkpoint.entries["model/h1/mlp/c_fc/w"].offset + 17] ^= 4
    (folder / DATA).write_bytes(data)
    with pytest.raises(WeightsError, match=r"tensor model/h1/mlp/c_fc/w is damaged \(masked CRC-32C") as failure:
        checkpoint.verify()
    assert "\n" not in str(failure.value)
    checkpoint.read(["model/wte", "model/h1/mlp/c_fc/b"])
    with pytest.raises(WeightsError, match="model/h1/mlp/c_fc/w"):
        open_weights(folder).digest()


def test_truncated_index(folder: Path) -> None:
    """[5] Cut at every length: always a WeightsError, never anything else and never half a list."""
    content = (FIXTURE / INDEX).read_bytes()
    for length in range(len(content)):
        (folder / INDEX).write_bytes(content[:length])
        with pytest.raises(WeightsError, match=r"model\.ckpt\.index is no intact checkpoint index"):
            read_index(folder / INDEX)


def test_flipped_bit_anywhere_in_the_index(folder: Path) -> None:
    """[5] Either noticed, or in a part that says nothing about tensors: never another list."""
    content = (FIXTURE / INDEX).read_bytes()
    intact, unnoticed = read_index(FIXTURE / INDEX), 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        (folder / INDEX).write_bytes(damaged)
        with contextlib.suppress(WeightsError):
            assert read_index(folder / INDEX) == intact, f"byte {position} changed what is read"
            unnoticed += 1
    assert unnoticed < 48 + 13  # the footer's padding and the empty block of meta-data


def test_truncated_data(folder: Path) -> None:
    data = (folder / DATA).read_bytes()
    (folder / DATA).write_bytes(data[:-1])
    with pytest.raises(
        WeightsError, match=rf"truncated: {len(data) - 1} bytes, but model/wte ends at byte {len(data)}"
    ):
        Checkpoint(folder / INDEX, folder / DATA)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read .*No such file"):
        Checkpoint(tmp_path / INDEX, tmp_path / DATA)


def test_views_of_the_file(folder: Path) -> None:
    """No copy is made; writing to a tensor leaves the file alone."""
    before = (folder / DATA).read_bytes()
    tensor = Checkpoint(folder / INDEX, folder / DATA).read(["model/wte"])["model/wte"]
    assert isinstance(tensor, np.memmap)
    tensor[:] = 0
    assert (folder / DATA).read_bytes() == before


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
shapes = st.lists(st.integers(1, 7), max_size=4).map(tuple)


@settings(deadline=None)
@given(
    st.dictionaries(st.one_of(names, names.map("model/h0/attn/".__add__)), shapes, max_size=40),
    st.integers(1, 4000),
)
def test_any_names_and_shapes(tmp_path_factory: pytest.TempPathFactory, model: dict, block_bytes: int) -> None:
    """[5] Whatever is written comes back, in an index of one block or of many."""
    tensors = {
        name: tf_checkpoint_writer.random_tensor(shape, seed) for seed, (name, shape) in enumerate(model.items())
    }
    folder = tmp_path_factory.mktemp("checkpoint")
    index, data = tf_checkpoint_writer.write(tensors, block_bytes)
    (folder / INDEX).write_bytes(index)
    (folder / DATA).write_bytes(data or b"\0")
    checkpoint = Checkpoint(folder / INDEX, folder / DATA)
    assert checkpoint.entries.keys() == tensors.keys()
    for name, tensor in checkpoint.read(tensors).items():
        assert tensor.shape == tensors[name].shape
        assert tensor.tobytes() == tensors[name].tobytes()
    shutil.rmtree(folder)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_politely(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """[5] Noise, also noise that ends like an index."""
    path = tmp_path_factory.getbasetemp() / "noise.index"
    for ending in (b"", (FIXTURE / INDEX).read_bytes()[-8:], (FIXTURE / INDEX).read_bytes()[-48:]):
        path.write_bytes(content + ending)
        with pytest.raises(WeightsError, match="no intact checkpoint index"):
            read_index(path)


def message(fields: dict) -> bytes:
    """Of numbers, bytes and messages, each as its own wire type."""
    parts = []
    for number, value in fields.items():
        if isinstance(value, int):
            parts.append(tf_checkpoint_writer._number(number, value))
        else:
            parts.append(tf_checkpoint_writer._message(number, message(value) if isinstance(value, dict) else value))
    return b"".join(parts)


@pytest.mark.parametrize("fields", [
    {1: 1, 2: 7, 4: 0, 5: 4},  # the shape as a number
    {1: 1, 2: {2: 5}, 4: 0, 5: 4},  # a dimension as a number
    {1: 1, 2: {2: {1: b"x" * 9}}, 4: 0, 5: 4},
    {1: b"x", 4: 0, 5: 4},
    {1: 1, 4: b"x", 5: 4},
    {1: 1, 4: 0, 5: b"xxxx"},
    {1: 1, 4: 0, 5: 4, 6: b"x"},
    {1: 1, 2: b"\x12\x00\x12\x0a\x08" + b"\x80" * 8 + b"\x80\x01", 6: 0xA282EAD8},  # no numbers, 2**63 to a row
])  # fmt: skip
def test_wrong_wire_types_under_valid_checksums(folder: Path, fields: dict) -> None:
    records = [(b"", b""), (b"model/wte", message(fields))]
    (folder / INDEX).write_bytes(tf_checkpoint_writer._table(records, 1 << 18))
    with pytest.raises(WeightsError, match=r"no intact checkpoint index"):
        Checkpoint(folder / INDEX, folder / DATA).verify()


def test_memory_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(content: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(tf_checkpoint, "_entries", refuse)
    with pytest.raises(WeightsError, match="no intact checkpoint index"):
        read_index(folder / INDEX)
