"""Files that are at any time the old one or the new one, also after a power cut."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a whole file or nothing, whoever else writes it at the same time. Text is written as UTF-8, line ends as
    they are.

    Raises:
        OSError: it cannot be written; the old file is still there.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write a new file under, which takes the place of ``path`` at the end, unless there was an error."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        sync(temporary)
        rename_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def rename_into_place(path: Path, final: Path) -> None:
    """Rename, several times if need be: on Windows a virus scanner may hold a new file for a moment."""
    for wait in (0.1, 0.2, 0.4, 0.8, 1.6, None):
        try:
            path.replace(final)
            return
        except PermissionError:
            if wait is None:
                raise
            time.sleep(wait)


def sync(path: Path) -> None:
    """Make the file's bytes, or a folder's entries, survive a power cut. (Windows cannot sync folders.)"""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_there(path: Path) -> bool:
    """Whether a file or folder has that name, as far as one may see: whoever opens it learns what is wrong."""
    try:
        return path.exists()
    except OSError:
        return False


def beside(path: Path, ending: str) -> Path:
    """The file of the same name with something behind it."""
    return path.with_name(path.name + ending)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none, or only half of one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
