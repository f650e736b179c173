"""Proof of content: members of archives, and a large file's hash. Numbers in brackets: points of the issue's list."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from ablation.files.proof import member_of_zip
from ablation.files.wanted import DownloadError


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../outside", "no")
        file.writestr("/tmp/absolute", "no")
        file.writestr("wanted", "yes")
        file.writestr("readme", "something else")
    return path


def test_member_by_name_and_hash(archive: Path) -> None:
    before = set(archive.parent.parent.rglob("*"))
    assert member_of_zip(archive, "wanted", sha256(b"yes")) == b"yes"
    assert set(archive.parent.parent.rglob("*")) == before  # nothing was unpacked
    with pytest.raises(DownloadError, match="no member 'absent'"):
        member_of_zip(archive, "absent", sha256(b"yes"))
    with pytest.raises(DownloadError, match=f"SHA-256 .*, expected {sha256(b'no')}"):
        member_of_zip(archive, "wanted", sha256(b"no"))
    assert member_of_zip(archive, "wanted", sha256(b"no"), trust_new_hash=True) == b"yes"
    with pytest.raises(DownloadError, match="claims more than 2 bytes"):
        member_of_zip(archive, "wanted", sha256(b"yes"), longest=2)


def test_error_page_saved_as_zip(archive: Path) -> None:
    """[8] One line that shows what it is."""
    archive.write_text("<!DOCTYPE html>\n<html>404</html>")
    with pytest.raises(DownloadError, match=r"no zip archive .*begins with b'<!DOCTYPE html") as failure:
        member_of_zip(archive, "wanted", sha256(b"yes"))
    assert "\n" not in str(failure.value)


def test_damaged_zip(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[content.index(b"wanted") + 7] ^= 255
    archive.write_bytes(content)
    with pytest.raises(DownloadError, match="no zip archive"):
        member_of_zip(archive, "wanted", sha256(b"yes"))
