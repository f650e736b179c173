"""Which files a run needs and does not have, before anything is opened."""

from __future__ import annotations

import shlex
from collections.abc import Container
from pathlib import Path
from typing import Protocol

from ablation.config.settings import CAPTIONS, MESSAGES, PRETRAINED
from ablation.config.shapes import NANO
from ablation.files import published
from ablation.files.storage import is_there
from ablation.files.wanted import DownloadError, WantedFile


class NeedingFiles(Protocol):
    """What a configuration says about files; ``needed_data`` is "messages", "captions", or None for neither."""

    @property
    def model_in_use(self) -> str: ...
    @property
    def weights(self) -> str: ...
    @property
    def weights_path(self) -> str | None: ...
    @property
    def models_dir(self) -> str: ...
    @property
    def data_dir(self) -> str: ...
    @property
    def offline(self) -> bool: ...
    @property
    def needed_data(self) -> str | None: ...


def files_to_fetch(config: NeedingFiles) -> dict[str, list[tuple[Path, WantedFile]]]:
    """What a run lacks of weights, data and vocabulary: where each file belongs, and its manifest entry.

    Opens no file and no connection.
    """
    size, models_dir, data_dir = config.model_in_use, Path(config.models_dir), Path(config.data_dir)
    needed: dict[str, tuple[Path, tuple[WantedFile, ...]]] = {}
    fetches_weights = config.weights == PRETRAINED and config.weights_path is None and size != NANO
    if fetches_weights and not published.has_checkpoint(size, models_dir):
        folder = published.weights_folder(size, models_dir, "huggingface")
        needed["weights"] = folder, (published.safetensors_file(size),)
    if config.needed_data == MESSAGES and not is_there(data_dir / published.DATASET_NAME):
        needed[MESSAGES] = data_dir, (published.DATASET_ARCHIVE,)
    if config.needed_data == CAPTIONS:
        needed[CAPTIONS] = published.captions_folder(data_dir), published.CAPTIONS
    if size != NANO:
        needed["vocabulary"] = published.vocabulary_folder(models_dir), published.vocabulary_files()
    lacking = {
        kind: [(folder / file.name, file) for file in files if not is_there(folder / file.name)]
        for kind, (folder, files) in needed.items()
    }
    return {kind: files for kind, files in lacking.items() if files}


def check_files(config: NeedingFiles) -> None:
    """Refuse an offline run whose files are not there, naming all of them at once.

    Raises:
        DownloadError: with the command that fetches them elsewhere.
    """
    lacking = files_to_fetch(config)
    if not config.offline or not lacking:
        return
    command = how_to_fetch(config, lacking)
    places = (f"{kind} (in {files[0][0].parent})" for kind, files in lacking.items())
    raise DownloadError(
        f"--offline forbids fetching what is missing, {', '.join(places)};"
        f" run on a connected machine, and copy what it fetched to these folders: {command}"
    )


def how_to_fetch(config: NeedingFiles, kinds: Container[str]) -> str:
    """The command that fetches what a run lacks, by the names that :func:`files_to_fetch` has for it."""
    size, vocabulary, dataset, captions = (kind in kinds for kind in ("weights", "vocabulary", MESSAGES, CAPTIONS))
    flags = ["--dataset"] * dataset + ["--captions"] * captions + ["--vocabulary"] * vocabulary
    flags += ["--models_dir", config.models_dir] * (size or vocabulary)
    flags += ["--data_dir", config.data_dir] * (dataset or captions)
    return shlex.join(["python", "gpt_download.py", *([config.model_in_use] * size), *flags])
