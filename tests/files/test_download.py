"""The downloader against a real server that misbehaves. Numbers in brackets: points of the issue's list."""

from __future__ import annotations

import dataclasses
import email.utils
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from ablation.files.download import (
    DownloadError,
    FetchOptions,
    NoAddressError,
    Patience,
    WantedFile,
    fetch,
)
from tests.support.misbehaving_server import Behaviour, MisbehavingServer

ROOT = Path(__file__).parents[2]
NAME = "file.bin"
CONTENT = random.Random(1).randbytes(700_001)
QUICK = Patience(attempts=4, first_wait=0.01, longest_wait=0.05, connect_timeout=5.0, stall_timeout=0.3, lock_poll=0.05)


def sha256(content: bytes | bytearray) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with MisbehavingServer({NAME: CONTENT, f"mirror/{NAME}": CONTENT}) as running:
        yield running


@pytest.fixture
def lines() -> list[str]:
    return []


class Fetcher:
    """Fetches NAME into a folder of the test's own."""

    def __init__(self, server: MisbehavingServer, folder: Path, lines: list[str]) -> None:
        self.server, self.folder, self.lines = server, folder, lines

    def __call__(
        self,
        *paths: str,
        content: bytes = CONTENT,
        size: int | None = None,
        with_hash: bool = True,
        patience: Patience = QUICK,
        offline: bool = False,
        trust_new_hash: bool = False,
    ) -> bytes:
        addresses = tuple(self.server.address(path) for path in paths or (NAME,))
        wanted = WantedFile(NAME, addresses, size, sha256(content) if with_hash else None)
        options = FetchOptions(
            offline=offline, trust_new_hash=trust_new_hash, patience=patience, report=self.lines.append
        )
        return fetch(wanted, self.folder, **options).read_bytes()

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir() if not path.name.endswith(".lock")}


@pytest.fixture
def fetcher(server: MisbehavingServer, tmp_path: Path, lines: list[str]) -> Fetcher:
    return Fetcher(server, tmp_path / "models", lines)


def test_honest_server(fetcher: Fetcher) -> None:
    assert fetcher(size=len(CONTENT)) == CONTENT
    assert fetcher.files() == {NAME}  # no .part, nothing else
    request = fetcher.server.requests[0]
    assert request.headers["Accept-Encoding"] == "identity"
    assert "Range" not in request.headers
    assert fetcher() == CONTENT
    assert len(fetcher.server.requests) == 1


@pytest.mark.parametrize("known", ["hash", "etag only"])
def test_fifty_cuts(fetcher: Fetcher, known: str) -> None:
    """[1] Cut at 50 random bytes: bit-identical, and at most 64 KiB per cut were sent twice."""
    content = random.Random(2).randbytes(5_000_003)
    cuts = sorted(random.Random(3).sample(range(1, len(content)), 50))
    fetcher.server.files["/" + NAME] = content
    fetcher.server.plan(NAME, *(Behaviour(cut_at=cut) for cut in cuts))
    patience = Patience(attempts=2, first_wait=0.001, longest_wait=0.001)
    assert fetcher(content=content, with_hash=known == "hash", patience=patience) == content
    sent = fetcher.server.sent
    assert [end for _, _, end in sent] == [*cuts, len(content)]
    twice = [max(0, before[2] - after[1]) for before, after in pairwise(sent)]
    assert max(twice) <= 64 << 10
    assert fetcher.server.bytes_sent(NAME) - len(content) <= 50 * (64 << 10)


def test_connection_resets(fetcher: Fetcher) -> None:
    """[1] The same with RST packets, which throw away what is still under way."""
    fetcher.server.plan(NAME, *(Behaviour(cut_at=cut, reset=True) for cut in range(100_000, 700_000, 150_000)))
    assert fetcher() == CONTENT


def test_server_ignores_range(fetcher: Fetcher) -> None:
    """[2] 200 in place of 206: from the start again, not appended."""
    fetcher.server.plan(NAME, Behaviour(cut_at=300_000), Behaviour(ignore_range=True))
    assert fetcher() == CONTENT
    assert fetcher.server.requests[1].headers["Range"] == "bytes=300000-"
    assert len(fetcher.server.requests) == 2


def test_416_of_a_shorter_file(fetcher: Fetcher) -> None:
    """[2] The server's file is shorter than what was begun: start over."""
    fetcher.folder.mkdir()
    (fetcher.folder / f"{NAME}.part").write_bytes(b"x" * (len(CONTENT) + 5))
    assert fetcher() == CONTENT
    assert fetcher.server.requests[0].headers["Range"] == f"bytes={len(CONTENT) + 5}-"
    assert "416" in fetcher.said


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_416_of_a_complete_part(fetcher: Fetcher, size: int | None) -> None:
    """[2] Everything had arrived before the process died: no byte is fetched again."""
    fetcher.folder.mkdir()
    (fetcher.folder / f"{NAME}.part").write_bytes(CONTENT)
    assert fetcher(size=size) == CONTENT
    assert fetcher.server.bytes_sent(NAME) == 0
    assert len(fetcher.server.requests) == (1 if size is None else 0)


@pytest.mark.parametrize("with_hash", [True, False])
def test_file_changes_between_attempts(fetcher: Fetcher, with_hash: bool) -> None:
    """[2] A new ETag: If-Range makes the server send the new file as a whole."""
    old = random.Random(4).randbytes(len(CONTENT))
    fetcher.server.plan(NAME, Behaviour(content=old, etag='"old"', cut_at=300_000))
    fetcher.server.always["/" + NAME] = Behaviour(etag='"new"')
    assert fetcher(with_hash=with_hash) == CONTENT
    assert fetcher.server.requests[1].headers["If-Range"] == '"old"'


def test_file_changes_and_server_does_not_know_if_range(fetcher: Fetcher) -> None:
    """[2] 206 with another ETag: the pieces must not be put together, hash or no hash."""
    old = random.Random(4).randbytes(len(CONTENT))
    resumed = {"Content-Range": f"bytes 300000-{len(CONTENT) - 1}/{len(CONTENT)}", "ETag": '"new"'}
    fetcher.server.plan(NAME, Behaviour(content=old, cut_at=300_000), Behaviour(headers=resumed))
    fetcher.server.always["/" + NAME] = Behaviour(etag='"new"')
    assert fetcher(with_hash=False) == CONTENT
    assert "changed" in fetcher.said


def test_file_changes_and_server_gives_no_etag(fetcher: Fetcher) -> None:
    """[2] Nothing but the hash can tell: the patched-up file is thrown away and fetched in one piece."""
    old = random.Random(4).randbytes(len(CONTENT))
    fetcher.server.plan(NAME, Behaviour(content=old, etag=None, cut_at=300_000))
    fetcher.server.always["/" + NAME] = Behaviour(etag=None)
    assert fetcher() == CONTENT
    assert [request.start for request in fetcher.server.requests] == [0, 300_000, 0]


def test_no_etag_and_no_hash(fetcher: Fetcher) -> None:
    """[2] Then a cut means starting over, since nothing could prove that the pieces belong together."""
    fetcher.server.plan(NAME, Behaviour(etag=None, cut_at=300_000))
    assert fetcher(with_hash=False) == CONTENT
    assert [request.start for request in fetcher.server.requests] == [0, 0]


def test_short_body_with_length(fetcher: Fetcher) -> None:
    """[2] Fewer bytes than Content-Length promised: go on from there."""
    fetcher.server.plan(NAME, Behaviour(cut_at=123_456))
    assert fetcher(with_hash=False) == CONTENT
    assert [request.start for request in fetcher.server.requests] == [0, 123_456]


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_short_body_without_length(fetcher: Fetcher, size: int | None) -> None:
    """[2] `requests` takes that for a complete answer; the hash, or the known size, does not."""
    fetcher.server.plan(NAME, Behaviour(length_header=False, cut_at=123_456))
    assert fetcher(size=size, with_hash=size is None) == CONTENT
    assert [request.start for request in fetcher.server.requests] == [0, 123_456]


def test_no_length_and_no_hash(fetcher: Fetcher) -> None:
    """[2] A missing Content-Length must be made up for by a hash."""
    fetcher.server.always["/" + NAME] = Behaviour(length_header=False)
    with pytest.raises(NoAddressError, match="no length, and no hash"):
        fetcher(with_hash=False)
    assert fetcher() == CONTENT


@pytest.mark.parametrize("mirror", [True, False])
def test_flipped_byte(fetcher: Fetcher, mirror: bool) -> None:
    """[2] Right length, wrong content: set aside, both hashes shown, the next address tried."""
    fetcher.server.always["/" + NAME] = Behaviour(flip=99)
    wrong = bytearray(CONTENT)
    wrong[99] ^= 1
    if mirror:
        assert fetcher(NAME, f"mirror/{NAME}") == CONTENT
    else:
        with pytest.raises(NoAddressError, match=f"SHA-256 {sha256(wrong)}, expected {sha256(CONTENT)}"):
            fetcher()
        assert not (fetcher.folder / NAME).exists()
    assert sha256(CONTENT) in fetcher.said and sha256(wrong) in fetcher.said
    assert (fetcher.folder / f"{NAME}.rejected").read_bytes() == wrong


def test_500_three_times(fetcher: Fetcher) -> None:
    """[2]"""
    fetcher.server.plan(NAME, *[Behaviour(status=500)] * 3)
    assert fetcher() == CONTENT
    assert len(fetcher.server.requests) == 4


def test_backoff_is_exponential(fetcher: Fetcher) -> None:
    fetcher.server.always["/" + NAME] = Behaviour(status=503)
    with pytest.raises(NoAddressError, match=r"HTTP status 503 \(gave up after 4 attempts"):
        fetcher()
    waits = [line.split(" in ")[1].split(" s ")[0] for line in fetcher.lines if "trying again" in line]
    assert waits == ["0.02", "0.04", "0.05"]


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_429_with_retry_after(fetcher: Fetcher, form: str) -> None:
    """[2] The server's wish decides, not the back-off."""
    value = "1" if form == "seconds" else email.utils.formatdate(time.time() + 2, usegmt=True)
    fetcher.server.plan(NAME, Behaviour(status=429, headers={"Retry-After": value}))
    began = time.monotonic()
    assert fetcher() == CONTENT
    assert 0.9 < time.monotonic() - began < 5


def test_retry_after_beyond_patience(fetcher: Fetcher) -> None:
    fetcher.server.plan(NAME, Behaviour(status=429, headers={"Retry-After": "86400"}))
    assert fetcher(NAME, f"mirror/{NAME}") == CONTENT
    assert "86400 s" in fetcher.said


def test_stall(fetcher: Fetcher) -> None:
    """[2] No byte for longer than the timeout: another connection, from the byte reached."""
    fetcher.server.plan(NAME, Behaviour(stall_at=200_000))
    assert fetcher() == CONTENT
    assert [request.start for request in fetcher.server.requests] == [0, 200_000]


def test_404_then_mirror(fetcher: Fetcher) -> None:
    """[2] The next address is tried, and a line says so."""
    assert fetcher("gone", f"mirror/{NAME}") == CONTENT
    assert "404" in fetcher.said
    assert f"trying the next address, {fetcher.server.address(f'mirror/{NAME}')}" in fetcher.said


def test_half_from_the_mirror(fetcher: Fetcher) -> None:
    """What one address sent before it broke down is kept for the next."""
    fetcher.server.plan(NAME, Behaviour(cut_at=500_000), Behaviour(status=404))
    assert fetcher(NAME, f"mirror/{NAME}") == CONTENT
    assert fetcher.server.bytes_sent(f"mirror/{NAME}") == len(CONTENT) - 500_000


def test_nobody_listens(fetcher: Fetcher) -> None:
    fetcher.server.__exit__(None, None, None)
    with pytest.raises(NoAddressError, match="Connection refused") as failure:
        fetcher()
    assert "\n" not in str(failure.value)


def test_redirects(fetcher: Fetcher) -> None:
    """[2] Followed, also while resuming; one that leads in a circle is given up."""
    moved = Behaviour(status=302, headers={"Location": f"/mirror/{NAME}"})
    fetcher.server.always["/" + NAME] = moved
    fetcher.server.plan(f"mirror/{NAME}", Behaviour(cut_at=100_000))
    assert fetcher() == CONTENT
    assert fetcher.server.requests[-1].start == 100_000
    fetcher.server.always["/circle"] = Behaviour(status=302, headers={"Location": "/circle"})
    (fetcher.folder / NAME).unlink()
    with pytest.raises(NoAddressError, match="redirects"):
        fetcher("circle")


def test_compressed_answer_is_refused(fetcher: Fetcher) -> None:
    fetcher.server.plan(NAME, Behaviour(headers={"Content-Encoding": "gzip"}))
    assert fetcher(NAME, f"mirror/{NAME}") == CONTENT
    assert "compressed" in fetcher.said


def test_error_page_of_another_length(fetcher: Fetcher) -> None:
    fetcher.server.always["/" + NAME] = Behaviour(content=b"<html>please log in</html>")
    with pytest.raises(NoAddressError, match="offers 26 bytes, expected 700001"):
        fetcher(size=len(CONTENT), with_hash=False)
    assert fetcher.files() == set()


@pytest.mark.parametrize("exact", [True, False])
def test_an_endless_body_ends(server: MisbehavingServer, tmp_path: Path, lines: list[str], exact: bool) -> None:
    """Nothing beyond the size is taken, or twice that where it was computed; nothing stays of it on the disk."""
    server.always["/" + NAME] = Behaviour(length_header=False, endless=True)
    addresses = (server.address(NAME), server.address(f"mirror/{NAME}"))
    wanted = WantedFile(NAME, addresses, len(CONTENT), sha256(CONTENT), size_is_exact=exact)
    assert fetch(wanted, tmp_path, patience=QUICK, report=lines.append).read_bytes() == CONTENT
    most = len(CONTENT) * (1 if exact else 2)
    assert f"sends more than {most} bytes" in "\n".join(lines)
    assert server.requests[-1].start == 0
    assert {path.name for path in tmp_path.iterdir()} <= {NAME, f".{NAME}.lock"}


def test_an_endless_body_of_unknown_size(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablation.files.wanted.LARGEST", 1_000_000)
    fetcher.server.always["/" + NAME] = Behaviour(length_header=False, endless=True)
    with pytest.raises(NoAddressError, match="sends more than 1000000 bytes"):
        fetcher()
    assert fetcher.files() == set()


def test_a_length_beyond_the_ceiling(server: MisbehavingServer, tmp_path: Path, lines: list[str]) -> None:
    """No disk has so much room, but that is this address's fault, and the next is tried."""
    server.always["/" + NAME] = Behaviour(headers={"Content-Length": str(10**18)})
    addresses = (server.address(NAME), server.address(f"mirror/{NAME}"))
    wanted = WantedFile(NAME, addresses, 600_000, sha256(CONTENT), size_is_exact=False)
    assert fetch(wanted, tmp_path, patience=QUICK, report=lines.append).read_bytes() == CONTENT
    assert "offers 1000000000000000000 bytes, at most 1200000 are taken" in "\n".join(lines)


def test_a_server_that_drips(fetcher: Fetcher) -> None:
    """Never silent for long, never done: the next address is tried, which goes on from there."""
    patience = dataclasses.replace(QUICK, slowest=10_000, slowest_over=0.5)
    fetcher.server.plan(NAME, Behaviour(pause=0.02, piece=1))
    assert fetcher(NAME, f"mirror/{NAME}", patience=patience) == CONTENT
    assert "less than 10000 a second" in fetcher.said
    assert fetcher.server.requests[-1].start > 0


def test_a_server_whose_headers_drip(fetcher: Fetcher) -> None:
    fetcher.server.plan(NAME, Behaviour(drip_headers=True))
    assert fetcher(NAME, f"mirror/{NAME}", patience=dataclasses.replace(QUICK, slowest_over=0.5)) == CONTENT
    assert "has not answered after 0.5 s" in fetcher.said


def test_a_redirect_with_an_endless_body(fetcher: Fetcher) -> None:
    """What comes with it is not read."""
    moved = Behaviour(status=302, headers={"Location": f"/mirror/{NAME}"}, length_header=False, endless=True)
    fetcher.server.always["/" + NAME] = moved
    assert fetcher(patience=dataclasses.replace(QUICK, slowest_over=2.0)) == CONTENT
    assert fetcher.server.bytes_sent(NAME) < 50 << 20


def test_a_slow_server_is_waited_for(fetcher: Fetcher) -> None:
    """Many windows, each with enough."""
    patience = dataclasses.replace(QUICK, slowest=10_000, slowest_over=0.1)
    fetcher.server.plan(NAME, Behaviour(pause=0.02))
    assert fetcher(patience=patience) == CONTENT


def test_a_byte_for_each_connection(fetcher: Fetcher) -> None:
    """A drop is no progress: such a server is not asked for ever."""
    fetcher.server.plan(NAME, *(Behaviour(cut_at=position) for position in range(1, 100)))
    assert fetcher(NAME, f"mirror/{NAME}") == CONTENT
    assert len(fetcher.server.requests) < 10


DIGITS = "9" * 5000  # more than Python turns into a number


@pytest.mark.parametrize(
    ("status", "header", "value"),
    [
        (None, "Content-Length", DIGITS),
        (206, "Content-Range", f"bytes 300000-{DIGITS}/{DIGITS}"),
        (206, "Content-Range", f"bytes {DIGITS}-{DIGITS}/*"),
        (416, "Content-Range", f"bytes */{DIGITS}"),
        (503, "Retry-After", DIGITS),
        (503, "Retry-After", "Mon, 01 Jan 0001 00:00:00 +2300"),
    ],
)
def test_absurd_numbers(fetcher: Fetcher, status: int | None, header: str, value: str) -> None:
    """No traceback; where this address is of no use, the next is tried."""
    fetcher.server.plan(NAME, Behaviour(cut_at=300_000), Behaviour(status=status, headers={header: value}))
    if status is None:
        fetcher.server.plans["/" + NAME].pop(0)
    assert fetcher(NAME, f"mirror/{NAME}") == CONTENT
    assert len(fetcher.server.requests) >= 2


def test_endless_changes_end(fetcher: Fetcher) -> None:
    """A server that never sends the same file twice is given up, not asked for ever."""
    fetcher.server.plan(NAME, *(Behaviour(etag=f'"{number}"', cut_at=1000 + number) for number in range(100)))
    with pytest.raises(NoAddressError, match="in vain"):
        fetcher()
    assert len(fetcher.server.requests) < 20


# Several processes

CHILD = """
import sys
from pathlib import Path
from ablation.files.download import Patience, WantedFile, fetch
address, folder, sha256, limit = sys.argv[1:]
if int(limit):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    fetch(WantedFile("file.bin", (address,), None, sha256), Path(folder), patience=Patience(lock_poll=0.05))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def child(server: MisbehavingServer, folder: Path, limit: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, server.address(NAME), str(folder), sha256(CONTENT), str(limit)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def test_eight_processes_one_transfer(server: MisbehavingServer, tmp_path: Path) -> None:
    """[3] All get the file, and it crosses the wire once."""
    server.plan(NAME, Behaviour(pause=0.05))  # 43 pieces: time enough for all to ask
    children = [child(server, tmp_path) for _ in range(8)]
    said = [one.communicate(timeout=60)[1] for one in children]
    assert [one.returncode for one in children] == [0] * 8
    assert any("another process" in text for text in said)
    assert len(server.requests) == 1
    assert server.bytes_sent(NAME) == len(CONTENT)
    assert (tmp_path / NAME).read_bytes() == CONTENT


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_in_the_middle(server: MisbehavingServer, tmp_path: Path) -> None:
    """[3] Another process, already waiting, takes over and goes on where the killed one stopped."""
    server.plan(NAME, Behaviour(stall_at=400_000))
    first = child(server, tmp_path)
    part = tmp_path / f"{NAME}.part"
    wait_until(lambda: part.exists() and part.stat().st_size == 400_000)
    second = child(server, tmp_path)
    assert second.stderr is not None
    assert "another process" in second.stderr.readline()
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=20)
    second.communicate(timeout=20)
    assert second.returncode == 0
    assert [request.start for request in server.requests] == [0, 400_000]
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_holder_that_does_nothing(fetcher: Fetcher) -> None:
    """[3] Waiting has an end, and says which lock it was."""
    from filelock import FileLock

    fetcher.folder.mkdir()
    patience = Patience(lock_poll=0.02, lock_timeout=0.1)
    with FileLock(fetcher.folder / f".{NAME}.lock"), pytest.raises(DownloadError, match=rf"held .*\.{NAME}\.lock"):
        fetcher(patience=patience)
    (fetcher.folder / f".{NAME}.lock").touch()  # a lock file that nobody holds is no obstacle
    assert fetcher() == CONTENT


# Disks


def test_free_space_is_checked_first(fetcher: Fetcher) -> None:
    """[4] Before a connection is opened where the size is known, else before a byte is written."""
    with pytest.raises(DownloadError, match=r"1000000000000000000 bytes needed, \d+ free in .*models"):
        fetcher(size=10**18)
    assert not fetcher.server.requests
    fetcher.server.always["/" + NAME] = Behaviour(headers={"Content-Length": str(10**18)})
    with pytest.raises(DownloadError, match=r"1000000000000000000 bytes needed, \d+ free"):
        fetcher()
    assert fetcher.files() == set()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not allowed here (see the test with a file-size limit)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_full(server: MisbehavingServer, small_disk: Path, lines: list[str]) -> None:
    """[4] A length that nobody announced fills the disk: a clear message, and no file under the final name."""
    server.plan(NAME, Behaviour(length_header=False))
    wanted = WantedFile(NAME, (server.address(NAME),), None, sha256(CONTENT))
    with pytest.raises(DownloadError, match=r"disk full: file.bin needs .* in .*small .*bytes free.*free some space"):
        fetch(wanted, small_disk, patience=QUICK, report=lines.append)
    assert not (small_disk / NAME).exists()
    with pytest.raises(DownloadError, match=r"not enough room .* \d+ bytes needed, \d+ free"):
        fetch(wanted, small_disk, patience=QUICK, report=lines.append)


@pytest.mark.skipif(os.name == "nt", reason="no file-size limits here")
def test_file_size_limit(server: MisbehavingServer, tmp_path: Path) -> None:
    """[4] The same where mounting is not allowed."""
    process = child(server, tmp_path, limit=300_000)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "DownloadError: disk full: file.bin needs 400001 more bytes" in error
    assert not (tmp_path / NAME).exists()
    assert (tmp_path / f"{NAME}.part").stat().st_size == 300_000
    assert child(server, tmp_path).wait(timeout=30) == 0  # with room it goes on from there
    assert server.requests[-1].start == 300_000


def test_unwritable_place(fetcher: Fetcher) -> None:
    fetcher.folder.write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match=r"cannot store .*models"):
        fetcher()


# Files that are already there


def flip_a_bit(path: Path, position: int) -> None:
    """Size and modification time stay."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_offline(fetcher: Fetcher) -> None:
    wanted = WantedFile(NAME, (fetcher.server.address(NAME),), None, sha256(CONTENT))
    with pytest.raises(DownloadError, match=r"file.bin is missing \(looked for /.*/models/file.bin\).*: get it"):
        fetch(wanted, fetcher.folder, offline=True, how_to_fetch="get it", report=fetcher.lines.append)
    assert not fetcher.server.requests
    assert not fetcher.folder.exists()
    fetcher()
    fetcher.server.__exit__(None, None, None)
    assert fetcher(offline=True) == CONTENT


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_truncated_file_of_another_program(fetcher: Fetcher, size: int | None) -> None:
    fetcher.folder.mkdir()
    (fetcher.folder / NAME).write_bytes(CONTENT[:1000])
    with pytest.raises(DownloadError, match=r"1000 bytes, expected 700001" if size else "SHA-256"):
        fetcher(size=size, offline=True)
    assert (fetcher.folder / NAME).exists()  # offline nothing is moved
    assert fetcher(size=size) == CONTENT
    assert (fetcher.folder / f"{NAME}.rejected").read_bytes() == CONTENT[:1000]


def test_trust_new_hash(fetcher: Fetcher) -> None:
    """A hash that turns out wrong: both values are shown, and the user may go on."""
    with pytest.raises(NoAddressError, match="--trust_new_hash"):
        fetcher(content=b"another")
    assert fetcher(content=b"another", trust_new_hash=True) == CONTENT
    assert sha256(CONTENT) in fetcher.said and sha256(b"another") in fetcher.said
    with pytest.raises(DownloadError, match="was accepted with --trust_new_hash before"):
        fetcher(content=b"another")
    assert fetcher(content=b"another", trust_new_hash=True) == CONTENT
    assert len(fetcher.server.requests) == 2


@pytest.mark.parametrize("length", [len(CONTENT), 9 << 20])
def test_a_flipped_bit_is_found_though_size_and_time_are_kept(fetcher: Fetcher, length: int) -> None:
    content = random.Random(5).randbytes(length)
    fetcher.server.files["/" + NAME] = content
    fetcher(content=content)
    path = fetcher.folder / NAME
    flip_a_bit(path, 7)
    with pytest.raises(DownloadError, match="SHA-256"):
        fetcher(content=content, offline=True)
    assert fetcher(content=content) == content  # fetched again, what was there is set aside
    assert (fetcher.folder / f"{NAME}.rejected").exists()


def test_a_trusted_file_that_changes_is_no_longer_trusted(fetcher: Fetcher) -> None:
    fetcher(content=b"another", trust_new_hash=True)
    flip_a_bit(fetcher.folder / NAME, 7)
    with pytest.raises(DownloadError, match=r"SHA-256 .*--offline forbids"):
        fetcher(content=b"another", offline=True)


@pytest.mark.parametrize("offline", [True, False])
def test_a_folder_in_the_files_place(fetcher: Fetcher, offline: bool) -> None:
    """One line, and it stays where it is."""
    (fetcher.folder / NAME).mkdir(parents=True)
    with pytest.raises(DownloadError, match=r"cannot read .*file\.bin: Is a directory; .*move it away"):
        fetcher(offline=offline)
    assert fetcher.files() == {NAME}
    assert not fetcher.server.requests


@pytest.mark.parametrize("offline", [True, False])
def test_a_file_that_may_not_be_read(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, offline: bool) -> None:
    fetcher()

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        raise PermissionError(13, "Permission denied")  # as for anybody but an administrator

    with monkeypatch.context() as patched, pytest.raises(DownloadError, match=r"cannot read .*Permission denied"):
        patched.setattr(Path, "open", refuse)
        fetcher(offline=offline)
    assert fetcher.files() == {NAME}


# Around it


def test_proxy_from_the_environment(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", fetcher.server.host)
    monkeypatch.setenv("no_proxy", "")
    wanted = WantedFile(NAME, (f"http://files.invalid/{NAME}",), None, sha256(CONTENT))
    assert fetch(wanted, fetcher.folder, patience=QUICK, report=fetcher.lines.append).read_bytes() == CONTENT
    assert fetcher.server.requests[0].path == f"http://files.invalid/{NAME}"


def test_progress_lines(fetcher: Fetcher) -> None:
    fetcher(patience=Patience(report_every=0.0))
    assert fetcher.lines[-1].startswith("file.bin: 0.7 MB of 0.7 MB (100%), 0 s left, ")
    assert fetcher.lines[-1].endswith(" MB/s")


def test_progress_bar_on_a_terminal(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    pty = pytest.importorskip("pty")
    reader, writer = pty.openpty()
    pytest.importorskip("termios").tcsetwinsize(writer, (24, 100))
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        fetcher()
        monkeypatch.undo()
        shown = os.read(reader, 10_000).decode()
    os.close(reader)
    assert "file.bin:" in shown and "B/s" in shown and "%" in shown


def test_imports_nothing_heavy() -> None:
    code = "import sys, gpt_download; print([m for m in ('torch', 'numpy', 'pandas', 'requests') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
