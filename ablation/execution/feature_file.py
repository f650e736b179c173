"""Tables of hidden states in files: the kept ones, which check themselves, and temporary ones.

A kept file is a table of numbers, then a JSON header, then a trailer of fixed size. The header stands behind the
numbers because it is written last: a file without it was never finished. It repeats the key, that is everything the
numbers depend on, and has their CRC-32C; the trailer has the header's.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import torch
from torch import Tensor

TRAILER = struct.Struct("<QI8s")  # bytes of the header, its CRC-32C, and the mark
MARK = b"GPT2FEAT"
PIECE = 1 << 22  # bytes read, written and summed up at a time
Layout = list[tuple[int, list[int]]]  # per batch of messages: positions of each, and which messages


class FeatureStorageError(Exception):
    """There is no room for features, or no folder to keep them in; the message says where and what to do."""


class UnusableError(Exception):
    """Why a file must not be used."""


@dataclass(frozen=True)
class StoredFeatures:
    """A checked entry.

    Attributes:
        layout: which rows belong to which message: the batches, one behind the other.
        table: (rows, D), mapped from the file; what is written to it stays in memory.
    """

    layout: Layout
    table: Tensor


def encode_header(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return text + TRAILER.pack(len(text), google_crc32c.value(text), MARK)


def read_header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """The header of an entry, and how many bytes stand before it.

    Raises:
        UnusableError: the file is cut off, or its header damaged.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TRAILER.size))
    trailer = file.read()
    if len(trailer) != TRAILER.size or not trailer.endswith(MARK):
        raise UnusableError(f"it is cut off at {size} bytes, or not a file of features")
    length, checksum, _ = TRAILER.unpack(trailer)
    before = size - TRAILER.size - length
    text = b""
    if before >= 0:
        file.seek(before)
        text = file.read(length)
    if google_crc32c.value(text) != checksum or before < 0:
        raise UnusableError("its header is damaged")
    return json.loads(text), before


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """The parts in which two keys differ, each as ``name: found instead of expected``."""
    return [
        f"{name.replace('_', ' ')}: {_short(found.get(name))} instead of {_short(expected.get(name))}"
        for name in sorted({*found, *expected})
        if found.get(name) != expected.get(name)
    ]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:8]}…"


def read_entry(path: Path, key: Mapping[str, Any]) -> StoredFeatures:
    """Check a file from end to end and map it.

    Raises:
        FileNotFoundError: there is none.
        UnusableError: it was made for another key, or is damaged.
    """
    with path.open("rb") as file:
        header, n_bytes = read_header(file)
        if differing := differences(header["key"], key):
            raise UnusableError(f"it has another {'; another '.join(differing)}")
        dtype, shape = getattr(torch, header["dtype"]), (header["rows"], header["width"])
        if n_bytes != shape[0] * shape[1] * dtype.itemsize:
            raise UnusableError(f"it has {n_bytes} bytes of numbers where its header promises {shape} of {dtype}")
        checksum, left = 0, n_bytes
        file.seek(0)
        while left and (piece := file.read(min(PIECE, left))):
            checksum, left = google_crc32c.extend(checksum, piece), left - len(piece)
        if checksum != header["crc32c"]:
            raise UnusableError("its numbers are damaged: their checksum differs")
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # ends with the last tensor that views it
    table = torch.frombuffer(mapping, dtype=dtype, count=shape[0] * shape[1]).view(shape)
    return StoredFeatures([(positions, messages) for positions, messages in header["layout"]], table)


def temporary_table(rows: int, width: int, dtype: torch.dtype) -> Tensor:
    """A table (rows, width) in a mapped file without a name, which ends with the last tensor that views it.

    Raises:
        FeatureStorageError: the folder of temporary files has no room for it.
    """
    n_bytes = rows * width * dtype.itemsize
    try:
        with tempfile.TemporaryFile(prefix="features-") as file:
            # Reserved now, because a disk that fills up later would kill the process without a word.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            file.truncate(n_bytes)
            mapping = mmap.mmap(file.fileno(), n_bytes)
    except OSError as error:
        raise FeatureStorageError(
            f"no room for {gigabytes(n_bytes)} of features in {tempfile.gettempdir()} ({error.strerror});"
            " set TMPDIR to a folder with more, or give a larger --feature_memory"
        ) from None
    return torch.frombuffer(mapping, dtype=dtype).view(rows, width)


def gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB"
