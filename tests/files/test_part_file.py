"""The unfinished file of a transfer."""

from __future__ import annotations

import io
from pathlib import Path

from ablation.files.part_file import PartFile


class TakesAPart(io.FileIO):
    """As a disk that is nearly full does."""

    def write(self, content: bytes) -> int:  # type: ignore[override]
        return super().write(content[:10])


def test_what_the_disk_did_not_take_is_written_again(tmp_path: Path) -> None:
    """A hole in the middle would be found by a hash, but not every file has one."""
    part = PartFile(tmp_path / "file")
    with TakesAPart(part.path, "wb") as file:
        part.write(file, bytes(range(35)), None)
    assert part.path.read_bytes() == bytes(range(35))
