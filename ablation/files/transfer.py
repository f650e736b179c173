"""One HTTP transfer into a `.part` file: asks for what is lacking, and says what went wrong.

HTTP semantics (Range, If-Range, 206, 416, Retry-After) after RFC 9110, sections 10.2.3, 13.1.5, 14 and 15.
"""

from __future__ import annotations

import email.utils
import errno
import io
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests

Report = Callable[[str], None]

CHUNK = 1 << 16  # bytes; what a cut can lose at most
PASSING = {
    408,
    425,
    429,
    500,
    502,
    503,
    504,
}  # statuses that may be gone a moment later


class DownloadError(Exception):
    """A file cannot be had; one line: what, which value, what to do."""


class TryAgainError(Exception):
    """The same address may do better in `wait` seconds (None: the usual back-off); `connected` says if it answered."""

    def __init__(self, reason: str, wait: float | None = None, *, connected: bool = True) -> None:
        super().__init__(reason)
        self.wait = wait
        self.connected = connected


class AddressFailedError(Exception):
    """This address will not give the file."""


@dataclass(frozen=True)
class WantedFile:
    """Manifest entry of one file.

    `size` is in bytes; where it was computed rather than seen (`size_is_exact=False`) it serves the free-space check
    only. `sha256` is lower-case hexadecimal.
    """

    name: str
    addresses: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    size_is_exact: bool = True

    @property
    def exact_size(self) -> int | None:
        return self.size if self.size_is_exact else None


@dataclass(frozen=True)
class Patience:
    """How long to put up with a bad connection; everything in seconds but `attempts`."""

    attempts: int = 6  # failures in a row, none of which brought a new byte, before the address is given up
    attempts_to_connect: int = 2  # the same for an address that never answered: who is offline waits in vain
    first_wait: float = 1.0  # doubles with each failure
    longest_wait: float = 60.0
    longest_retry_after: float = 300.0
    connect_timeout: float = 15.0
    stall_timeout: float = 30.0  # without a single byte
    lock_poll: float = 1.0
    lock_timeout: float = 900.0  # waiting for another process whose .part does not change
    report_every: float = 5.0  # between progress lines where there is no terminal


def to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def request_rest(
    address: str,
    wanted: WantedFile,
    part: PartFile,
    by_content: bool,
    patience: Patience,
    report: Report,
) -> bool:
    """One request for whatever `part` lacks. Returns whether the length of the result is proven.

    Raises:
        TryAgainError, AddressFailedError: see there; what arrived before is in the file.
        DownloadError: the disk is full.
    """
    import requests
    from urllib3.exceptions import HTTPError

    have, origin = part.size(), part.origin()
    etag = origin.get("etag") if origin.get("address") == address else None
    if have and have == wanted.exact_size:
        return True  # a process died between the last byte and the rename
    if have and (have > (wanted.exact_size or have) or not (etag or by_content)):
        part.discard()  # nothing could tell whether a resumed file is of one piece
        have = 0
    # "identity": offsets and lengths must count the file's own bytes, not a compressed form of them.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    if have and etag:
        headers["If-Range"] = etag
    timeout = (patience.connect_timeout, patience.stall_timeout)
    try:
        response = requests.get(address, headers=headers, stream=True, timeout=timeout)
    except ValueError as error:  # requests' errors about malformed addresses are ValueErrors
        raise AddressFailedError(_in_words(error)) from error
    except requests.RequestException as error:
        connected = not isinstance(error, requests.ConnectionError)
        raise TryAgainError(_in_words(error), connected=connected) from error
    with response:
        start, total = _placement(response, part)
        if start and start == total:
            return True  # 416: nothing is lacking
        if total is None and not by_content and wanted.exact_size is None:
            raise AddressFailedError("the answer has no length, and no hash is known that could prove it complete")
        if wanted.exact_size is not None and total not in (None, wanted.exact_size):
            raise AddressFailedError(f"offers {total} bytes, expected {wanted.size}")
        require_space(part.path, (total or 0) - part.size())
        fresh_etag = _strong_etag(response)
        if start and etag and fresh_etag not in (None, etag):
            part.discard()
            raise TryAgainError(f"the file changed between two attempts (ETag {etag}, now {fresh_etag})")
        part.remember({"address": address, "etag": fresh_etag or (etag if start else None)})
        try:
            _append_body(response, part, start, total, wanted, patience, report)
        except HTTPError as error:
            raise TryAgainError(_in_words(error)) from error
    if total is not None and part.size() < total:
        raise TryAgainError(f"the connection ended after {part.size()} of {total} bytes")
    return total is not None


def _placement(response: requests.Response, part: PartFile) -> tuple[int, int | None]:
    """Where the answer's first byte belongs, and the whole file's length if the answer tells it."""
    status, have = response.status_code, part.size()
    if response.headers.get("Content-Encoding", "identity") != "identity" and status in (200, 206):
        raise AddressFailedError("sends the file compressed although asked not to")
    if status == 200:  # also the answer to a Range that was ignored, or to an If-Range that no longer holds
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    if status == 206:
        found = re.fullmatch(
            r"bytes (\d+)-\d+/(\d+|\*)",
            response.headers.get("Content-Range", "").strip(),
        )
        if found is None or int(found[1]) != have:
            raise AddressFailedError(f"answers Content-Range {response.headers.get('Content-Range')!r} to byte {have}")
        return have, None if found[2] == "*" else int(found[2])
    if status == 416 and have:
        total = response.headers.get("Content-Range", "").removeprefix("bytes */")
        if total.isdecimal() and int(total) == have:
            return have, have
        part.discard()
        raise TryAgainError(f"HTTP status 416 to byte {have}: the file is another than the one that was begun")
    if status in PASSING:
        raise TryAgainError(f"HTTP status {status}", _retry_after(response))
    raise AddressFailedError(f"HTTP status {status}")


def _append_body(
    response: requests.Response,
    part: PartFile,
    start: int,
    total: int | None,
    wanted: WantedFile,
    patience: Patience,
    report: Report,
) -> None:
    with (
        part.open_at(start) as file,
        _progress(wanted.name, start, total or wanted.size, patience, report) as advance,
    ):
        # read1 hands over what has arrived, so that a cut loses nothing that was received.
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            if wanted.exact_size is not None and file.tell() + len(chunk) > wanted.exact_size:
                part.discard()
                raise AddressFailedError(f"sends more than the expected {wanted.size} bytes")
            try:
                file.write(chunk)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
                    raise DownloadError(f"cannot write {part.path}: {error.strerror}") from error
                need = f"{total - file.tell()} more bytes" if total is not None else "more bytes"
                free = shutil.disk_usage(part.path.parent).free
                raise DownloadError(
                    f"disk full: {wanted.name} needs {need} in {part.path.parent} ({error.strerror}; {free} bytes"
                    " free); free some space or choose another folder, then repeat: what has arrived is kept"
                ) from error
            advance(len(chunk))


def require_space(path: Path, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise DownloadError(
            f"not enough room for {path.name}: {needed} bytes needed, {free} free in {path.parent};"
            " free some space or choose another folder"
        )


def _retry_after(response: requests.Response) -> float | None:
    """Seconds asked for by Retry-After, which holds seconds or a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _strong_etag(response: requests.Response) -> str | None:
    """The ETag if it promises identical bytes: weak ones (W/) may not be used with If-Range."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else None


def _in_words(error: BaseException) -> str:
    """An exception of the network stack in one line; those wrap each other and the innermost says most."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


# Files


class PartFile:
    """The unfinished file, and beside it where its bytes came from: address and ETag."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.restarts = 0  # how often bytes were thrown away
        self.from_one_answer = False  # known only of what this process fetched

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

    def discard(self) -> None:
        self.restarts += self.size() > 0
        self.path.unlink(missing_ok=True)
        beside(self.path, ".json").unlink(missing_ok=True)


def rename_into_place(path: Path, final: Path, replace: Callable[[Path, Path], None] = os.replace) -> None:
    """Rename, several times if need be: on Windows a virus scanner may hold a new file for a moment."""
    for wait in (0.1, 0.2, 0.4, 0.8, 1.6, None):
        try:
            replace(path, final)
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


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none, or only half of one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


# Progress


@contextmanager
def _progress(
    name: str, start: int, total: int | None, patience: Patience, report: Report
) -> Iterator[Callable[[int], object]]:
    """Gives a function that counts arriving bytes: a bar on a terminal, elsewhere a line now and then."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(
            desc=name,
            initial=start,
            total=total,
            unit="B",
            unit_scale=True,
            unit_divisor=1000,
            file=sys.stderr,
        ) as bar:
            yield bar.update
        return
    have, began, last = start, time.monotonic(), time.monotonic()

    def advance(count: int) -> None:
        nonlocal have, last
        have += count
        now = time.monotonic()
        if now - last >= patience.report_every:
            last, rate = now, (have - start) / max(now - began, 1e-9)
            line = f"{name}: {have / 1e6:.1f} MB"
            if total:
                line += f" of {total / 1e6:.1f} MB ({have / total:.0%}), {max(0, total - have) / rate:.0f} s left"
            report(f"{line}, {rate / 1e6:.2f} MB/s")

    yield advance
