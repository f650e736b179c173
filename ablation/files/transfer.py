"""One HTTP transfer into a `.part` file: asks for what is lacking, and says what went wrong.

HTTP semantics (Range, If-Range, 206, 416, Retry-After) after RFC 9110, sections 10.2.3, 13.1.5, 14 and 15.
"""

from __future__ import annotations

import email.utils
import queue
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablation.files.part_file import PartFile, require_space
from ablation.files.wanted import Patience, Report, WantedFile

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 16  # bytes; what a cut can lose at most
LONGEST_LENGTH = 20  # digits; Python refuses to read thousands of them
PASSING = {408, 425, 429, 500, 502, 503, 504}  # statuses that may be gone a moment later


class TryAgainError(Exception):
    """The same address may do better in `wait` seconds (None: the usual back-off); `connected` says if it answered."""

    def __init__(self, reason: str, wait: float | None = None, *, connected: bool = True) -> None:
        super().__init__(reason)
        self.wait = wait
        self.connected = connected


class AddressFailedError(Exception):
    """This address will not give the file."""


@dataclass(frozen=True)
class Transfer:
    """A wanted file on its way into its `.part`, from whichever address is asked.

    Attributes:
        provable: whether the content of the whole file can be proven, so that pieces of any origin may be tried.
    """

    wanted: WantedFile
    part: PartFile
    provable: bool
    patience: Patience
    report: Report

    def request_rest(self, address: str) -> bool:
        """One request for whatever is lacking. Returns whether the length of the result is proven.

        Raises:
            TryAgainError, AddressFailedError: see there; what arrived before is in the file.
            DownloadError: the disk is full.
        """
        from urllib3.exceptions import HTTPError

        part = self.part
        if part.size() and part.size() == self.wanted.exact_size:
            return True  # a process died between the last byte and the rename
        have, etag = self._what_to_keep(address)
        with self._ask(address, have, etag) as response:
            start, total = _placement(response, part)
            if start and start == total:
                return True  # 416: nothing is lacking
            self._check_length(total)
            self._note_origin(address, _strong_etag(response), etag if start else None)
            try:
                self._append_body(response, start, total)
            except HTTPError as error:
                raise TryAgainError(_in_words(error)) from error
        if total is not None and part.size() < total:
            raise TryAgainError(f"the connection ended after {part.size()} of {total} bytes")
        return total is not None

    def _what_to_keep(self, address: str) -> tuple[int, str | None]:
        """How many bytes to go on from, and the ETag with which this address gave them."""
        have, origin = self.part.size(), self.part.origin()
        etag = origin.get("etag") if origin.get("address") == address else None
        too_long = have > self.wanted.ceiling
        if have and (too_long or not (etag or self.provable)):
            self.part.discard()  # nothing could tell whether a resumed file is of one piece
            return 0, None
        return have, etag

    def _ask(self, address: str, have: int, etag: str | None) -> requests.Response:
        import requests

        # "identity": offsets and lengths must count the file's own bytes, not a compressed form of them.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        if have and etag:
            headers["If-Range"] = etag
        timeout = (self.patience.connect_timeout, self.patience.stall_timeout)

        def request() -> requests.Response:
            hooks = {"response": _leave_redirect_unread}
            return requests.get(address, headers=headers, stream=True, timeout=timeout, hooks=hooks)

        try:
            return _within(self.patience.slowest_over, request)
        except ValueError as error:  # requests' errors about malformed addresses are ValueErrors
            raise AddressFailedError(f"no address of a file ({type(error).__name__})") from error
        except requests.RequestException as error:
            connected = not isinstance(error, requests.ConnectionError)
            raise TryAgainError(_in_words(error), connected=connected) from error

    def _check_length(self, total: int | None) -> None:
        expected = self.wanted.exact_size
        if total is None and not self.provable and expected is None:
            raise AddressFailedError("the answer has no length, and no hash is known that could prove it complete")
        if expected is not None and total not in (None, expected):
            raise AddressFailedError(f"offers {total} bytes, expected {expected}")
        if total is not None and self.wanted.size is not None and total > self.wanted.ceiling:
            raise AddressFailedError(f"offers {total} bytes, at most {self.wanted.ceiling} are taken")
        require_space(self.part.path, (total or 0) - self.part.size())

    def _note_origin(self, address: str, fresh: str | None, kept: str | None) -> None:
        """Keep the ETag; start over where it is another than that of the bytes which are kept."""
        if kept and fresh not in (None, kept):
            self.part.discard()
            raise TryAgainError(f"the file changed between two attempts (ETag {kept}, now {fresh})")
        self.part.remember({"address": address, "etag": fresh or kept})

    def _append_body(self, response: requests.Response, start: int, total: int | None) -> None:
        wanted, part, patience = self.wanted, self.part, self.patience
        pace = _Pace(patience)
        with (
            part.open_at(start) as file,
            _progress(wanted.called, start, total or wanted.size, patience.report_every, self.report) as advance,
        ):
            # read1 hands over what has arrived, so that a cut loses nothing that was received.
            while chunk := response.raw.read1(CHUNK, decode_content=False):
                if file.tell() + len(chunk) > wanted.ceiling:
                    part.discard()
                    raise AddressFailedError(f"sends more than {wanted.ceiling} bytes, the most that are taken")
                part.write(file, chunk, total)
                advance(len(chunk))
                pace.keep(len(chunk))


def _leave_redirect_unread(response: requests.Response, **_: object) -> None:
    """requests would read all that comes with a redirect, however much it is."""
    if response.is_redirect:
        response.close()


def _within(seconds: float, request: Callable[[], requests.Response]) -> requests.Response:
    """What `request` returns or raises; AddressFailedError where it takes longer. The timeouts of sockets do not see
    that: they begin anew with each byte, and headers may come a byte at a time."""
    answers: queue.SimpleQueue[tuple[requests.Response | None, Exception | None]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put((request(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=ask, daemon=True).start()
    try:
        response, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise AddressFailedError(f"has not answered after {seconds:.3g} s") from None
    if response is None:
        error = error or AddressFailedError("has no answer")
        raise error from error.__cause__ or error.__context__  # not from what the caller may be handling
    return response


class _Pace:
    """Notices a server that sends so little that waiting for it would never end."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since, self._bytes = time.monotonic(), 0

    def keep(self, count: int) -> None:
        """Count arriving bytes; raises AddressFailedError where a window ends with too few."""
        self._bytes += count
        seconds = time.monotonic() - self._since
        if seconds < self._patience.slowest_over:
            return
        if self._bytes < self._patience.slowest * seconds:
            raise AddressFailedError(
                f"sent {self._bytes} bytes in {seconds:.3g} s, less than {self._patience.slowest:.0f} a second"
            )
        self._since, self._bytes = time.monotonic(), 0


def _placement(response: requests.Response, part: PartFile) -> tuple[int, int | None]:
    """Where the answer's first byte belongs, and the whole file's length if the answer tells it."""
    status, have = response.status_code, part.size()
    if response.headers.get("Content-Encoding", "identity") != "identity" and status in (200, 206):
        raise AddressFailedError("sends the file compressed although asked not to")
    if status == 200:  # also the answer to a Range that was ignored, or to an If-Range that no longer holds
        length = response.headers.get("Content-Length", "")
        return 0, _length(length) if length.isdecimal() else None
    content_range = response.headers.get("Content-Range", "").strip()
    if status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range)
        if found is None or _length(found[1]) != have:
            raise AddressFailedError(f"answers Content-Range {response.headers.get('Content-Range')!r} to byte {have}")
        return have, None if found[2] == "*" else _length(found[2])
    if status == 416 and have:
        total = content_range.removeprefix("bytes */")
        if total.isdecimal() and _length(total) == have:
            return have, have
        part.discard()
        raise TryAgainError(f"HTTP status 416 to byte {have}: the file is another than the one that was begun")
    if status in PASSING:
        raise TryAgainError(f"HTTP status {status}", _retry_after(response))
    raise AddressFailedError(f"HTTP status {status}")


def _length(digits: str) -> int:
    if len(digits) > LONGEST_LENGTH:
        raise AddressFailedError(f"answers a length of {len(digits)} digits")
    return int(digits)


def _retry_after(response: requests.Response) -> float | None:
    """Seconds asked for by Retry-After, which holds seconds or a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _strong_etag(response: requests.Response) -> str | None:
    """The ETag if it promises identical bytes: weak ones (W/) may not be used with If-Range."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else None


def _in_words(error: BaseException) -> str:
    """An exception of the network stack in one line; those wrap each other and the innermost says most."""
    wrapped = [error]
    while (inner := wrapped[-1].__cause__ or wrapped[-1].__context__) is not None:
        wrapped.append(inner)
    through = "through the proxy: " if any(type(error).__name__ == "ProxyError" for error in wrapped) else ""
    return through + _plainly(wrapped[-1])[:200]


def _plainly(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return "host not found"
    if isinstance(error, ConnectionError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def _progress(
    name: str, start: int, total: int | None, report_every: float, report: Report
) -> Iterator[Callable[[int], object]]:
    """Gives a function that counts arriving bytes, `start` of `total` being there: a bar on a terminal, elsewhere a
    line every `report_every` seconds."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        units: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1000}
        with tqdm(desc=name, initial=start, total=total, file=sys.stderr, **units) as bar:
            yield bar.update
        return
    have, began, last = start, time.monotonic(), time.monotonic()

    def advance(count: int) -> None:
        nonlocal have, last
        have += count
        now = time.monotonic()
        if now - last >= report_every:
            last, rate = now, (have - start) / max(now - began, 1e-9)
            line = f"{name}: {have / 1e6:.1f} MB"
            if total:
                line += f" of {total / 1e6:.1f} MB ({have / total:.0%}), {max(0, total - have) / rate:.0f} s left"
            report(f"{line}, {rate / 1e6:.2f} MB/s")

    yield advance
