"""Other pretrained models as ``transformers`` loads them: by their name on the hub, from a folder or a GGUF file.

The package is optional (``requirements-transformers.txt``) and imported only where such a model is asked for. What has
to be fetched it fetches by its own means, so that its own settings hold: ``HF_ENDPOINT``, ``HF_HOME``,
``HF_HUB_OFFLINE``.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ablation.config.baseline import is_local
from ablation.run.inputs import RunError

REQUIREMENTS = "requirements-transformers.txt"
WEIGHT_FILES = ("*.safetensors", "*.bin")  # of a model that has both, the first is read


class HubError(RunError):
    """A model cannot be had; the message says which, why, and what to do."""


@dataclass(frozen=True)
class HubModel:
    """A model and its tokenizer, in evaluation mode on the CPU, in float32.

    Attributes:
        digest: SHA-256 (hex) of its files of weights.
    """

    model: Any
    tokenizer: Any
    digest: str

    @property
    def room(self) -> int:
        """Tokens that a text may have."""
        return min(self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", sys.maxsize))

    def token_lists(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, with the special tokens that the model's own tokenizer adds; what is too long is
        cut."""
        return self.tokenizer(list(texts), truncation=True, max_length=self.room)["input_ids"]

    def batch(self, token_lists: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids and attention mask, both (B, T), padded to the longest with the tokenizer's pad on its side."""
        width = max(map(len, token_lists))
        ids = torch.full((len(token_lists), width), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, own in enumerate(token_lists):
            own_part = slice(width - len(own), None) if self.tokenizer.padding_side == "left" else slice(len(own))
            ids[row, own_part] = torch.tensor(own)
            mask[row, own_part] = 1
        return ids, mask


def load_classifier(name_or_folder: str, classes: int, seed: int, *, offline: bool = False) -> HubModel:
    """A pretrained model with a new head for so many classes, drawn from the seed; the global generator stays as it is.

    Raises:
        HubError: it cannot be had.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _load(name_or_folder, "AutoModelForSequenceClassification", offline=offline, num_labels=classes)


def load_causal(name_or_folder: str, *, offline: bool = False) -> tuple[Any, Any]:
    """A pretrained causal language model, in evaluation mode on the CPU in float32, and its tokenizer.

    Raises:
        HubError: it cannot be had, or is none.
    """
    loaded = _load(name_or_folder, "AutoModelForCausalLM", offline=offline)
    return loaded.model, loaded.tokenizer


def _load(name_or_folder: str, kind: str, *, offline: bool, **settings: Any) -> HubModel:
    """Raises HubError, whatever goes wrong in a library that documents none of its exceptions."""
    transformers = import_transformers(name_or_folder)
    source, file = _source(name_or_folder)
    given = {"local_files_only": offline or is_local(name_or_folder), **file}
    with _silent(transformers):
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, **given)
            model = getattr(transformers, kind).from_pretrained(source, dtype=torch.float32, **given, **settings)
            digest = _digest(_weight_files(transformers, name_or_folder))
        except Exception as error:
            raise HubError(_what_failed(name_or_folder, error)) from error
    if tokenizer.pad_token_id is None:  # as is usual of causal models
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return HubModel(model.eval(), tokenizer, digest)


def import_transformers(model: str) -> Any:
    """The package.

    Raises:
        HubError: this Python lacks it.
    """
    try:
        import transformers
    except ImportError as error:
        raise HubError(
            f"--hf_model {model}: needs the package {error.name}; python -m pip install -r {REQUIREMENTS}"
        ) from None
    return transformers


def _source(name_or_folder: str) -> tuple[str, dict[str, str]]:
    """What ``from_pretrained`` is asked for, and with which GGUF file."""
    path = Path(name_or_folder)
    if path.suffix != ".gguf":
        return name_or_folder, {}
    return str(path.parent), {"gguf_file": path.name}


def local_digest(name_or_folder: str) -> str:
    """:attr:`HubModel.digest` of what lies in a folder or a file, without loading it; empty if there is nothing."""
    path = Path(name_or_folder)
    return _digest(_weights_in(path) if path.is_dir() else [path] if path.is_file() else [])


def _weight_files(transformers: Any, name_or_folder: str) -> list[Path]:
    path = Path(name_or_folder)
    if path.is_file():
        return [path]
    if not path.is_dir():  # on the hub, and fetched by now
        path = Path(transformers.utils.cached_file(name_or_folder, "config.json", local_files_only=True)).parent
    return _weights_in(path)


def _weights_in(folder: Path) -> list[Path]:
    found = (sorted(folder.glob(pattern)) for pattern in WEIGHT_FILES)
    return next((files for files in found if files), [])


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest() if files else ""


def _what_failed(model: str, error: Exception) -> str:
    first = str(error).strip().partition("\n")[0].rstrip(".:") or type(error).__name__
    if is_local(model):
        return f"--hf_model {model}: cannot be loaded: {first}"
    return (
        f"--hf_model {model}: cannot be had: {first}; give the name of a model on the hub or a folder"
        " (HF_ENDPOINT says which hub, --offline takes what was fetched before)"
    )


@contextmanager
def _silent(transformers: Any) -> Iterator[None]:
    """Within, the library neither draws bars nor tells which weights are new: those of the head, as they should be."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
