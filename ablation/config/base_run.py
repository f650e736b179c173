"""A run of a language model as the base of another experiment: what its files say, read without torch, so that shape
and vocabulary are known before anything is loaded."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ablation.config.settings import LANGUAGE_MODEL, RANDOM, SHAPE_OVERRIDES, CommonSettings, fields_of
from ablation.config.shapes import ALL_SHAPES, NANO, ModelShape

RUN_JSON, TRAINED_PARAMETERS = "run.json", "trained.safetensors"
# In the header of the latter: the settings that define the run, the model's dimensions, and whose tokens it knows.
CONFIG, SHAPE, VOCABULARY = "config", "shape", "vocabulary"
GPT2_VOCABULARY, DEMO_VOCABULARY = "gpt2", "demo"
LONGEST_HEADER = 100 << 20  # bytes, as the format has it
TRAIN_ANEW = "train it anew with --save_model"


class BaseRunError(ValueError):
    """A run cannot be a base; one line: which, what is wrong with it, and what to do."""


@dataclass(frozen=True)
class BaseRun:
    """A trained language model that was kept.

    Attributes:
        path: of its parameters.
        shape: the model's dimensions.
        vocabulary: whose tokens it knows, ``gpt2`` or ``demo``.
        metadata: all that the file's header says.
    """

    path: Path
    shape: ModelShape
    vocabulary: str
    metadata: Mapping[str, str]

    @property
    def settings(self) -> str | None:
        """In what its training differs from row 1 of the language models, with the digests of data and weights other
        than the published ones, as JSON with sorted names; None where its file does not say."""
        try:
            found = json.loads(self.metadata[CONFIG])
        except (KeyError, ValueError, RecursionError):
            return None
        return json.dumps(found, sort_keys=True) if isinstance(found, dict) else None


def find_base_run(path: Path) -> BaseRun | None:
    """The language model that a path of weights means: a run's folder, or the file of parameters from one.

    Returns:
        None where it is something else: weights of other kinds, or nothing at all.

    Raises:
        BaseRunError: it is a run's, but no language model that can be used.
    """
    if (path / RUN_JSON).is_file():
        return read_base_run(path)
    if path.suffix != Path(TRAINED_PARAMETERS).suffix or not path.is_file():
        return None
    try:
        metadata = _metadata(path)
    except BaseRunError:
        return None  # whoever opens it as weights says what is wrong
    if SHAPE not in metadata and CONFIG in metadata:
        raise BaseRunError(f"{path} is what a classifier trained, no whole model; give a language model's run")
    return _base_run(path, metadata) if SHAPE in metadata else None


def read_base_run(folder: Path) -> BaseRun:
    """The language model in a run's folder.

    Raises:
        BaseRunError: the run was about something else, kept no model, or its file is damaged.
    """
    try:
        record = json.loads((folder / RUN_JSON).read_text(encoding="utf-8"))
        task = record.get("task")
    except (OSError, ValueError, AttributeError, RecursionError):
        raise BaseRunError(f"{folder / RUN_JSON} cannot be read as a run's; restore it, or train anew") from None
    if task != LANGUAGE_MODEL:
        raise BaseRunError(f"{folder} is no run of a language model; give one by generation_experiments.py")
    path = folder / TRAINED_PARAMETERS
    if not path.is_file():
        raise BaseRunError(f"{folder} kept no model; {TRAIN_ANEW}")
    return _base_run(path, _metadata(path))


def _base_run(path: Path, metadata: Mapping[str, str]) -> BaseRun:
    try:
        shape = json.loads(metadata[SHAPE])
        sizes = {field.name: shape[field.name] for field in fields(ModelShape)}
        vocabulary = metadata[VOCABULARY]
    except (KeyError, TypeError, ValueError):
        raise BaseRunError(f"{path} does not say what model it holds; {TRAIN_ANEW}") from None
    if vocabulary not in (GPT2_VOCABULARY, DEMO_VOCABULARY) or any(type(n) is not int or n < 1 for n in sizes.values()):
        raise BaseRunError(f"{path} says of its model {vocabulary!r:.80}, {sizes}, which none has; {TRAIN_ANEW}")
    return BaseRun(path, ModelShape(**sizes), vocabulary, metadata)


def _metadata(path: Path) -> dict[str, str]:
    """What the header of a safetensors file says besides its tensors.

    The format: 8 bytes, little-endian, with the length of the header; the header, which is JSON; the tensors, each at
    the offsets that the header has for it.

    Raises:
        BaseRunError: the file is damaged.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LONGEST_HEADER:
                raise ValueError("a header of that length")
            header: dict[str, Any] = json.loads(file.read(length))
            metadata = header.pop("__metadata__", {})
            end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
            if path.stat().st_size != 8 + length + end:
                raise ValueError("another size than its header says")
            return {str(name): str(value) for name, value in metadata.items()}
    except OSError as error:
        raise BaseRunError(f"{path} cannot be read ({error.strerror or error}); check its permissions") from None
    except (struct.error, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise BaseRunError(f"{path} is damaged, or not whole; restore it, or {TRAIN_ANEW}") from None


# ---- what a command sets by naming one -------------------------------------------------------------------------------


def base_settings(config_class: type[CommonSettings], values: Mapping[str, Any]) -> dict[str, Any]:
    """What the weights that a command names say of other settings: those of a language model's run have a shape.

    Args:
        values: the settings that were given, by name.

    Returns:
        Settings that take the place of given ones; none where the weights are of another kind.

    Raises:
        BaseRunError: the run cannot be a base, or contradicts what else was given.
    """
    path, weights = values.get("weights_path"), values.get("weights")
    if path is None or weights == RANDOM:
        if weights == LANGUAGE_MODEL:
            raise BaseRunError(f"--weights {LANGUAGE_MODEL}: give the folder of its run, too: --weights_path RUN")
        return {}
    base = find_base_run(Path(path))
    if base is None:
        if weights == LANGUAGE_MODEL:
            raise BaseRunError(f"--weights_path {path}: is no language model's run; give one, or leave --weights out")
        return {}
    fields = fields_of(config_class)
    if LANGUAGE_MODEL not in fields["weights"].metadata["choices"]:
        raise BaseRunError(f"--weights_path {path}: a language model's run is a base for classifiers; leave it out")
    miniature = bool(values.get("demo")) or values.get("model_size") == NANO
    return {"weights": LANGUAGE_MODEL, **_shape_settings(base, path, values, miniature)}


def _shape_settings(base: BaseRun, path: str, values: Mapping[str, Any], miniature: bool) -> dict[str, int | None]:
    """The shape as far as it differs from the model's whose vocabulary is in use, which has the rest of it."""
    if miniature != (base.vocabulary == DEMO_VOCABULARY):
        whose = ("GPT-2's vocabulary; leave --demo out", "the demo's vocabulary alone; add --demo")
        raise BaseRunError(f"--weights_path {path}: knows {whose[not miniature]}")
    usual = ALL_SHAPES[NANO] if miniature else ALL_SHAPES[CommonSettings.model_size]
    if (base.shape.vocab_size, base.shape.context_length) != (usual.vocab_size, usual.context_length):
        raise BaseRunError(
            f"{base.path} has {base.shape.vocab_size} tokens and {base.shape.context_length} positions, not"
            f" {usual.vocab_size} and {usual.context_length}; {TRAIN_ANEW}"
        )
    settings: dict[str, int | None] = {}
    for name in SHAPE_OVERRIDES:
        own, given = getattr(base.shape, name), values.get(name)
        if given not in (None, own):
            raise BaseRunError(f"--{name} {given}: the model in {path} has {own}; leave it out")
        settings[name] = own if own != getattr(usual, name) else None
    return settings
