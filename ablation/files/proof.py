"""Whether a file, or a member of an archive, is the wanted one: by its SHA-256, or by a check of its content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ablation.files.storage import beside, read_json
from ablation.files.wanted import DownloadError, Report, WantedFile, to_stderr

PIECE = 1 << 16  # bytes unpacked at a time


@dataclass(frozen=True)
class Proof:
    """Decides whether a complete file is the wanted one, by reading all of it each time.

    Attributes:
        check: proves the content in place of `wanted.sha256` (which then is not enforced); raises DownloadError.
        trust_new_hash: accept a file whose SHA-256 is another than the manifest's, with a line that says so. Such
            a hash is kept in NAME.trusted.json, so that the file is not replaced where the flag is left out.
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
        """None if `final` is there and good, else the problem in words; raises DownloadError where a person must decide
        about what lies there."""
        try:
            final.open("rb").close()
        except (FileNotFoundError, NotADirectoryError):
            return missing(final, self.wanted.title)
        except OSError as error:
            raise unreadable(final, error) from error
        try:
            self.prove(final, final)
        except OtherHashError as problem:
            if problem.digest == read_json(beside(final, ".trusted.json")).get("sha256"):
                raise DownloadError(
                    f"{problem}, and was accepted with --trust_new_hash before: give that flag again, or delete it"
                ) from None
            return str(problem)
        except DownloadError as problem:
            return str(problem)
        return None

    def prove(self, path: Path, final: Path) -> None:
        """Prove `path`, which is or becomes `final`; raises DownloadError."""
        size = path.stat().st_size
        if self.wanted.exact_size not in (None, size):
            raise DownloadError(f"{path} has {size} bytes, expected {self.wanted.size}")
        if self.check:
            try:
                self.check(path)
            except MemoryError:
                raise DownloadError(f"{path} needs more memory than there is to be checked") from None
        elif self.wanted.sha256 is not None:
            digest = sha256_of(path)
            check_hash(str(path), digest, self.wanted.sha256, self.trust_new_hash, self.report)
            if digest != self.wanted.sha256:
                with contextlib.suppress(OSError):  # a folder that cannot be written to: without the flag, refused
                    beside(final, ".trusted.json").write_text(json.dumps({"sha256": digest}), encoding="utf-8")


class OtherHashError(DownloadError):
    """A file whose SHA-256, `digest`, is another than the expected one."""

    def __init__(self, difference: str, digest: str) -> None:
        super().__init__(f"{difference} (--trust_new_hash accepts it)")
        self.digest = digest


def missing(path: Path, title: str = "") -> str:
    return f"{title or path.name} is missing (looked for {path.absolute()})"


def unreadable(path: Path, error: OSError) -> DownloadError:
    return DownloadError(f"cannot read {path}: {error.strerror or error}; mend that, or move it away")


def check_hash(what: str, digest: str, expected: str, trust_new_hash: bool, report: Report) -> None:
    """Refuse another SHA-256 than the expected one, or report it where new ones are trusted; raises OtherHashError."""
    if digest == expected:
        return
    difference = f"{what} has SHA-256 {digest}, expected {expected}"
    if not trust_new_hash:
        raise OtherHashError(difference, digest)
    report(f"{difference}; accepted because of --trust_new_hash")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, lower-case hexadecimal; raises DownloadError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


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
            found = opened.getinfo(member)
            if found.file_size > longest:
                raise DownloadError(f"{member} in {archive} claims more than {longest} bytes: delete that archive")
            if found.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise NotImplementedError(f"compression method {found.compress_type}")  # unpacks without a bound
            with opened.open(found) as stream:  # piece by piece: never more than the claim and a piece, if it lies
                content = b"".join(iter(lambda: stream.read(PIECE), b""))
    except KeyError:
        raise DownloadError(f"{archive} has no member {member!r}: delete it to fetch it again") from None
    except DownloadError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        with archive.open("rb") as file:
            begins = file.read(20)
        raise DownloadError(
            f"{archive} is no zip archive that can be read ({str(error) or type(error).__name__};"
            f" it begins with {begins!r}): delete it"
        ) from None
    check_hash(f"{member} in {archive}", hashlib.sha256(content).hexdigest(), sha256, trust_new_hash, report)
    return content
