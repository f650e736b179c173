"""One resumable, verified download; knows nothing of GPT-2.

`fetch` puts one file under its final name, and only after its content has been proven: by the SHA-256 of the
manifest, or by a check of the caller's. Until then the bytes are in `NAME.part`, which outlives broken connections
and killed processes. Several processes may want the same file: one fetches, the others wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypedDict, Unpack
from urllib.parse import urlsplit

from ablation.files.part_file import PartFile, cannot, require_space
from ablation.files.proof import Proof
from ablation.files.storage import beside, rename_into_place, sync
from ablation.files.transfer import AddressFailedError, Transfer, TryAgainError
from ablation.files.wanted import DownloadError, Patience, Report, WantedFile, to_stderr


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
    check: Callable[[Path], object] | None = None,
    how_to_fetch: str = "",
    **options: Unpack[FetchOptions],
) -> Path:
    """Return `folder/wanted.name`, fetched if it is not there, and verified either way.

    Args:
        check: proves the content in place of `wanted.sha256`, see `Proof`.
        how_to_fetch: the command for a connected machine, named where `offline` leaves a file missing.

    Raises:
        NoAddressError: no address gave a file that could be proven.
        DownloadError: anything else, such as a full disk.
    """
    final, report = folder / wanted.name, options.get("report", to_stderr)
    proof = Proof(wanted, check, options.get("trust_new_hash", False), report)
    problem = proof.problem_with(final)
    if problem is None:
        return final
    if options.get("offline"):
        raise offline_error(problem, how_to_fetch)
    delivery = _Delivery(final, proof, options.get("patience", Patience()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with delivery.one_process_at_a_time():
            problem = proof.problem_with(final)  # another process may have fetched it meanwhile
            if problem is not None:
                if final.exists():
                    report(f"{problem}; set aside as {_set_aside(final, final).name}, fetching it again")
                delivery.from_first_good_address()
    except OSError as error:
        raise cannot("store", final, error) from error
    return final


def offline_error(problem: str, how_to_fetch: str) -> DownloadError:
    """About a file that is not there, or not the right one, and must not be fetched."""
    return DownloadError(
        f"{problem}; --offline forbids fetching it, so run on a connected machine: {how_to_fetch}"
    )


def _summary(failures: Sequence[tuple[str, str]]) -> str:
    """Which hosts failed why, each reason once; the addresses in full were reported as they failed."""
    hosts: dict[str, list[str]] = {}
    for address, reason in failures:
        host = urlsplit(address).netloc or address
        hosts.setdefault(reason, []).append(host)
    parts = [f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in hosts.items()]
    return "; ".join(parts) or "no address is known"


def _set_aside(path: Path, final: Path) -> Path:
    rejected = beside(final, ".rejected")
    rename_into_place(path, rejected)
    return rejected


class _Delivery:
    """One file from an address to its place."""

    def __init__(self, final: Path, proof: Proof, patience: Patience) -> None:
        self.final, self.proof, self.patience = final, proof, patience
        self.wanted, self.report = proof.wanted, proof.report
        self.part = PartFile(final)
        self.transfer = Transfer(self.wanted, self.part, proof.by_content, patience, self.report)

    def one_process_at_a_time(self) -> AbstractContextManager[object]:
        """The operating system's lock for the file, held; it vanishes with the process that holds it."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.final.with_name(f".{self.final.name}.lock"))
        last_size, last_change, told = -1, time.monotonic(), False
        while True:
            try:
                return lock.acquire(timeout=self.patience.lock_poll)
            except Timeout:
                if not told:
                    self.report(f"{self.wanted.called}: another process is fetching it, waiting")
                    told = True
                if self.part.size() != last_size:
                    last_size, last_change = self.part.size(), time.monotonic()
                elif time.monotonic() - last_change > self.patience.lock_timeout:
                    raise DownloadError(
                        f"another process has held {lock.lock_file} for {self.patience.lock_timeout:.0f} s without"
                        " fetching anything: end it, or delete that file if there is none"
                    ) from None

    def from_first_good_address(self) -> None:
        if self.wanted.size is not None:
            require_space(self.final, self.wanted.size - self.part.size())
        failures: list[tuple[str, str]] = []
        for number, address in enumerate(self.wanted.addresses):
            if number:
                self.report(f"{self.wanted.called}: trying the next address, {address}")
            try:
                self._from_address(address)
                return
            except AddressFailedError as failure:
                failures.append((address, str(failure)))
                self.report(f"{self.wanted.called}: {address}: {failure}")
        raise NoAddressError(f"could not fetch {self.wanted.called}: {_summary(failures)}")

    def _from_address(self, address: str) -> None:
        """Request and resume until the file is in place; raises AddressFailedError."""
        attempts = _Attempts(self.part, self.patience)
        while True:
            try:
                proven_length = self.transfer.request_rest(address)
                self._prove(proven_length, attempts)
                break
            except TryAgainError as failure:
                wait = attempts.wait_after(failure)
                start = f"byte {self.part.size()}" if self.part.size() else "the beginning"
                self.report(f"{self.wanted.called}: {failure}; trying again in {wait:.3g} s from {start}")
                time.sleep(wait)
        sync(self.part.path)
        rename_into_place(self.part.path, self.final)
        self.part.discard()
        sync(self.final.parent)

    def _prove(self, proven_length: bool, attempts: _Attempts) -> None:
        """Prove what has arrived; where it is wrong, set it aside, or throw it away if one more try could mend it."""
        try:
            self.proof.prove(self.part.path, self.final)
        except DownloadError as problem:
            if not proven_length:
                raise TryAgainError(f"the answer ended without a length, and {problem}") from None
            if not self.part.from_one_answer and not attempts.started_over:
                # Its pieces may come from two versions of the file; only one whole answer condemns the address.
                attempts.started_over = True
                self.part.discard()
                raise TryAgainError(f"{problem}; its pieces came in different answers, starting over") from None
            aside = _set_aside(self.part.path, self.final)
            self.part.discard()
            raise AddressFailedError(f"{problem}; set aside as {aside.name}") from None


class _Attempts:
    """The attempts at one address: whether there is one more, and when.

    Attributes:
        started_over: whether a complete file was thrown away because its pieces did not fit.
    """

    def __init__(self, part: PartFile, patience: Patience) -> None:
        self.part, self.patience = part, patience
        self.started_over = False
        self._failures = 0  # in a row, none of which brought more than a drop
        self._furthest = part.size()
        self._restarts = self._restarts_before = part.restarts
        self._answered = part.size() > 0

    def wait_after(self, failure: TryAgainError) -> float:
        """Seconds until the next attempt; raises AddressFailedError where there is none."""
        part, patience = self.part, self.patience
        if part.restarts > self._restarts:  # from the first byte again: progress is measured anew, but not for ever
            self._restarts, self._furthest = part.restarts, 0
        self._failures = 0 if part.size() - self._furthest >= patience.slowest else self._failures + 1
        self._furthest = max(self._furthest, part.size())
        self._answered = self._answered or failure.connected
        attempts = patience.attempts if self._answered else patience.attempts_to_connect
        if self._failures >= attempts or part.restarts - self._restarts_before > attempts:
            raise AddressFailedError(f"{failure} (gave up after {attempts} attempts in vain)") from None
        if failure.wait is None:
            return min(patience.first_wait * 2**self._failures, patience.longest_wait)
        if failure.wait > patience.longest_retry_after:
            raise AddressFailedError(f"{failure}, and asks to wait {failure.wait:.0f} s") from None
        return failure.wait
