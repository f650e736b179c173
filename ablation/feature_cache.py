"""Hidden states behind the frozen blocks, kept on disk and shared by runs: key, file, lock, eviction.

An entry is one file: a table of numbers, then a JSON header, then a trailer of fixed size. The header stands behind the
numbers because it is written last: a file without it was never finished. It repeats the key, that is everything the
numbers depend on, and has their CRC-32C. A file that is damaged, or made for anything else, is never used; the run says
why and computes anew. Files are written under another name and renamed when complete, so none is ever changed.

Each entry has a lock, held while it is computed or checked: of two runs that need the same, one computes and one waits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import shutil
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from ablation.listener import Listener

ENDING, UNFINISHED, LOCK = ".features", ".part", ".lock"
TRAILER = struct.Struct("<QI8s")  # bytes of the header, its CRC-32C, and the mark
MARK = b"GPT2FEAT"
PIECE = 1 << 22  # bytes read, written and summed up at a time
Layout = list[tuple[int, list[int]]]  # per batch of messages: positions of each, and which messages


class FeatureStorageError(Exception):
    """There is no room for features, or no folder to keep them in; the message says where and what to do."""


class UnusableError(Exception):
    """Why an entry must not be used."""


@dataclass(frozen=True)
class StoredFeatures:
    """A checked entry.

    Attributes:
        layout: which rows belong to which message: the batches, one behind the other.
        table: (rows, D), mapped from the file; what is written to it stays in memory.
    """

    layout: Layout
    table: Tensor


class FeatureCache:
    """A folder of entries, and what one run says of them; a context manager that drops what is unfinished at its end.

    Args:
        folder: made if missing. Its files may be deleted at any time.
        limit: bytes of all entries together; the least recently used make room for new ones.
        listener: told of hits, misses and their reasons.

    Raises:
        FeatureStorageError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, limit: int, listener: Listener) -> None:
        self.folder, self.limit, self.listener = folder, limit, listener
        self._entries: list[Entry] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise FeatureStorageError(
                f"--feature_cache {folder}: cannot be written to ({error.strerror});"
                " give a folder that can, or leave the flag out"
            ) from None

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(self, *exception: object) -> None:
        for entry in self._entries:
            entry.close()

    def open(self, key: Mapping[str, Any]) -> Entry:
        """The entry for a key, locked; waits for a run that is computing it. Released by ``load`` or at the end."""
        entry = Entry(self, key)
        self._entries.append(entry)
        return entry

    def make_room(self, needed: int, spared: Path) -> None:
        """Delete the least recently used entries until ``needed`` more bytes are within the limit.

        An entry that another run is checking or writing stays. So does ``spared``.
        """
        for leftover in self.folder.glob(f"*{UNFINISHED}"):
            if leftover != spared.with_suffix(UNFINISHED):
                _delete_if_unlocked(leftover)
        entries = []
        for path in self.folder.glob(f"*{ENDING}"):
            with contextlib.suppress(FileNotFoundError):  # another run may be deleting too
                status = path.stat()
                entries.append((status.st_mtime_ns, path, status.st_size))
        total = needed + sum(size for _, _, size in entries)
        for _, path, size in sorted(entries):
            if total <= self.limit:
                return
            if path != spared and _delete_if_unlocked(path):
                self.listener.message(f"feature cache: deleted {path.name} ({_gigabytes(size)}), the longest unused")
                total -= size


class Entry:
    """One entry of a cache: first ``load``, and if that finds nothing, ``append`` rows in order and ``finish``."""

    def __init__(self, cache: FeatureCache, key: Mapping[str, Any]) -> None:
        self._cache, self._key = cache, dict(key)
        name = hashlib.sha256(json.dumps(self._key, sort_keys=True).encode()).hexdigest()[:24]
        self.path = cache.folder / f"{name}{ENDING}"
        self._part = self.path.with_suffix(UNFINISHED)
        self._file: BinaryIO | None = None
        self._checksum = 0
        self._lock = FileLock(self.path.with_suffix(LOCK))
        try:
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                self._say("another run is computing these features; waiting for it")
                self._lock.acquire()
        except OSError as error:
            raise FeatureStorageError(
                f"--feature_cache {cache.folder}: {self._lock.lock_file} cannot be locked ({error.strerror});"
                " give another folder, or leave the flag out"
            ) from None

    def load(self) -> StoredFeatures | None:
        """The features if they are there, whole, and made for this key; else None, and a line that says why."""
        try:
            found = read_entry(self.path, self._key)
        except FileNotFoundError:
            self._say(f"miss ({self._why_missing()})")
            return None
        except (OSError, UnusableError) as error:
            self._say(f"miss ({self.path.name} is not used: {error})")
            return None
        os.utime(self.path)  # used now: what eviction goes by
        self._say(f"hit, {_gigabytes(self.path.stat().st_size)} from {self.path}")
        self.close()
        return found

    def start(self, n_bytes: int) -> None:
        """Begin to write a table of so many bytes. Whatever prevents it is said; the run goes on without keeping it."""
        with contextlib.suppress(OSError):
            self.path.unlink()  # whatever is there was refused
        limit = self._cache.limit
        if n_bytes > limit:
            self._give_up(f"{_gigabytes(n_bytes)} is more than --feature_cache_limit, {_gigabytes(limit)}")
            return
        self._cache.make_room(n_bytes, spared=self.path)
        free = shutil.disk_usage(self._cache.folder).free
        if n_bytes > free:
            self._give_up(f"{_gigabytes(n_bytes)} needed in {self._cache.folder}, {_gigabytes(free)} free")
            return
        try:
            self._file = self._part.open("wb")
        except OSError as error:
            self._give_up(str(error))

    def append(self, rows: Tensor) -> None:
        """Write the next rows (R, D) of the table."""
        if self._file is None:
            return
        content = memoryview(rows.contiguous().cpu().view(-1).view(torch.uint8).numpy().data)
        try:
            for start in range(0, len(content), PIECE):
                piece = bytes(content[start : start + PIECE])
                self._checksum = google_crc32c.extend(self._checksum, piece)
                self._file.write(piece)
        except OSError as error:
            self._give_up(str(error))

    def finish(self, layout: Layout, width: int, dtype: torch.dtype) -> None:
        """Write the header and give the file its name. Not forced to the disk: the checksum would tell."""
        if self._file is None:
            return
        header = {
            "key": self._key,
            "rows": sum(positions * len(messages) for positions, messages in layout),
            "width": width,
            "dtype": str(dtype).removeprefix("torch."),
            "crc32c": self._checksum,
            "layout": layout,
        }
        try:
            self._file.write(encode_header(header))
            self._file.close()
            self._part.replace(self.path)
        except OSError as error:
            self._give_up(str(error))
            return
        self._file = None
        self._say(f"kept {_gigabytes(self.path.stat().st_size)} as {self.path}")
        self._cache.make_room(0, spared=self.path)
        self.close()

    def close(self) -> None:
        """Drop what is unfinished, and let others have the entry."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self._part.unlink()
            self._file = None
        self._lock.release()

    def _give_up(self, reason: str) -> None:
        self._say(f"not kept: {' '.join(reason.split())}")
        self.close()

    def _say(self, line: str) -> None:
        self._cache.listener.message(f"feature cache: {line}")

    def _why_missing(self) -> str:
        if self._part.exists():
            return "the run that was computing them was cut off"
        closest: list[str] | None = None
        for path in self._cache.folder.glob(f"*{ENDING}"):
            with contextlib.suppress(OSError, UnusableError), path.open("rb") as file:
                differing = differences(read_header(file)[0]["key"], self._key)
                closest = differing if closest is None or len(differing) < len(closest) else closest
        if closest is None:
            return f"nothing kept in {self._cache.folder} yet"
        return f"the closest entry has another {'; another '.join(closest)}"


# ---- the file -------------------------------------------------------------------------------------------------------


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
            f"no room for {_gigabytes(n_bytes)} of features in {tempfile.gettempdir()} ({error.strerror});"
            " set TMPDIR to a folder with more, or give a larger --feature_memory"
        ) from None
    return torch.frombuffer(mapping, dtype=dtype).view(rows, width)


def _delete_if_unlocked(path: Path) -> bool:
    """Delete an entry, or what a dead run left of one, unless a run holds its lock."""
    try:
        with FileLock(path.with_suffix(LOCK)).acquire(timeout=0):
            path.unlink(missing_ok=True)
    except (Timeout, OSError):  # OSError: on Windows, a file that is mapped cannot be deleted
        return False
    return True


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB"
