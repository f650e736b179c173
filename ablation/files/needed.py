"""Which files a run needs and does not have, before anything is opened."""

from __future__ import annotations

import shlex
from pathlib import Path

from ablation.config.experiment import PRETRAINED, ExperimentConfig
from ablation.config.shapes import NANO
from ablation.files.published import wanted_files
from ablation.files.wanted import DownloadError, WantedFile


def files_to_fetch(config: ExperimentConfig) -> dict[str, list[tuple[Path, WantedFile]]]:
    """Which files a run lacks: weights, messages, vocabulary. Opens no file and no connection."""
    models_dir, own_model = Path(config.models_dir), config.model_in_use == NANO
    fetches_weights = config.weights == PRETRAINED and config.weights_path is None and not own_model
    lacking = {
        "weights": wanted_files(config.model_in_use, models_dir=models_dir) if fetches_weights else [],
        "messages": [] if config.demo else wanted_files(models_dir=models_dir, data_dir=Path(config.data_dir)),
        "vocabulary": [] if own_model else wanted_files(models_dir=models_dir, vocabulary=True),
    }
    return {kind: files for kind, files in lacking.items() if files}


def check_files(config: ExperimentConfig) -> None:
    """Refuse an offline run whose files are not there, naming all of them at once.

    Raises:
        DownloadError: with the command that fetches them elsewhere.
    """
    lacking = files_to_fetch(config)
    if not config.offline or not lacking:
        return
    size, dataset, vocabulary = (kind in lacking for kind in ("weights", "messages", "vocabulary"))
    flags = ["--dataset"] * dataset + ["--vocabulary"] * vocabulary
    flags += ["--models_dir", config.models_dir] * (size or vocabulary) + ["--data_dir", config.data_dir] * dataset
    command = shlex.join(["python", "gpt_download.py", *([config.model_in_use] * size), *flags])
    places = (f"{kind} (in {files[0][0].parent})" for kind, files in lacking.items())
    raise DownloadError(
        f"--offline forbids fetching what is missing, {', '.join(places)};"
        f" run on a connected machine, and copy what it fetched to these folders: {command}"
    )
