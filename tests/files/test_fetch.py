"""Manifests, sources and command line of the downloads. The server on loopback stands in for every publisher."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpt_download
from ablation.config.experiment import ExperimentConfig
from ablation.config.shapes import MODEL_SHAPES
from ablation.files import fetch, published
from ablation.files.download import DownloadError, FetchOptions, NoAddressError, Patience
from ablation.files.needed import files_to_fetch
from tests.support import tf_checkpoint_writer
from tests.support.misbehaving_server import Behaviour, MisbehavingServer

ROOT = Path(__file__).parents[2]
SMALL, MEDIUM = "gpt2-small (124M)", "gpt2-medium (355M)"
SAFETENSORS = b"stands in for a safetensors file"
INDEX, DATA = tf_checkpoint_writer.write({"model/wte": tf_checkpoint_writer.random_tensor((5, 4), seed=1)})
MESSAGES = b"ham\thello\nspam\tbuy\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MisbehavingServer]:
    """Small stand-ins for all that is published, and manifests that fit them."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    small, medium = published.RELEASES[SMALL], published.RELEASES[MEDIUM]
    hub = "openai-community/{0.huggingface_name}/resolve/{0.revision}/{1}"
    files = {
        hub.format(small, "model.safetensors"): SAFETENSORS,
        hub.format(small, "merges.txt"): b"merges",
        hub.format(small, "vocab.json"): b"token ids",
        "encodings/main/vocab.bpe": b"merges",
        "encodings/main/encoder.json": b"token ids",
        "sms.zip": zipped(readme=b"", SMSSpamCollection=MESSAGES),
        "mirror/sms.zip": zipped(SMSSpamCollection=MESSAGES, other=b"another archive, the same member"),
    }
    for size in ("124M", "355M"):
        files[f"mirror/{size}/model.ckpt.index"] = INDEX
        files[f"mirror/{size}/model.ckpt.data-00000-of-00001"] = DATA
    with MisbehavingServer(files) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.host + "/")
        small = dataclasses.replace(small, checkpoint_bytes=len(DATA), checkpoint_index_bytes=len(INDEX))
        medium = dataclasses.replace(medium, checkpoint_bytes=len(DATA), checkpoint_index_bytes=len(INDEX))
        small = dataclasses.replace(
            small,
            safetensors_bytes=len(SAFETENSORS),
            safetensors_sha256=sha256(SAFETENSORS),
            checkpoint_sha256=sha256(DATA),
            checkpoint_index_sha256=sha256(INDEX),
        )
        monkeypatch.setitem(published.RELEASES, SMALL, small)
        monkeypatch.setitem(published.RELEASES, MEDIUM, medium)
        monkeypatch.setattr(published, "OPENAI", running.host)
        monkeypatch.setattr(published, "CHECKPOINT_BASES", (running.address("gone"), running.address("mirror")))
        archive = dataclasses.replace(
            published.DATASET_ARCHIVE, addresses=(running.address("sms.zip"), running.address("mirror/sms.zip"))
        )
        monkeypatch.setattr(published, "DATASET_ARCHIVE", archive)
        monkeypatch.setattr(published, "DATASET_SHA256", sha256(MESSAGES))
        vocabulary = (
            ("vocab.bpe", "merges.txt", 6, sha256(b"merges")),
            ("encoder.json", "vocab.json", 9, sha256(b"token ids")),
        )
        monkeypatch.setattr(published, "VOCABULARY", vocabulary)
        yield running


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def options(lines: list[str]) -> FetchOptions:
    patience = Patience(attempts=2, first_wait=0.01, stall_timeout=1.0, lock_poll=0.05)
    return FetchOptions(patience=patience, report=lines.append)


def offline(options: FetchOptions) -> FetchOptions:
    return {**options, "offline": True}


def test_manifests_are_those_of_the_publishers() -> None:
    """Names, pinned revisions, sizes and addresses; HF_ENDPOINT is not set here."""
    assert list(published.RELEASES) == list(MODEL_SHAPES)
    file = published.safetensors_file(SMALL)
    assert file.addresses == (
        "https://huggingface.co/openai-community/gpt2/resolve/607a30d783dfa663caf39e06633721c8d4cfcd7e/model.safetensors",
    )
    assert file.exact_size == 548105171
    for size in ("gpt2-large (774M)", "gpt2-xl (1558M)"):  # computed sizes are for the free-space check only
        assert published.safetensors_file(size).exact_size is None
        assert published.safetensors_file(size).sha256
    index, data = published.checkpoint_files(MEDIUM)
    assert index.addresses == (
        "https://openaipublic.blob.core.windows.net/gpt-2/models/355M/model.ckpt.index",
        "https://f001.backblazeb2.com/file/LLMs-from-scratch/gpt2/355M/model.ckpt.index",
    )
    assert (index.exact_size, data.exact_size) == (10399, 1419292672)
    assert [file.name for file in published.vocabulary_files()] == [
        "6d1cbeee0f20b3d9449abfede4726ed8212e3aee",
        "6c7ea1a7e38e3a7f062df639a5b80947f075ffe6",
    ]


@pytest.mark.parametrize("size", MODEL_SHAPES)
def test_computed_checkpoint_sizes(size: str) -> None:
    """A data shard is the float32 parameters and nothing else."""
    shape = MODEL_SHAPES[size]
    width = shape.emb_dim
    block = 12 * width**2 + 13 * width
    parameters = (shape.vocab_size + shape.context_length) * width + shape.n_layers * block + 2 * width
    assert published.RELEASES[size].checkpoint_bytes == 4 * parameters


def test_huggingface_first(server: MisbehavingServer, tmp_path: Path, options: FetchOptions) -> None:
    path = fetch.fetch_weights("124M", tmp_path, **options)
    assert path == tmp_path / "gpt2" / "model.safetensors"
    assert path.read_bytes() == SAFETENSORS
    assert len(server.requests) == 1


@pytest.mark.parametrize("size", [SMALL, MEDIUM])
def test_openai_when_huggingface_fails(
    server: MisbehavingServer, tmp_path: Path, options: FetchOptions, lines: list[str], size: str
) -> None:
    """A line says so; the checkpoint's own mirror is used too; and the next time nothing is fetched."""
    hub = f"/openai-community/{published.RELEASES[size].huggingface_name}"
    server.always = {path: Behaviour(status=404) for path in server.files if path.startswith(hub)}
    folder = fetch.fetch_weights(size, tmp_path, **options)
    assert folder == tmp_path / published.RELEASES[size].openai_name
    assert (folder / "model.ckpt.data-00000-of-00001").read_bytes() == DATA
    assert any("trying OpenAI's checkpoint" in line for line in lines)
    assert any("gone" in line and "404" in line for line in lines)
    asked = len(server.requests)
    assert fetch.fetch_weights(size, tmp_path, **options) == folder
    assert fetch.fetch_weights(size, tmp_path, **offline(options)) == folder
    assert len(server.requests) == asked


def test_both_sources_fail(server: MisbehavingServer, tmp_path: Path, options: FetchOptions) -> None:
    server.files.clear()
    with pytest.raises(NoAddressError, match=r"model.safetensors.*404.*model.ckpt.index.*--weights_path"):
        fetch.fetch_weights(SMALL, tmp_path, **options)


@pytest.mark.parametrize("file", ["model.ckpt.index", "model.ckpt.data-00000-of-00001"])
def test_damaged_checkpoint_without_published_hash(
    server: MisbehavingServer, tmp_path: Path, options: FetchOptions, lines: list[str], file: str
) -> None:
    """The checksums within the files take the hash's place."""
    server.files[f"/gone/355M/{file}"] = server.files[f"/mirror/355M/{file}"]
    server.always[f"/gone/355M/{file}"] = Behaviour(flip=20)
    folder = fetch.fetch_weights(MEDIUM, tmp_path, "openai", **options)
    assert (folder / file).read_bytes() == server.files[f"/mirror/355M/{file}"]
    assert (folder / f"{file}.rejected").exists()
    assert any("CRC-32C" in line or "checksum" in line for line in lines)


def test_disk_problems_are_no_reason_to_change_the_source(
    server: MisbehavingServer, tmp_path: Path, options: FetchOptions
) -> None:
    (tmp_path / "gpt2").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="cannot store"):
        fetch.fetch_weights(SMALL, tmp_path, **options)
    assert not server.requests


def test_dataset(server: MisbehavingServer, tmp_path: Path, options: FetchOptions) -> None:
    path = fetch.fetch_dataset(tmp_path / "data", **options)
    assert path.name == "SMSSpamCollection.tsv"
    assert path.read_bytes() == MESSAGES
    path.unlink()
    assert fetch.fetch_dataset(tmp_path / "data", **offline(options)).exists()  # from the archive
    assert len(server.requests) == 1


def test_dataset_from_the_mirror(server: MisbehavingServer, tmp_path: Path, options: FetchOptions) -> None:
    """[8] An error page saved as a zip is refused, and an archive that differs is taken for its member's hash."""
    server.always["/sms.zip"] = Behaviour(content=b"<!DOCTYPE html><title>down</title>")
    assert fetch.fetch_dataset(tmp_path, **options).read_bytes() == MESSAGES
    server.always["/mirror/sms.zip"] = server.always["/sms.zip"]
    with pytest.raises(NoAddressError, match="no zip archive"):
        (tmp_path / "other").mkdir()
        fetch.fetch_dataset(tmp_path / "other", **options)


def test_no_room_for_the_unpacked_data(
    server: MisbehavingServer, tmp_path: Path, options: FetchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch, "replace_file", full_disk)
    with pytest.raises(DownloadError, match=r"cannot write .*SMSSpamCollection.tsv: No space left"):
        fetch.fetch_dataset(tmp_path, **options)


def test_a_data_file_of_the_users_own(server: MisbehavingServer, tmp_path: Path) -> None:
    own = tmp_path / "SMSSpamCollection.tsv"
    own.write_bytes(b"ham\tmine\n")
    lines: list[str] = []
    assert fetch.fetch_dataset(tmp_path, report=lines.append) == own
    assert own.read_bytes() == b"ham\tmine\n"
    assert f"{sha256(own.read_bytes())}, expected {sha256(MESSAGES)}" in lines[0]
    assert not server.requests


def test_a_folder_in_the_data_files_place(tmp_path: Path) -> None:
    (tmp_path / "SMSSpamCollection.tsv").mkdir()
    with pytest.raises(DownloadError, match=r"cannot read .*SMSSpamCollection.tsv: Is a directory"):
        fetch.fetch_dataset(tmp_path)


def test_vocabulary_in_tiktokens_layout(
    server: MisbehavingServer, tmp_path: Path, options: FetchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With retries and a mirror, which tiktoken itself lacks."""
    server.always["/encodings/main/encoder.json"] = Behaviour(status=503)
    folder = fetch.fetch_vocabulary(tmp_path, **options)
    assert folder == tmp_path / "tiktoken"
    assert (folder / hashlib.sha1(f"{server.host}/encodings/main/vocab.bpe".encode()).hexdigest()).exists()
    assert {path.read_bytes() for path in folder.glob("*[0-9a-f]")} >= {b"merges", b"token ids"}
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert fetch.fetch_vocabulary(tmp_path, **options) == tmp_path / "elsewhere"


def test_tiktoken_accepts_the_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real files, where TIKTOKEN_CACHE_DIR has them, served by loopback: tiktoken reads what was fetched."""
    cache = os.environ.get("TIKTOKEN_CACHE_DIR")
    names = [file.name for file in published.vocabulary_files()]
    if not cache or not all((Path(cache) / name).exists() for name in names):
        pytest.skip("the vocabulary is not at hand: set TIKTOKEN_CACHE_DIR")
    addresses = {name: (Path(cache) / name).read_bytes() for name in names}
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    with MisbehavingServer(addresses) as server:
        files = tuple(
            dataclasses.replace(file, addresses=(server.address(file.name),))
            for file in published.vocabulary_files()
        )
        monkeypatch.setattr(published, "vocabulary_files", lambda: files)
        folder = fetch.fetch_vocabulary(tmp_path)
    code = "import tiktoken; print(tiktoken.get_encoding('gpt2').encode('Hello world'))"
    environment = {**os.environ, "TIKTOKEN_CACHE_DIR": str(folder)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[15496, 995]"


def test_files_to_fetch(server: MisbehavingServer, tmp_path: Path, options: FetchOptions) -> None:
    """For --dry_run: path, addresses and bytes of what is lacking; nothing is asked."""
    config = ExperimentConfig(models_dir=str(tmp_path), data_dir=str(tmp_path))
    lacking = files_to_fetch(config)
    assert list(lacking) == ["weights", "messages", "vocabulary"]
    files = [found for kind in lacking.values() for found in kind]
    assert [(path.relative_to(tmp_path).parts[0], file.size) for path, file in files] == [
        ("gpt2", len(SAFETENSORS)),
        ("sms_spam_collection.zip", 203415),
        ("tiktoken", 6),
        ("tiktoken", 9),
    ]
    assert not server.requests
    fetch.fetch_weights("124M", tmp_path, **options)
    fetch.fetch_dataset(tmp_path, **options)
    fetch.fetch_vocabulary(tmp_path, **options)
    assert files_to_fetch(config) == {}


# Published or not


def test_published_weights_are_known_by_their_hash(
    server: MisbehavingServer, tmp_path: Path, options: FetchOptions
) -> None:
    """Whatever the file is called; one byte more, one byte changed, or another size's name is something else."""
    path = fetch.fetch_weights(SMALL, tmp_path, **options)
    assert published.is_published_weights(path, SMALL)
    assert published.is_published_weights(path.parent, SMALL)
    assert not published.is_published_weights(path, MEDIUM)
    assert not published.is_published_weights(path, "gpt2-nano")
    assert not published.is_published_weights(tmp_path / "nowhere", SMALL)
    own = path.rename(tmp_path / "own.safetensors")
    assert published.is_published_weights(own, SMALL)
    for content in (SAFETENSORS + b"x", SAFETENSORS.replace(b"s", b"z")):
        own.write_bytes(content)
        assert not published.is_published_weights(own, SMALL)


def test_published_is_what_a_path_means(server: MisbehavingServer, tmp_path: Path, options: FetchOptions) -> None:
    """A checkpoint by its prefix or index too; not another step or shards that lie beside the published file."""
    folder = fetch.fetch_weights(SMALL, tmp_path, "openai", **options)
    assert published.is_published_weights(folder / "model.ckpt", SMALL)
    assert published.is_published_weights(folder / "model.ckpt.index", SMALL)
    (folder / "model.ckpt-9.index").touch()
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"')
    assert published.is_published_weights(folder, SMALL)
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-9"')
    assert not published.is_published_weights(folder, SMALL)
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-10"')
    assert not published.is_published_weights(folder, SMALL)
    (folder / "model.safetensors.index.json").touch()
    assert not published.is_published_weights(folder, SMALL)


def test_published_checkpoints_are_known_where_both_hashes_are(
    server: MisbehavingServer, tmp_path: Path, options: FetchOptions
) -> None:
    folder = fetch.fetch_weights(SMALL, tmp_path, "openai", **options)
    assert published.is_published_weights(folder, SMALL)
    assert not published.is_published_weights(fetch.fetch_weights(MEDIUM, tmp_path, "openai", **options), MEDIUM)
    index = folder / "model.ckpt.index"
    index.write_bytes(INDEX[:-1] + b"x")
    assert not published.is_published_weights(folder, SMALL)


def test_a_published_file_is_hashed_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = SAFETENSORS * 300_000  # large: 9 MB
    release = dataclasses.replace(
        published.RELEASES[SMALL], safetensors_bytes=len(content), safetensors_sha256=sha256(content)
    )
    monkeypatch.setitem(published.RELEASES, SMALL, release)
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    times = path.stat()
    assert published.is_published_weights(path, SMALL)
    path.write_bytes(content.replace(b"s", b"z", 1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not published.is_published_weights(path, SMALL)


def test_a_folder_that_may_not_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and nothing is fetched."""

    def refuse(path: Path, *arguments: object, **options: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DownloadError, match=r"cannot read .*model\.safetensors: Permission denied"):
        fetch.fetch_weights(SMALL, tmp_path)
    config = ExperimentConfig(models_dir=str(tmp_path), data_dir=str(tmp_path))
    assert list(files_to_fetch(config)) == ["weights", "messages", "vocabulary"]


def test_published_weights_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    path.touch()

    def refuse(path: Path, mode: str) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    release = dataclasses.replace(published.RELEASES[SMALL], safetensors_bytes=0)
    monkeypatch.setitem(published.RELEASES, SMALL, release)
    with pytest.raises(DownloadError, match=r"cannot read .*model\.safetensors: Permission denied"):
        published.is_published_weights(path, SMALL)


# Command line


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own; a proxy that nobody listens on keeps it from the network whatever happens."""
    environment = {**os.environ, "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    environment.pop("TIKTOKEN_CACHE_DIR", None)
    command = [sys.executable, str(ROOT / "gpt_download.py"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to fetch"),
        (("gpt2-tiny",), "gpt2-tiny"),
        (("124M", "--source", "elsewhere"), "elsewhere"),
        (("124M", "--off"), "--off"),
    ],
)
def test_wrong_commands(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments, folder=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr.splitlines()[-1]
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "missing", "command"),
    [
        (
            ("gpt2-small",),
            "models/gpt2/model.safetensors",
            "python gpt_download.py 'gpt2-small (124M)' --models_dir models",
        ),
        (
            ("355M", "--source", "openai", "--models_dir", "my models"),
            "my models/355M/model.ckpt.index",
            "python gpt_download.py 'gpt2-medium (355M)' --source openai --models_dir 'my models'",
        ),
        (("--dataset",), "data/SMSSpamCollection.tsv", "python gpt_download.py --dataset --data_dir data"),
        (("--captions",), "data/captions/train.txt", "python gpt_download.py --captions --data_dir data"),
        (("--vocabulary",), "models/tiktoken/6d1cbeee", "python gpt_download.py --vocabulary --models_dir models"),
    ],
)
def test_offline_command(tmp_path: Path, arguments: tuple[str, ...], missing: str, command: str) -> None:
    """Which file is wanted, where it was looked for, and the command for a connected machine; in one line, status 1."""
    result = run(*arguments, "--offline", folder=tmp_path)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert str(tmp_path / missing) in line
    assert line.endswith(command)
    assert list(tmp_path.iterdir()) == []


def test_command_line_fetches(server: MisbehavingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--models_dir", str(tmp_path / "models"), "--data_dir", str(tmp_path / "data")]
    assert gpt_download.main(["gpt2-small", "--dataset", *folders]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"ready: {tmp_path}/models/gpt2/model.safetensors" in captured.err
    assert f"ready: {tmp_path}/data/SMSSpamCollection.tsv" in captured.err


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_keeps_what_has_arrived(
    sent: signal.Signals, server: MisbehavingServer, tmp_path: Path
) -> None:
    server.always["/encodings/main/vocab.bpe"] = Behaviour(content=b"x" * 456318, stall_at=200_000)
    code = (
        "import sys, gpt_download; from ablation.files import published;"
        f"published.OPENAI = {server.host!r};"
        "sys.exit(gpt_download.main(['--vocabulary']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 20
        while not any(part.stat().st_size == 200_000 for part in tmp_path.rglob("*.part")):
            assert time.monotonic() < until and process.poll() is None, "nothing arrived"
            time.sleep(0.02)
        process.send_signal(sent)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "error: interrupted: repeat the command to go on from where it stopped"
    assert [part.stat().st_size for part in tmp_path.rglob("*.part")] == [200_000]


def cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without a connection, but nobody waits for a second attempt."""

    def refuse(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("ablation.files.download.time.sleep", lambda seconds: None)


OPENAI_HOSTS = "openaipublic.blob.core.windows.net, f001.backblazeb2.com: host not found"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dataset", "--data_dir", "d"],
         ["sms_spam_collection.zip: archive.ics.uci.edu, f001.backblazeb2.com: host not found",
          "run python gpt_download.py --dataset --data_dir d on a connected machine and copy d here"]),
        (["small", "--models_dir", "m"],
         ["model.safetensors: huggingface.co: host not found", f"model.ckpt.index: {OPENAI_HOSTS}", "--weights_path",
          "run python gpt_download.py 'gpt2-small (124M)' --models_dir m on a connected machine and copy m here"]),
        (["--vocabulary", "--models_dir", "m"],
         ["GPT-2's vocab.bpe: openaipublic.blob.core.windows.net, huggingface.co: host not found",
          "run python gpt_download.py --vocabulary --models_dir m on a connected machine"]),
    ],
    ids=["messages", "weights", "vocabulary"],
)  # fmt: skip
def test_without_a_connection_one_flat_line_says_what_to_do(
    arguments: list[str], said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Each host and each reason once, none within another, and no exception's name."""
    cut_off(monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert gpt_download.main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in lines] == [False] * (len(lines) - 1) + [True]
    assert all(part in lines[-1] for part in said), lines[-1]
    assert "check the connection" in lines[-1]
    assert not [line for line in lines if "Error" in line or "byte 0" in line or "6d1cbeee" in line]
    assert all(lines[-1].count(f"could not fetch {part.partition(':')[0]}") == 1 for part in said if ": " in part)


def test_a_mirror_that_is_no_address_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_off(monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", "my-mirror")
    assert gpt_download.main(["small", "--models_dir", str(tmp_path)]) == 1
    assert "check the connection and HF_ENDPOINT, which is my-mirror" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(("case", "said"), [("a file", "blocked is a file; give a folder"), ("closed", "written to")])
def test_where_nothing_can_be_stored_another_folder_is_asked_for(
    case: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "blocked"
    if case == "a file":
        place.touch()
    else:

        def refuse(*arguments: object, **options: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DownloadError, match=rf"^cannot store .*blocked/models/gpt2/model\.safetensors: .*{said}$"):
        fetch.fetch_weights(SMALL, place / "models")
