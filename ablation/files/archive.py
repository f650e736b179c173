"""One member of a zip archive, proven; nothing is unpacked, so no name within can lead out of a folder."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path

from ablation.files.proof import check_hash
from ablation.files.wanted import DownloadError, Report, to_stderr


def member_of_zip(
    archive: Path,
    member: str,
    sha256: str,
    *,
    trust_new_hash: bool = False,
    longest: int = 64 << 20,
    report: Report = to_stderr,
) -> bytes:
    """The content of the member of exactly that name, once its SHA-256 is proven; `longest` is in bytes.

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
