"""One resumable, verified download; knows nothing of GPT-2.

`fetch` puts one file under its final name, and only after its content has been proven: by the SHA-256 of the
manifest, or by a check of the caller's. Until then the bytes are in `NAME.part`, which outlives broken connections
and killed processes. Several processes may want the same file: one fetches, the others wait.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from ablation.files.transfer import (
    AddressFailedError,
    DownloadError,
    PartFile,
    Patience,
    Report,
    TryAgainError,
    WantedFile,
    beside,
    read_json,
    rename_into_place,
    request_rest,
    require_space,
    sync,
    to_stderr,
)

__all__ = [
    "DownloadError",
    "FetchOptions",
    "NoAddressError",
    "Patience",
    "Report",
    "WantedFile",
    "fetch",
    "member_of_zip",
    "missing_offline",
    "sha256_of",
    "store",
    "to_stderr",
]

Check = Callable[[Path], None]

DEFAULT_PATIENCE = Patience()
REMEMBER_HASHES_FROM = 8 << 20  # bytes; smaller files are hashed anew each time, which takes milliseconds


class NoAddressError(DownloadError):
    """Every address was tried and none gave the file: another source may."""


class FetchOptions(TypedDict, total=False):
    """What all fetches of one command have in common.

    offline: open no connection; a missing file is an error that names the command that would fetch it.
    trust_new_hash: accept a complete file whose SHA-256 is another than the manifest's, with a line that says so.
    patience, report: see `Patience`; where lines for people go.
    """

    offline: bool
    trust_new_hash: bool
    patience: Patience
    report: Report


def fetch(
    wanted: WantedFile,
    folder: Path,
    *,
    check: Check | None = None,
    how_to_fetch: str = "",
    offline: bool = False,
    trust_new_hash: bool = False,
    patience: Patience = DEFAULT_PATIENCE,
    report: Report = to_stderr,
) -> Path:
    """Return `folder/wanted.name`, fetched if it is not there, and verified either way.

    Args:
        check: proves the content in place of `wanted.sha256` (which then is not enforced); raises DownloadError.
        how_to_fetch: the command for a connected machine, named where `offline` leaves a file missing.
        offline, trust_new_hash, patience, report: see `FetchOptions`.

    Raises:
        NoAddressError: no address gave a file that could be proven.
        DownloadError: anything else, such as a full disk.
    """
    final = folder / wanted.name
    prove = _Proof(wanted, check, trust_new_hash, report)
    problem = prove.existing(final)
    if problem is None:
        return final
    if offline:
        raise DownloadError(f"{problem}; {_on_a_connected_machine(how_to_fetch)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _one_process_at_a_time(final, patience, report):
            problem = prove.existing(final)  # another process may have fetched it meanwhile
            if problem is not None:
                if final.exists():
                    report(f"{problem}; set aside as {_set_aside(final, final).name}, fetching it again")
                _from_first_good_address(wanted, final, prove, patience, report)
    except OSError as error:
        raise DownloadError(f"cannot store {final}: {error.strerror or error}") from error
    return final


def missing_offline(path: Path, how_to_fetch: str) -> str:
    """The message about a file that is not there and must not be fetched."""
    return f"{_missing(path)}; {_on_a_connected_machine(how_to_fetch)}"


def _missing(path: Path) -> str:
    return f"{path.name} is missing (looked for {path.absolute()})"


def _on_a_connected_machine(how_to_fetch: str) -> str:
    return f"--offline forbids fetching it, so run on a connected machine: {how_to_fetch}"


# Proof of content


class _Proof:
    """Decides whether a complete file is the wanted one, and remembers so for large files in NAME.verified.json."""

    def __init__(
        self,
        wanted: WantedFile,
        check: Check | None,
        trust_new_hash: bool,
        report: Report,
    ) -> None:
        self.wanted, self.check, self.trust_new_hash, self.report = (
            wanted,
            check,
            trust_new_hash,
            report,
        )
        self.by_content = check is not None or wanted.sha256 is not None

    def existing(self, final: Path) -> str | None:
        """None if `final` is there and good, else the problem in words."""
        if not final.is_file():
            return _missing(final)
        expected = None if self.check else self.wanted.sha256
        remembered = _remembered_hash(final)
        if remembered is not None:
            if expected in (None, remembered) or self.trust_new_hash:
                return None
            raise DownloadError(
                f"{final} has SHA-256 {remembered}, expected {expected}, and was accepted with --trust_new_hash before:"
                " give that flag again, or delete the file"
            )
        try:
            self(final)
        except DownloadError as problem:
            return str(problem)
        return None

    def __call__(self, path: Path, final: Path | None = None) -> None:
        """Prove `path`, and remember it as `final`; raises DownloadError."""
        size = path.stat().st_size
        if self.wanted.exact_size not in (None, size):
            raise DownloadError(f"{path} has {size} bytes, expected {self.wanted.size}")
        if self.check:
            self.check(path)
        digest = sha256_of(path)
        if not self.check and self.wanted.sha256 not in (None, digest):
            difference = f"{path} has SHA-256 {digest}, expected {self.wanted.sha256}"
            if not self.trust_new_hash:
                raise DownloadError(f"{difference} (--trust_new_hash accepts it)")
            self.report(f"{difference}; accepted because of --trust_new_hash")
        _remember_hash(path, final or path, digest)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remembered_hash(final: Path) -> str | None:
    record, stat = read_json(beside(final, ".verified.json")), final.stat()
    known = record.get("size") == stat.st_size and record.get("mtime_ns") == stat.st_mtime_ns
    return str(record["sha256"]) if known and "sha256" in record else None


def _remember_hash(path: Path, final: Path, digest: str) -> None:
    stat = path.stat()  # a rename keeps size and modification time
    if stat.st_size < REMEMBER_HASHES_FROM:
        return
    try:
        record = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": digest}
        beside(final, ".verified.json").write_text(json.dumps(record), encoding="utf-8")
    except OSError:
        pass  # a folder that cannot be written to: the file is hashed again next time


# Addresses and attempts


def _from_first_good_address(
    wanted: WantedFile, final: Path, prove: _Proof, patience: Patience, report: Report
) -> None:
    part = PartFile(beside(final, ".part"))
    if wanted.size is not None:
        require_space(final, wanted.size - part.size())
    reasons = []
    for number, address in enumerate(wanted.addresses):
        if number:
            report(f"{wanted.name}: trying the next address, {address}")
        try:
            _transfer(address, wanted, final, part, prove, patience, report)
            return
        except AddressFailedError as failure:
            reasons.append(f"{address}: {failure}")
            report(f"{wanted.name}: {reasons[-1]}")
    raise NoAddressError(f"could not fetch {wanted.name}: " + "; ".join(reasons or ["no address is known"]))


def _transfer(
    address: str,
    wanted: WantedFile,
    final: Path,
    part: PartFile,
    prove: _Proof,
    patience: Patience,
    report: Report,
) -> None:
    """Request, resume and prove until `final` is in place; raises AddressFailedError."""
    furthest, failures, started_over = part.size(), 0, False
    restarts = restarts_before = part.restarts
    answered = part.size() > 0
    while True:
        try:
            proven_length = request_rest(address, wanted, part, prove.by_content, patience, report)
            try:
                prove(part.path, final)
            except DownloadError as problem:
                if not proven_length:
                    raise TryAgainError(f"the answer ended without a length, and {problem}") from None
                if not part.from_one_answer and not started_over:
                    # Its pieces may come from two versions of the file; only one whole answer condemns the address.
                    started_over = True
                    part.discard()
                    raise TryAgainError(f"{problem}; its pieces came in different answers, starting over") from None
                aside = _set_aside(part.path, final)
                part.discard()
                raise AddressFailedError(f"{problem}; set aside as {aside.name}") from None
            sync(part.path)
            rename_into_place(part.path, final)
            part.discard()
            sync(final.parent)
            return
        except TryAgainError as failure:
            if part.restarts > restarts:  # from the first byte again: progress is measured anew, but not for ever
                restarts, furthest = part.restarts, 0
            failures = 0 if part.size() > furthest else failures + 1
            furthest = max(furthest, part.size())
            answered = answered or failure.connected
            attempts = patience.attempts if answered else patience.attempts_to_connect
            if failures >= attempts or restarts - restarts_before > attempts:
                raise AddressFailedError(f"{failure} (gave up after {attempts} attempts in vain)") from None
            wait = failure.wait
            if wait is None:
                wait = min(patience.first_wait * 2**failures, patience.longest_wait)
            elif wait > patience.longest_retry_after:
                raise AddressFailedError(f"{failure}, and asks to wait {wait:.0f} s") from None
            report(f"{wanted.name}: {failure}; trying again in {wait:.3g} s from byte {part.size()}")
            time.sleep(wait)


@contextmanager
def _one_process_at_a_time(final: Path, patience: Patience, report: Report) -> Iterator[None]:
    """Hold the operating system's lock for `final`; it vanishes with the process that holds it."""
    from filelock import FileLock, Timeout

    lock = FileLock(final.with_name(f".{final.name}.lock"))
    part = PartFile(beside(final, ".part"))
    last_size, last_change, told = -1, time.monotonic(), False
    while True:
        try:
            lock.acquire(timeout=patience.lock_poll)
            break
        except Timeout:
            if not told:
                report(f"{final.name}: another process is fetching it, waiting")
                told = True
            if part.size() != last_size:
                last_size, last_change = part.size(), time.monotonic()
            elif time.monotonic() - last_change > patience.lock_timeout:
                raise DownloadError(
                    f"another process has held {lock.lock_file} for {patience.lock_timeout:.0f} s without fetching"
                    " anything: end it, or delete that file if there is none"
                ) from None
    try:
        yield
    finally:
        lock.release()


def _set_aside(path: Path, final: Path) -> Path:
    rejected = beside(final, ".rejected")
    rename_into_place(path, rejected)
    return rejected


# Archives


def member_of_zip(
    archive: Path,
    member: str,
    sha256: str,
    *,
    trust_new_hash: bool = False,
    longest: int = 64 << 20,
    report: Report = to_stderr,
) -> bytes:
    """The content of one member of a zip archive, asked for by its exact name, once its SHA-256 is proven.

    Nothing is unpacked, so no name within the archive can lead out of a folder. `longest` is in bytes.

    Raises:
        DownloadError: not a zip, no such member, or other content.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            if opened.getinfo(member).file_size > longest:
                raise DownloadError(f"{member} in {archive} claims more than {longest} bytes: delete that archive")
            content = opened.read(member)
    except KeyError:
        raise DownloadError(f"{archive} has no member {member!r}: delete it to fetch it again") from None
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        zlib.error,
        EOFError,
    ) as error:
        with archive.open("rb") as file:
            begins = file.read(20)
        raise DownloadError(f"{archive} is no zip archive ({error}; it begins with {begins!r}): delete it") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        difference = f"{member} in {archive} has SHA-256 {digest}, expected {sha256}"
        if not trust_new_hash:
            raise DownloadError(f"{difference} (--trust_new_hash accepts it)")
        report(f"{difference}; accepted because of --trust_new_hash")
    return content


def store(content: bytes, target: Path) -> None:
    """Write a whole file or nothing, whoever else writes it at the same time."""
    part = beside(target, f".{os.getpid()}.part")
    try:
        part.write_bytes(content)
        sync(part)
        rename_into_place(part, target)
    except OSError as error:
        raise DownloadError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
