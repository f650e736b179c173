"""Writes TensorFlow checkpoints for tests: the format that `ablation.files.tf_checkpoint` reads, written independently.

It is itself checked against the fixture that TensorFlow wrote (tests/test_tf_checkpoint.py).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import google_crc32c
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
RESTART_EVERY = 16  # LevelDB's default: every 16th key is written in full


def random_tensor(shape: tuple[int, ...], seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def write(tensors: Mapping[str, Array], block_bytes: int = 1 << 18) -> tuple[bytes, bytes]:
    """Index and data shard. `block_bytes`: a block of the index ends when it holds so many (TensorFlow: 256 KiB)."""
    index, (data,) = write_shards(tensors, 1, block_bytes)
    return index, data


def write_shards(
    tensors: Mapping[str, Array], shards: int, block_bytes: int = 1 << 18
) -> tuple[bytes, tuple[bytes, ...]]:
    """Index and data shards, over which the tensors are dealt out in turn."""
    data = [b""] * shards
    records = [(b"", _number(1, shards) + _message(3, _number(1, 1)))]  # BundleHeaderProto: so many shards, version 1
    for number, name in enumerate(sorted(tensors, key=lambda text: text.encode())):
        raw = np.ascontiguousarray(tensors[name], dtype="<f4").tobytes()
        shape = b"".join(_message(2, _number(1, size)) for size in tensors[name].shape)
        shard = number % shards
        entry = _number(1, 1) + _message(2, shape) + _number(3, shard) + _number(4, len(data[shard]))
        entry += _number(5, len(raw)) + bytes([6 << 3 | 5]) + struct.pack("<I", masked_crc(raw))
        records.append((name.encode(), entry))
        data[shard] += raw
    return _table(records, block_bytes), tuple(data)


def write_folder(tensors: Mapping[str, Array], folder: Path, name: str = "model.ckpt", shards: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    index, data = write_shards(tensors, shards)
    (folder / f"{name}.index").write_bytes(index)
    for number, content in enumerate(data):
        (folder / f"{name}.data-{number:05}-of-{shards:05}").write_bytes(content)
    return folder


def masked_crc(raw: bytes) -> int:
    crc = google_crc32c.value(raw)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def _table(records: list[tuple[bytes, bytes]], block_bytes: int) -> bytes:
    content, handles, start = b"", [], 0
    for end in range(1, len(records) + 1):
        block = _block(records[start:end])
        if len(block) >= block_bytes or end == len(records):
            handles.append((records[end - 1][0], _varint(len(content)) + _varint(len(block))))
            content += block + _trailer(block)
            start = end
    meta_handle = _varint(len(content))
    meta = _block([])
    content += meta + _trailer(meta)
    index_handle = _varint(len(content))
    index = _block(handles)
    content += index + _trailer(index)
    footer = meta_handle + _varint(len(meta)) + index_handle + _varint(len(index))
    return content + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def _block(records: list[tuple[bytes, bytes]]) -> bytes:
    content, restarts, previous = b"", [0], b""
    for number, (key, value) in enumerate(records):
        shared = 0
        if number % RESTART_EVERY:
            while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
                shared += 1
        elif number:
            restarts.append(len(content))
        content += _varint(shared) + _varint(len(key) - shared) + _varint(len(value)) + key[shared:] + value
        previous = key
    return content + b"".join(struct.pack("<I", offset) for offset in [*restarts, len(restarts)])


def _trailer(block: bytes) -> bytes:
    return b"\0" + struct.pack("<I", masked_crc(block + b"\0"))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value) if value else b""


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = []
    while value >= 128:
        digits.append(value % 128 | 128)
        value //= 128
    return bytes([*digits, value])
