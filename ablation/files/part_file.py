"""The unfinished file of a transfer; it outlives broken connections and killed processes."""

from __future__ import annotations

import errno
import io
import json
import shutil
from pathlib import Path
from typing import Any

from ablation.files.storage import beside, is_there, read_json
from ablation.files.wanted import DownloadError

NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


class PartFile:
    """The bytes that have arrived, and beside them where they came from: address and ETag.

    Attributes:
        restarts: how often bytes were thrown away.
        from_one_answer: whether one answer brought all of it; known only of what this process fetched.
    """

    def __init__(self, final: Path) -> None:
        self.final = final
        self.path = beside(final, ".part")
        self.restarts = 0
        self.from_one_answer = False

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def origin(self) -> dict[str, Any]:
        return read_json(beside(self.path, ".json"))

    def remember(self, origin: dict[str, Any]) -> None:
        beside(self.path, ".json").write_text(json.dumps(origin), encoding="utf-8")

    def open_at(self, start: int) -> io.FileIO:
        """Open for writing from `start`, which is the end or 0. Unbuffered: a killed process loses nothing."""
        self.from_one_answer = start == 0
        if start:
            return io.FileIO(self.path, "ab")
        self.restarts += self.size() > 0
        return io.FileIO(self.path, "wb")

    def write(self, file: io.FileIO, chunk: bytes, total: int | None) -> None:
        """Append to what `open_at` gave; raises DownloadError where the disk takes no more of the `total` bytes."""
        try:
            while chunk:
                chunk = chunk[file.write(chunk) :]  # a disk that fills up takes a part first
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise cannot("write", self.path, error) from error
            need = f"{total - file.tell()} more bytes" if total is not None else "more bytes"
            free = shutil.disk_usage(self.path.parent).free
            raise DownloadError(
                f"disk full: {self.final.name} needs {need} in {self.path.parent} ({error.strerror}; {free} bytes"
                " free); free some space or choose another folder, then repeat: what has arrived is kept"
            ) from error

    def discard(self) -> None:
        self.restarts += self.size() > 0
        self.path.unlink(missing_ok=True)
        beside(self.path, ".json").unlink(missing_ok=True)


def cannot(do: str, path: Path, error: OSError) -> DownloadError:
    """About a file that cannot be stored or written (``do``) where it belongs, and what to do."""
    obstacle = next((parent for parent in path.absolute().parents if is_there(parent)), path.parent)
    if obstacle.is_file():
        return DownloadError(f"cannot {do} {path}: {obstacle} is a file; give a folder")
    what_to_do = "free some space" if error.errno in NO_ROOM else "give a folder that can be written to"
    return DownloadError(f"cannot {do} {path}: {error.strerror or error}; {what_to_do}")


def require_space(path: Path, needed: int) -> None:
    """Raises DownloadError where fewer than `needed` bytes are free for `path`."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise DownloadError(
            f"not enough room for {path.name}: {needed} bytes needed, {free} free in {path.parent};"
            " free some space or choose another folder"
        )
