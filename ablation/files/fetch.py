"""GPT-2's weights, its vocabulary, the SMS Spam Collection and captions, verified, from whichever address works."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from ablation.config.shapes import canonical_model_size
from ablation.files import published
from ablation.files.download import FetchOptions, NoAddressError, fetch, offline_error
from ablation.files.part_file import cannot
from ablation.files.proof import member_of_zip, missing, sha256_of
from ablation.files.storage import is_there, replace_file
from ablation.files.wanted import DownloadError, WantedFile, to_stderr

SOURCES = ("huggingface", "openai")
MODELS_DIR, DATA_DIR = Path("models"), Path("data")


def fetch_weights(
    size: str,
    models_dir: Path = MODELS_DIR,
    source: str = "huggingface",
    **options: Unpack[FetchOptions],
) -> Path:
    """The verified weights of one size: a safetensors file, or the folder of a TensorFlow checkpoint.

    `source` comes first; if no address of Hugging Face works, OpenAI's checkpoint of the same model is fetched, and
    one that is already there is used. Both hold the same numbers (see the weights' digest).

    Raises:
        ValueError: an unknown size or source.
        DownloadError: the files cannot be had.
    """
    size = canonical_model_size(size)
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r}: choose one of {', '.join(SOURCES)}")
    if source == "openai":
        return _fetch_checkpoint(size, models_dir, options)
    report = options.get("report", to_stderr)
    wanted, folder = published.safetensors_file(size), published.weights_folder(size, models_dir, "huggingface")
    if not is_there(folder / wanted.name) and published.has_checkpoint(size, models_dir):
        report(f"{folder / wanted.name} is not there: using {published.weights_folder(size, models_dir, 'openai')}")
        return _fetch_checkpoint(size, models_dir, options)
    how = _command(size, "--models_dir", models_dir)
    try:
        return fetch(wanted, folder, how_to_fetch=how, **options)
    except NoAddressError as error:
        failure = str(error)
    report(f"{wanted.name} cannot be had; trying OpenAI's checkpoint of the same model")
    try:
        return _fetch_checkpoint(size, models_dir, options)
    except NoAddressError as error:
        raise NoAddressError(
            f"{failure}; {error}; {_check()}, give --weights_path,"
            f" or run {how} on a connected machine and copy {models_dir} here"
        ) from None


def _fetch_checkpoint(size: str, models_dir: Path, options: FetchOptions) -> Path:
    folder = published.weights_folder(size, models_dir, "openai")
    how = _command(size, "--source", "openai", "--models_dir", models_dir)
    index, data = published.checkpoint_files(size)

    def check(path: Path) -> None:
        from ablation.files.tf_checkpoint import Checkpoint, WeightsError, read_index

        try:
            if path.name.startswith(data.name):  # the index, which came first, is there
                Checkpoint(folder / index.name, path).verify()
            else:
                read_index(path)
        except WeightsError as error:
            raise DownloadError(str(error)) from None

    for file in (index, data):  # where no hash is known, the checksums within the files are the proof
        fetch(file, folder, how_to_fetch=how, check=None if file.sha256 else check, **options)
    return folder


def fetch_dataset(data_dir: Path = DATA_DIR, **options: Unpack[FetchOptions]) -> Path:
    """The `SMSSpamCollection.tsv` that is there, or the verified one out of the published archive.

    A file with other bytes is left alone, with a line that says so: it may be a data set of the user's own, or differ
    in line ends only. Whether it can be used is for its reader to say (`ablation.data.spam.read_messages`).

    Raises:
        DownloadError: it cannot be had.
    """
    target = data_dir / published.DATASET_NAME
    trust, report = options.get("trust_new_hash", False), options.get("report", to_stderr)
    if is_there(target):
        digest = sha256_of(target)
        if digest != published.DATASET_SHA256:
            expected = f"SHA-256 {digest}, expected {published.DATASET_SHA256}"
            report(f"{target} is not the published file ({expected}); left as it is")
        return target
    how = _command("--dataset", "--data_dir", data_dir)
    if options.get("offline") and not is_there(data_dir / published.DATASET_ARCHIVE.name):
        raise offline_error(missing(target), how)

    def content(archive: Path) -> bytes:
        wanted = (published.DATASET_MEMBER, published.DATASET_SHA256)
        return member_of_zip(archive, *wanted, trust_new_hash=trust, report=report)

    archive = _fetch_or_advise(published.DATASET_ARCHIVE, data_dir, how, options, content)
    try:
        replace_file(target, content(archive))
    except OSError as error:
        raise cannot("write", target, error) from error
    return target


def fetch_captions(data_dir: Path = DATA_DIR, **options: Unpack[FetchOptions]) -> Path:
    """The folder `data_dir/captions` with the captions' three files: those that are there, and others fetched.

    A file with other bytes is left alone, with a line that says so: it may hold sentences of the user's own.

    Raises:
        DownloadError: one cannot be had.
    """
    folder, report = published.captions_folder(data_dir), options.get("report", to_stderr)
    for wanted in published.CAPTIONS:
        target = folder / wanted.name
        if not is_there(target):
            _fetch_or_advise(wanted, folder, _captions_command(data_dir), options)
        elif (digest := sha256_of(target)) != wanted.sha256:
            expected = f"SHA-256 {digest}, expected {wanted.sha256}"
            report(f"{target} is not the published file ({expected}); left as it is")
    return folder


def how_to_fetch_captions(data_dir: Path) -> str:
    """What to do where a file of the captions is missing."""
    return f"run {_captions_command(data_dir)}"


def _captions_command(data_dir: Path) -> str:
    return _command("--captions", "--data_dir", data_dir)


def fetch_vocabulary(models_dir: Path = MODELS_DIR, **options: Unpack[FetchOptions]) -> Path:
    """The folder (TIKTOKEN_CACHE_DIR, else `models_dir/tiktoken`) that holds GPT-2's vocabulary as tiktoken caches it.

    Raises:
        DownloadError: it cannot be had.
    """
    folder = published.vocabulary_folder(models_dir)
    how = _command("--vocabulary", "--models_dir", models_dir)
    for wanted in published.vocabulary_files():
        _fetch_or_advise(wanted, folder, how, options)
    return folder


def _fetch_or_advise(
    wanted: WantedFile, folder: Path, how: str, options: FetchOptions, check: Callable[[Path], object] | None = None
) -> Path:
    """As `fetch`, and says what to do where no address works."""
    try:
        return fetch(wanted, folder, check=check, how_to_fetch=how, **options)
    except NoAddressError as failure:
        raise NoAddressError(
            f"{failure}; {_check()}, or run {how} on a connected machine and copy {folder} here"
        ) from None


def _check() -> str:
    mirror = os.environ.get("HF_ENDPOINT")
    return "check the connection" + (f" and HF_ENDPOINT, which is {mirror}" if mirror else "")


def _command(*arguments: object) -> str:
    return shlex.join(["python", "gpt_download.py", *map(str, arguments)])
