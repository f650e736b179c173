"""Other pretrained models as ``transformers`` loads them: by their name on the hub, from a folder or a GGUF file.

The package is optional (``requirements-transformers.txt``) and imported only where such a model is asked for. What has
to be fetched it fetches by its own means, so that its own settings hold: ``HF_ENDPOINT``, ``HF_HOME``,
``HF_HUB_OFFLINE``.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ablation.config.baseline import GGUF, is_local
from ablation.run.inputs import RunError

REQUIREMENTS = "requirements-transformers.txt"
WEIGHT_FILES = ("*.safetensors", "*.bin")  # of a model that has both, the first is read
# Of configurations of models and tokenizers, what says whence they are, and nothing of what they do.
WHENCE = ("_name_or_path", "name_or_path", "transformers_version", "is_local", "local_files_only")
LAST = "last"  # the ``summary_type`` of classifiers that read the last position, be it a pad: XLNet


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
        limits = (getattr(self.model.config, "max_position_embeddings", None), self.tokenizer.model_max_length)
        return int(min(limit for limit in limits if limit and limit > 0))  # the tokenizer has one, if only a huge one

    def token_lists(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """The ids of each text, with the special tokens that the model's own tokenizer adds, but none for the letters
        of one in the text; what is too long is cut, and how many texts are is told."""

        def ids(some: list[str], **settings: Any) -> list[list[int]]:
            return self.tokenizer(some, split_special_tokens=True, **settings)["input_ids"] if some else []

        found, room = ids(list(texts), verbose=False), self.room  # else it warns of those that are too long
        long = [number for number, own in enumerate(found) if len(own) > room]
        for number, own in zip(long, ids([texts[n] for n in long], truncation=True, max_length=room), strict=True):
            found[number] = own
        return found, len(long)

    def batch(self, token_lists: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids and attention mask, both (B, T), padded to the longest: on the right, whatever is usual of the tokenizer,
        for positions are counted from the left, and what a message is answered must not depend on others."""
        width = max(map(len, token_lists))
        ids = torch.full((len(token_lists), width), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        left = getattr(self.model.config, "summary_type", None) == LAST
        for row, own in enumerate(token_lists):
            own_part = slice(width - len(own), None) if left else slice(len(own))
            ids[row, own_part] = torch.tensor(own)
            mask[row, own_part] = 1
        return ids, mask

    def settings_digest(self) -> str:
        """SHA-256 (hex) of what beside its weights decides an answer: its configuration and its tokenizer."""
        with tempfile.TemporaryDirectory() as folder:
            self.tokenizer.save_pretrained(folder)
            files = {file.name: file.read_bytes() for file in sorted(Path(folder).rglob("*")) if file.is_file()}
        configs = (self.model.config.to_dict(), json.loads(files.pop("tokenizer_config.json", b"{}")))
        own = [{name: value for name, value in config.items() if name not in WHENCE} for config in configs]
        digest = hashlib.sha256(json.dumps(own, sort_keys=True, default=str).encode())
        for content in files.values():
            digest.update(content)
        return digest.hexdigest()


def load_classifier(name_or_folder: str, classes: int, seed: int, *, offline: bool = False) -> HubModel:
    """A pretrained model with a new head for so many classes, drawn from the seed; the global generator stays as it is.

    Raises:
        HubError: it cannot be had, or not be padded.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        loaded = _load(name_or_folder, "AutoModelForSequenceClassification", offline=offline, num_labels=classes)
    if loaded.tokenizer.pad_token_id is None:
        raise HubError(
            f"--hf_model {name_or_folder}: its tokenizer has no token to pad with, nor one that ends or begins a text;"
            " name one as pad_token in its tokenizer_config.json"
        )
    return loaded


def load_causal(name_or_folder: str, *, offline: bool = False) -> HubModel:
    """A pretrained causal language model, ready to be asked.

    Raises:
        HubError: it cannot be had, or is none.
    """
    loaded = _load(name_or_folder, "AutoModelForCausalLM", offline=offline)
    model = loaded.model
    encoder = is_encoder(model) and not getattr(model.config, "is_decoder", False)
    if encoder or "past_key_values" not in inspect.signature(model.forward).parameters:
        why = "predicts masked words" if encoder else "keeps no keys and values"
        raise HubError(
            f"--hf_model {name_or_folder}: is a model of the kind {model.config.model_type}, which {why}, and cannot be"
            " asked in words; give a causal model, such as GPT-2 or Llama are"
        )
    return loaded


def is_encoder(model: nn.Module) -> bool:
    """Whether every position of the model sees all others: it is one of those that predict masked words."""
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    return type(model.config) in MODEL_FOR_MASKED_LM_MAPPING


def _load(name_or_folder: str, kind: str, *, offline: bool, **settings: Any) -> HubModel:
    """Raises HubError, whatever goes wrong in a library that documents none of its exceptions."""
    transformers = import_transformers(name_or_folder)
    source, file = _source(name_or_folder)
    given = {"local_files_only": offline or is_local(name_or_folder), **file}
    with _silent(transformers):
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, **given)
            model = getattr(transformers, kind).from_pretrained(source, dtype=torch.float32, **given, **settings)
            _pad(model, tokenizer)
            digest = _digest(_weight_files(transformers, name_or_folder))
        except Exception as error:
            raise HubError(_what_failed(name_or_folder, error, offline=offline)) from error
    return HubModel(model.eval(), tokenizer, digest)


def _pad(model: Any, tokenizer: Any) -> None:
    """Give a tokenizer a pad where it has none, as is usual of causal models: what ends a text, or else begins one.
    The model is told, for its classifier reads the last token that is no pad, whatever the mask says."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.bos_token
    for config in (model.config, model.config.get_text_config()):  # the second may be a part of the first
        config.pad_token_id = tokenizer.pad_token_id


def import_transformers(model: str) -> Any:
    """The package.

    Raises:
        HubError: this Python lacks it.
    """
    try:
        import transformers

        if model.endswith(GGUF):
            importlib.import_module("gguf")  # by which transformers reads such a file
    except ImportError as error:
        raise HubError(
            f"--hf_model {model}: needs the package {error.name}; python -m pip install -r {REQUIREMENTS}"
        ) from None
    return transformers


def _source(name_or_folder: str) -> tuple[str, dict[str, str]]:
    """What ``from_pretrained`` is asked for, and with which GGUF file."""
    path = Path(name_or_folder)
    if path.suffix != GGUF:
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


def _what_failed(model: str, error: Exception, *, offline: bool) -> str:
    first = str(error).strip().partition("\n")[0].rstrip(".:") or type(error).__name__
    if is_local(model):
        return f"--hf_model {model}: cannot be loaded: {first}"
    if offline:
        return (
            f"--hf_model {model}: is not among what was fetched before, and --offline fetches nothing; leave that out,"
            " or give a folder"
        )
    return (
        f"--hf_model {model}: cannot be had: {first}; give the name of a model on the hub or a folder (HF_ENDPOINT says"
        " which hub)"
    )


@contextmanager
def _silent(transformers: Any) -> Iterator[None]:
    """Within, the library neither draws bars nor tells which weights are new (those of the head, as they should be),
    nor does that of the hub tell each of its attempts."""
    from huggingface_hub.utils import logging as of_hub

    logging = transformers.utils.logging
    level, bars, level_of_hub = logging.get_verbosity(), logging.is_progress_bar_enabled(), of_hub.get_verbosity()
    logging.set_verbosity_error()
    of_hub.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        of_hub.set_verbosity(level_of_hub)
        if bars:
            logging.enable_progress_bar()
