"""Files that check themselves: any bytes, then a JSON header, then a trailer of fixed size.

The header stands behind the bytes because it is written last: a file without it was never finished. It repeats the key,
that is everything the bytes depend on, and has their CRC-32C; the trailer has the header's.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c

TRAILER = struct.Struct("<QI8s")  # bytes of the header, its CRC-32C, and the mark
PIECE = 1 << 22  # bytes read, written and summed up at a time


class UnusableError(Exception):
    """Why a file must not be used."""


def encode_header(header: Mapping[str, Any], mark: bytes) -> bytes:
    text = json.dumps(header).encode()
    return text + TRAILER.pack(len(text), google_crc32c.value(text), mark)


def read_header(file: BinaryIO, mark: bytes) -> tuple[dict[str, Any], int]:
    """The header of a file of this kind, and how many bytes stand before it.

    Raises:
        UnusableError: the file is cut off, or its header damaged.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TRAILER.size))
    trailer = file.read()
    if len(trailer) != TRAILER.size or not trailer.endswith(mark):
        raise UnusableError(f"it is cut off at {size} bytes, or of another kind")
    length, checksum, _ = TRAILER.unpack(trailer)
    before = size - TRAILER.size - length
    text = b""
    if before >= 0:
        file.seek(before)
        text = file.read(length)
    if google_crc32c.value(text) != checksum or before < 0:
        raise UnusableError("its header is damaged")
    return json.loads(text), before


def open_checked(path: Path, key: Mapping[str, Any], mark: bytes) -> tuple[dict[str, Any], mmap.mmap, int]:
    """Check a file from end to end and map it; what is written to the mapping stays in memory.

    Returns:
        Its header, the mapping, and how many bytes of it stand before the header.

    Raises:
        OSError: it cannot be read.
        UnusableError: it was made for another key, or is damaged.
    """
    with path.open("rb") as file:
        header, n_bytes = read_header(file, mark)
        if differing := differences(header["key"], key):
            raise UnusableError(f"it has another {'; another '.join(differing)}")
        checksum, left = 0, n_bytes
        file.seek(0)
        while left and (piece := file.read(min(PIECE, left))):
            checksum, left = google_crc32c.extend(checksum, piece), left - len(piece)
        if checksum != header["crc32c"]:
            raise UnusableError("its numbers are damaged: their checksum differs")
        return header, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), n_bytes


def append(file: BinaryIO, contents: Iterable[memoryview], checksum: int = 0) -> int:
    """Write bytes at the end of a file; returns the CRC-32C of all that was written, ``checksum`` being that before."""
    for piece in _pieces(contents):
        checksum = google_crc32c.extend(checksum, piece)
        file.write(piece)
    return checksum


def _pieces(contents: Iterable[memoryview]) -> Iterator[bytes]:
    return (bytes(content[start : start + PIECE]) for content in contents for start in range(0, len(content), PIECE))


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
