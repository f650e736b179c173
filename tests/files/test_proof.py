"""Proof of content: members of archives, and a large file's hash. Numbers in brackets: points of the issue's list."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from ablation.files.proof import Proof, member_of_zip
from ablation.files.wanted import DownloadError, WantedFile


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


def claiming(archive: Path, size: int) -> None:
    """Put another uncompressed size into the headers of the only member."""
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        struct.pack_into("<I", content, content.index(signature) + offset, size)
    archive.write_bytes(content)


def test_a_header_that_lies(tmp_path: Path) -> None:
    """A small claim, a great deal inside: no more is unpacked than was claimed."""
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("wanted", bytes(100 << 20))
    claiming(archive, 100_000)
    tracemalloc.start()
    try:
        with pytest.raises(DownloadError, match=r"no zip archive|SHA-256"):
            member_of_zip(archive, "wanted", sha256(b"yes"))
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("damaged", [False, True])
def test_other_compression(tmp_path: Path, method: int, damaged: bool) -> None:
    """Python cannot bound what these unpack to; damage to them raises errors of many kinds."""
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w", method) as file:
        file.writestr("wanted", b"yes" * 1000)
    if damaged:
        content = bytearray(archive.read_bytes())
        content[content.index(b"wanted") + 12 : content.index(b"wanted") + 30] = b"\xff" * 18
        archive.write_bytes(content)
    with pytest.raises(DownloadError, match=r"no zip archive .*compression method 1[24]"):
        member_of_zip(archive, "wanted", sha256(b"yes" * 1000))


def test_more_memory_than_there_is(tmp_path: Path) -> None:
    """A check that runs out of memory condemns the file, so that the next address is tried."""
    path = tmp_path / "file"
    path.touch()

    def check(path: Path) -> None:
        raise MemoryError

    with pytest.raises(DownloadError, match="more memory than there is"):
        Proof(WantedFile("file", ()), check).prove(path, path)
