"""What every export starts from, how transformers has to read what a run read, and folders that are whole or not."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ablation.config.experiment import ExperimentConfig
from ablation.config.methods import DECLARATIONS
from ablation.config.padding import LAST, LEFT, RIGHT
from ablation.data.huggingface_tokenizer import tokenizer_files
from ablation.model.to_huggingface import huggingface_config
from ablation.results.card_parts import Use
from ablation.results.model_card import model_card
from ablation.results.task import Task
from ablation.run.inputs import open_tokenizer
from ablation.run.open_classifier import joined_model
from ablation.run.trained_classifier import SavedRun

if TYPE_CHECKING:
    import tiktoken

    from previous_chapters import GPTModel

NO_TOKEN = -1  # a pad id that no token has: then every position counts
TENSORS, CONFIG = "model.safetensors", "config.json"
CLASSIFIER, TRUNK = "GPT2ForSequenceClassification", "GPT2Model"


class ExportError(Exception):
    """A run cannot be exported so; the message says why, and what can be done."""


@dataclass(frozen=True)
class Trained:
    """A run to be exported.

    Attributes:
        config: its configuration, with what is of this machine.
        base: name or folder of the base weights where they need no copy; None if they are to be copied.
    """

    saved: SavedRun
    config: ExperimentConfig
    task: Task
    base: str | None = None

    @cached_property
    def tokenizer(self) -> tiktoken.Encoding:
        return open_tokenizer(self.config)

    def joined(self) -> GPTModel:
        """A new model with everything in it, the method's parts beside their layers."""
        return joined_model(self.saved, self.config)

    def card(self, use: Use) -> str:
        return model_card(self.task, self.saved.record, self.saved.folder.absolute().parents[1], use)


# ---- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """How transformers has to be called so that it reads what the run read.

    Attributes:
        length: tokens that a message is cut to.
        filled_up: every message has to be padded to that length, and what is read is the last position.
        hides_pads: no position attends to them; only of messages that are filled up.
        padding_side, truncation_side: as of the run.
    """

    length: int
    filled_up: bool
    hides_pads: bool = False
    padding_side: str = RIGHT
    truncation_side: str = RIGHT

    @property
    def call(self) -> str:
        """Arguments that a tokenizer or a pipeline is given beside the message."""
        padding = 'padding="max_length", ' if self.filled_up else ""
        return f"{padding}truncation=True, max_length={self.length}"


def reading_of(saved: SavedRun) -> Reading:
    """How the run's messages are read by ``GPT2ForSequenceClassification``, which reads the last token that is no pad.

    Raises:
        ExportError: it cannot read them so.
    """
    config = saved.config
    if config.disable_causal_mask:
        raise _unreadable(saved, "has no causal mask, and GPT-2 in transformers always hides later positions")
    if config.average_embeddings:
        raise _unreadable(saved, "reads a mean over positions, and GPT2ForSequenceClassification reads one of them")
    if config.trainable_token_pos == "first":
        raise _unreadable(saved, "reads the first position, and GPT2ForSequenceClassification reads the last one")
    if saved.padded_length is None:
        return Reading(config.shape.context_length, filled_up=False)
    left, cut = config.padding_side == LEFT, config.truncation_side
    if left and config.shift_positions and not config.mask_padding:
        raise _unreadable(saved, "counts positions from the first token, and transformers from the first pad")
    as_unpadded = config.shift_positions if left else config.trainable_token_pos != LAST
    if as_unpadded:
        return Reading(saved.padded_length, filled_up=False, truncation_side=cut)
    return Reading(saved.padded_length, True, config.mask_padding, config.padding_side, cut)


def _unreadable(saved: SavedRun, why: str) -> ExportError:
    return ExportError(f"{saved.folder} {why}; --to book writes its weights, and classify.py uses it as it is")


def check_merges(saved: SavedRun) -> None:
    """Raises ExportError if the run's method does not merge into plain weights."""
    method = saved.config.adaptation
    if reason := DECLARATIONS[method].cannot_merge:
        raise ExportError(
            f"{saved.folder}: {method} does not merge into plain weights ({reason}); classify.py uses it as it is"
        )


# ---- what is written -------------------------------------------------------------------------------------------------


def model_files(trained: Trained, reading: Reading, architecture: str) -> dict[str, str]:
    """The files of a GPT-2 of transformers beside its tensors: configuration and tokenizer."""
    end = trained.tokenizer.eot_token
    pad = NO_TOKEN if reading.filled_up else end
    config = huggingface_config(trained.config.shape, trained.saved.labels, end, pad, architecture)
    return {
        CONFIG: json.dumps(config, indent=2, ensure_ascii=False) + "\n",
        **tokenizer_files(
            trained.tokenizer,
            reading.length,
            pads_are_read=reading.filled_up and not reading.hides_pads,
            padding_side=reading.padding_side,
            truncation_side=reading.truncation_side,
        ),
    }


def write_files(folder: Path, files: Mapping[str, str], tensors: Mapping[str, Tensor], name: str = TENSORS) -> None:
    """Texts, and tensors as one safetensors file."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file).write_bytes(text.encode())
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / name, {"format": "pt"})


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which has the name ``target`` at the end, unless there was an error."""
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}.unfinished")
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if target.is_dir():
            target.rmdir()  # an empty one
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def folder_problem(target: Path) -> str:
    """Why nothing can be written there, without what was typed; empty if it can."""
    if target.name in ("", ".."):
        return "is where the command is typed, or above; give a folder with a name of its own"
    if target.is_dir() and any(target.iterdir()):
        return "is there, and not empty; give another folder, or remove it"
    if target.exists() and not target.is_dir():
        return "is a file; give a folder"
    obstacle = next((path for path in target.absolute().parents if path.exists()), None)
    return f"{obstacle} is a file; give another folder" if obstacle is not None and not obstacle.is_dir() else ""
