"""Files that are at any time the old one or the new one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ablation.files import storage
from ablation.files.storage import rename_into_place, replace_file


@pytest.mark.parametrize("content", ["zwölf\r\n", b"\xff\x00"])
def test_a_file_is_replaced(tmp_path: Path, content: str | bytes) -> None:
    """Text as UTF-8, its line ends as they are."""
    target = tmp_path / "file"
    for _ in range(2):
        replace_file(target, content)
        assert target.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_nothing_is_left_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "folder" / "file"
    with pytest.raises(FileNotFoundError):
        replace_file(target, b"content")
    target.parent.mkdir()
    replace_file(target, b"content")

    def full_disk(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "sync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        replace_file(target, b"new content")
    assert target.read_bytes() == b"content"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_many_writers_of_one_process(tmp_path: Path) -> None:
    """Whoever comes last wins, and nobody's temporary file is another's."""
    target = tmp_path / "file"
    contents = [str(number) * 10_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: replace_file(target, content), contents * 5))
    assert target.read_text() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_rename_refused_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a virus scanner on Windows."""
    (tmp_path / "a").write_bytes(b"1")
    refusals = [PermissionError(), PermissionError()]

    def replace(path: Path, final: Path) -> None:
        if refusals:
            raise refusals.pop()
        path.rename(final)

    monkeypatch.setattr(Path, "replace", replace)
    rename_into_place(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"1"
