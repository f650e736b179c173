"""Hidden states behind the frozen blocks, kept on disk and shared by runs: which file, who writes it, what is deleted.

An entry is one file (see ``feature_file``), named after its key: everything the numbers depend on. A file that is
damaged, or made for anything else, is never used; the run says why and computes anew. Files are written under another
name and renamed when complete, so none is ever changed.

Each entry has a lock, held while it is computed or checked: of two runs that need the same, one computes and one waits.
A run that only reads on from a checked file does not hold it; should the entry be deleted meanwhile, its mapping stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from ablation.execution.feature_file import (
    MARK,
    FeatureStorageError,
    Layout,
    StoredFeatures,
    gigabytes,
    read_entry,
)
from ablation.files.sealed import UnusableError, append, differences, encode_header, read_header
from ablation.files.snapshots import bytes_of
from ablation.listener import Listener

ENDING, UNFINISHED, LOCK = ".features", ".part", ".lock"


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
                self.listener.message(f"feature cache: deleted {path.name} ({gigabytes(size)}), the longest unused")
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
        with contextlib.suppress(OSError):  # another user's file
            os.utime(self.path)  # used now: what eviction goes by
        self._say(f"hit, {gigabytes(found.table.nbytes)} from {self.path}")
        self.close()
        return found

    def start(self, n_bytes: int) -> None:
        """Begin to write a table of so many bytes. Whatever prevents it is said; the run goes on without keeping it."""
        with contextlib.suppress(OSError):
            self.path.unlink()  # whatever is there was refused
        limit = self._cache.limit
        if n_bytes > limit:
            self._give_up(f"{gigabytes(n_bytes)} is more than --feature_cache_limit, {gigabytes(limit)}")
            return
        self._cache.make_room(n_bytes, spared=self.path)
        free = shutil.disk_usage(self._cache.folder).free
        if n_bytes > free:
            self._give_up(f"{gigabytes(n_bytes)} needed in {self._cache.folder}, {gigabytes(free)} free")
            return
        try:
            self._file = self._part.open("wb")
        except OSError as error:
            self._give_up(str(error))

    def append(self, rows: Tensor) -> None:
        """Write the next rows (R, D) of the table."""
        if self._file is None:
            return
        try:
            self._checksum = append(self._file, [bytes_of(rows)], self._checksum)
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
            self._file.write(encode_header(header, MARK))
            self._file.close()
            self._part.replace(self.path)
        except OSError as error:
            self._give_up(str(error))
            return
        self._file = None
        self._say(f"kept {gigabytes(self.path.stat().st_size)} as {self.path}")
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
                differing = differences(read_header(file, MARK)[0]["key"], self._key)
                closest = differing if closest is None or len(differing) < len(closest) else closest
        if closest is None:
            return f"nothing kept in {self._cache.folder} yet"
        return f"the closest entry has another {'; another '.join(closest)}"


def _delete_if_unlocked(path: Path) -> bool:
    """Delete an entry, or what a dead run left of one, unless a run holds its lock."""
    try:
        with FileLock(path.with_suffix(LOCK)).acquire(timeout=0):
            path.unlink(missing_ok=True)
    except (Timeout, OSError):  # OSError: on Windows, a file that is mapped cannot be deleted
        return False
    return True
