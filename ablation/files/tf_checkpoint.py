"""Reads TensorFlow checkpoints (index table and data shards) with numpy; TensorFlow is not needed.

The index is a table as LevelDB writes it (`doc/table_format.md` of LevelDB; `tensorflow/core/lib/io/format.h`), whose
values are `BundleEntryProto` messages (`tensorflow/core/protobuf/tensor_bundle.proto`) that say in which data shard a
tensor lies, and where. Every block of the index and every tensor carries a masked CRC-32C.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from ablation.files.weight_paths import WeightsError, unreadable

FOOTER_BYTES = 48
MAGIC = 0xDB4775248B80FB57
BLOCK_TRAILER_BYTES = 5  # one byte of compression type, four of checksum
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}  # `tensorflow/core/framework/types.proto`

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies; offset and size in bytes.

    Attributes:
        shard: how the name of its data shard ends, `data-00000-of-00001` if there is one.
    """

    shard: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int
    masked_crc32c: int


class Checkpoint:
    """A checkpoint's tensors by name. Opening reads the index only.

    Args:
        data: the one data shard; if None, all shards lie beside the index under their own names.
    """

    def __init__(self, index: Path, data: Path | None = None) -> None:
        self.entries = read_index(index)
        endings = sorted({entry.shard for entry in self.entries.values()})
        self.shards = {ending: data or index.with_suffix(f".{ending}") for ending in endings}
        for ending, shard in self.shards.items():
            self._check_length(ending, shard)

    def _check_length(self, ending: str, shard: Path) -> None:
        try:
            found = shard.stat().st_size
        except OSError as error:
            raise unreadable(shard, error) from error
        for name, entry in self.entries.items():
            if entry.shard == ending and entry.offset + entry.size > found:
                raise WeightsError(
                    f"{shard} is truncated: {found} bytes, but {name} ends at byte {entry.offset + entry.size};"
                    " delete it and fetch it again"
                )

    def read(self, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
        """The named tensors as views of the memory-mapped files, each checked against its CRC-32C.

        The views may be written to; the files are not.
        """
        names = list(names)
        endings = {self.entries[name].shard for name in names}
        mapped = {ending: np.memmap(self.shards[ending], dtype=np.uint8, mode="c") for ending in endings}
        return {name: self._checked(name, mapped[self.entries[name].shard]) for name in names}

    def verify(self) -> None:
        """Check every tensor; raises WeightsError."""
        for name in self.entries:
            self.read([name])

    def _checked(self, name: str, mapped: Bytes) -> npt.NDArray[Any]:
        entry = self.entries[name]
        raw = mapped[entry.offset : entry.offset + entry.size]
        found = _masked_crc32c(raw)
        if found != entry.masked_crc32c:
            raise WeightsError(
                f"{self.shards[entry.shard]}: tensor {name} is damaged (masked CRC-32C {found:08x}, expected"
                f" {entry.masked_crc32c:08x}); delete the file and fetch it again"
            )
        return raw.view(entry.dtype).reshape(entry.shape)


def read_index(path: Path) -> dict[str, TensorEntry]:
    """The tensors that an index file lists. Raises WeightsError if it is damaged, cut off, or no index."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        return dict(_entries(content))
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError, struct.error) as error:
        raise WeightsError(f"{path} is no intact checkpoint index ({error}); delete it and fetch it again") from None


def _entries(content: bytes) -> Iterator[tuple[str, TensorEntry]]:
    footer = content[-FOOTER_BYTES:]
    if len(footer) < FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise ValueError(f"{len(content)} bytes without the closing magic number")
    _, _, position = _handle(footer, 0)  # of the meta-index block, which holds nothing of use
    offset, size, _ = _handle(footer, position)
    shards = 1
    for _, value in _records(_block(content, offset, size)):  # the index block: one handle per data block
        data_offset, data_size, _ = _handle(value, 0)
        for key, message in _records(_block(content, data_offset, data_size)):
            if key:
                yield key.decode("utf-8"), _entry(message, shards)
            else:  # BundleHeaderProto, which comes first: 1 number of shards
                shards = dict(_fields(message)).get(1, 1)


def _block(content: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + BLOCK_TRAILER_BYTES > len(content):
        raise ValueError(f"a block ends at byte {end + BLOCK_TRAILER_BYTES} of {len(content)}")
    compression, expected = struct.unpack("<BI", content[end : end + BLOCK_TRAILER_BYTES])
    if _masked_crc32c(content[offset : end + 1]) != expected:
        raise ValueError(f"the block at byte {offset} does not match its checksum")
    if compression:
        raise ValueError(f"the block at byte {offset} is compressed")
    return content[offset:end]


def _records(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block. A key shares its first bytes with the key before it."""
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (restarts + 1)  # the records end where the restart points begin
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        fresh, position = _varint(block, position)
        length, position = _varint(block, position)
        if shared > len(key) or position + fresh + length > end:
            raise ValueError("a record reaches beyond its block")
        key = key[:shared] + block[position : position + fresh]
        yield key, block[position + fresh : position + fresh + length]
        position += fresh + length


def _entry(message: bytes, shards: int) -> TensorEntry:
    """BundleEntryProto: 1 dtype, 2 shape, 3 shard, 4 offset, 5 size, 6 masked CRC-32C, 7 slices."""
    fields = dict(_fields(message))
    if any(isinstance(value, bytes) != (number in (2, 7)) for number, value in fields.items()):
        raise ValueError(f"fields {sorted(fields)}: one is of another wire type than TensorFlow's")
    # TensorShapeProto: 2 dim, whose field 1 is the size; proto3 leaves zeros out.
    shape = tuple(dict(_fields(dim)).get(1, 0) for number, dim in _fields(fields.get(2, b"")) if number == 2)
    shard = fields.get(3, 0)
    if fields.get(1) not in DTYPES or shard not in range(shards) or 7 in fields:
        raise ValueError(f"data type {fields.get(1)}, shard {shard} of {shards}, slices {7 in fields}: not supported")
    place = f"data-{shard:05}-of-{shards:05}"
    entry = TensorEntry(place, DTYPES[fields[1]], shape, fields.get(4, 0), fields.get(5, 0), fields.get(6, 0))
    if math.prod(shape) * np.dtype(entry.dtype).itemsize != entry.size or any(length >> 63 for length in shape):
        raise ValueError(f"shape {shape} does not fit {entry.size} bytes")
    return entry


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and values of a protocol buffer message, undecoded."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag & 7 == 0:
            value, position = _varint(message, position)
            yield tag >> 3, value
        elif tag & 7 == 2:
            length, position = _varint(message, position)
            yield tag >> 3, message[position : position + length]
            position += length
        elif tag & 7 == 5:
            yield tag >> 3, struct.unpack("<I", message[position : position + 4])[0]
            position += 4
        else:
            raise ValueError(f"wire type {tag & 7} in an entry")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number in base 128, lowest digit first, and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        digit = data[position]
        position += 1
        value |= (digit & 127) << shift
        if digit < 128:
            return value, position
    raise ValueError("a number of more than 64 bits")


def _handle(data: bytes, position: int) -> tuple[int, int, int]:
    """A block's offset and size, and the position after them."""
    offset, position = _varint(data, position)
    size, position = _varint(data, position)
    return offset, size, position


def _masked_crc32c(data: bytes | Bytes) -> int:
    """CRC-32C, rotated and shifted so that checksums of checksums stay good (`tensorflow/core/lib/hash/crc32c.h`)."""
    crc = int(google_crc32c.value(data))
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
