"""Whether a file, or a member of an archive, is the wanted one: by its SHA-256, or by a check of its content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ablation.files.storage import beside, read_json
from ablation.files.wanted import DownloadError, Report, WantedFile, to_stderr

REMEMBER_HASHES_FROM = 8 << 20  # bytes; smaller files are hashed anew each time, which takes milliseconds


@dataclass(frozen=True)
class Proof:
    """Decides whether a complete file is the wanted one, and remembers so for large files in NAME.verified.json.

    Attributes:
        check: proves the content in place of `wanted.sha256` (which then is not enforced); raises DownloadError.
        trust_new_hash: accept a file whose SHA-256 is another than the manifest's, with a line that says so.
    """

    wanted: WantedFile
    check: Callable[[Path], object] | None = None
    trust_new_hash: bool = False
    report: Report = to_stderr

    @property
    def by_content(self) -> bool:
        """Whether the content is proven at all, and not the length alone."""
        return self.check is not None or self.wanted.sha256 is not None

    def problem_with(self, final: Path) -> str | None:
        """None if `final` is there and good, else the problem in words."""
        if not final.is_file():
            return missing(final)
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
            self.prove(final, final)
        except DownloadError as problem:
            return str(problem)
        return None

    def prove(self, path: Path, final: Path) -> None:
        """Prove `path`, and remember it as `final`; raises DownloadError."""
        size = path.stat().st_size
        if self.wanted.exact_size not in (None, size):
            raise DownloadError(f"{path} has {size} bytes, expected {self.wanted.size}")
        if self.check:
            self.check(path)
        digest = sha256_of(path)
        if not self.check and self.wanted.sha256 is not None:
            check_hash(str(path), digest, self.wanted.sha256, self.trust_new_hash, self.report)
        _remember_hash(path, final, digest)


def missing(path: Path) -> str:
    return f"{path.name} is missing (looked for {path.absolute()})"


def check_hash(what: str, digest: str, expected: str, trust_new_hash: bool, report: Report) -> None:
    """Refuse another SHA-256 than the expected one, or report it where new ones are trusted; raises DownloadError."""
    if digest == expected:
        return
    difference = f"{what} has SHA-256 {digest}, expected {expected}"
    if not trust_new_hash:
        raise DownloadError(f"{difference} (--trust_new_hash accepts it)")
    report(f"{difference}; accepted because of --trust_new_hash")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """The same, computed only once for a large file that does not change."""
    digest = _remembered_hash(path)
    if digest is None:
        digest = sha256_of(path)
        _remember_hash(path, path, digest)
    return digest


def _remembered_hash(final: Path) -> str | None:
    record, stat = read_json(beside(final, ".verified.json")), final.stat()
    known = record.get("size") == stat.st_size and record.get("mtime_ns") == stat.st_mtime_ns
    return str(record["sha256"]) if known and "sha256" in record else None


def _remember_hash(path: Path, final: Path, digest: str) -> None:
    stat = path.stat()  # a rename keeps size and modification time
    if stat.st_size < REMEMBER_HASHES_FROM:
        return
    record = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": digest}
    with contextlib.suppress(OSError):  # a folder that cannot be written to: the file is hashed again next time
        beside(final, ".verified.json").write_text(json.dumps(record), encoding="utf-8")


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
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError) as error:
        with archive.open("rb") as file:
            begins = file.read(20)
        raise DownloadError(f"{archive} is no zip archive ({error}; it begins with {begins!r}): delete it") from None
    check_hash(f"{member} in {archive}", hashlib.sha256(content).hexdigest(), sha256, trust_new_hash, report)
    return content
