"""The captions' download: three files, proven, resumed, and left alone where they are the user's own."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import gpt_download
from ablation.config.shapes import NANO
from ablation.files import published
from ablation.files.download import FetchOptions, NoAddressError, Patience
from ablation.files.fetch import fetch_captions
from ablation.files.needed import check_files, files_to_fetch, how_to_fetch
from ablation.files.wanted import DownloadError
from tests.support.misbehaving_server import Behaviour, MisbehavingServer

CONTENTS = {f"{name}.txt": f"A {name} is seen . \n".encode() * 400 for name in ("train", "dev", "test")}


@dataclass(frozen=True)
class Config:
    data_dir: str
    offline: bool = False
    needed_data: str | None = "captions"
    model_in_use: str = NANO  # has a vocabulary of its own
    weights: str = "random"
    weights_path: str | None = None
    models_dir: str = "models"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MisbehavingServer]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with MisbehavingServer({f"{base}/{name}": CONTENTS[name] for base in "ab" for name in CONTENTS}) as running:
        files = tuple(
            dataclasses.replace(
                file,
                addresses=tuple(running.address(f"{base}/{file.name}") for base in "ab"),
                size=len(CONTENTS[file.name]),
                sha256=hashlib.sha256(CONTENTS[file.name]).hexdigest(),
            )
            for file in published.CAPTIONS
        )
        monkeypatch.setattr(published, "CAPTIONS", files)
        yield running


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def options(lines: list[str]) -> FetchOptions:
    return FetchOptions(patience=Patience(attempts=2, first_wait=0.01, stall_timeout=1.0), report=lines.append)


def found(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".txt"}


def test_all_three_come_with_the_command(
    server: MisbehavingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpt_download.main(["--captions", "--data_dir", str(tmp_path)]) == 0
    assert f"ready: {tmp_path}/captions" in capsys.readouterr().err
    assert found(tmp_path / "captions") == CONTENTS
    asked = len(server.requests)
    assert gpt_download.main(["--captions", "--data_dir", str(tmp_path)]) == 0
    assert len(server.requests) == asked


def test_a_broken_connection_goes_on_where_it_stopped(
    server: MisbehavingServer, tmp_path: Path, options: FetchOptions
) -> None:
    server.plans["/a/dev.txt"] = [Behaviour(cut_at=1000)]
    fetch_captions(tmp_path, **options)
    assert found(tmp_path / "captions") == CONTENTS
    assert [request.start for request in server.requests if request.path == "/a/dev.txt"] == [0, 1000]


def test_other_bytes_are_refused_and_the_next_address_asked(
    server: MisbehavingServer, tmp_path: Path, options: FetchOptions, lines: list[str]
) -> None:
    server.always["/a/train.txt"] = Behaviour(flip=5)
    fetch_captions(tmp_path, **options)
    assert found(tmp_path / "captions")["train.txt"] == CONTENTS["train.txt"]
    assert any("SHA-256" in line for line in lines)
    server.always["/a/test.txt"] = server.always["/b/test.txt"] = Behaviour(content=b"<html>")
    (tmp_path / "captions" / "test.txt").unlink()
    with pytest.raises(NoAddressError, match=r"test.txt.*python gpt_download.py --captions --data_dir"):
        fetch_captions(tmp_path, **options)
    assert not (tmp_path / "captions" / "test.txt").exists()


def test_the_users_own_file_is_left_alone(
    server: MisbehavingServer, tmp_path: Path, options: FetchOptions, lines: list[str]
) -> None:
    mine = tmp_path / "captions" / "test.txt"
    mine.parent.mkdir()
    mine.write_text("my own\n")
    fetch_captions(tmp_path, **options)
    assert mine.read_text() == "my own\n"
    assert any(f"{mine} is not the published file" in line for line in lines)


def test_what_a_run_lacks_is_told_beforehand(server: MisbehavingServer, tmp_path: Path) -> None:
    config = Config(str(tmp_path))
    lacking = files_to_fetch(config)
    assert [path for path, _ in lacking["captions"]] == [tmp_path / "captions" / name for name in CONTENTS]
    assert how_to_fetch(config, lacking) == f"python gpt_download.py --captions --data_dir {tmp_path}"
    with pytest.raises(DownloadError, match=r"captions \(in .*captions\).*python gpt_download.py --captions"):
        check_files(dataclasses.replace(config, offline=True))
    assert files_to_fetch(dataclasses.replace(config, needed_data=None)) == {}
    assert not server.requests
    fetch_captions(tmp_path)
    assert files_to_fetch(config) == {}
