"""Which file a path of weights means: a file itself, a TensorFlow checkpoint by its prefix, or what a folder holds."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from ablation.config.base_run import RUN_JSON, TRAINED_PARAMETERS
from ablation.files.storage import beside

# As transformers writes them into a folder, in the order in which it looks for them.
IN_FOLDERS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


class WeightsError(Exception):
    """A weights file cannot be used; one line: what, which value, what to do."""


def unreadable(path: Path, error: OSError) -> WeightsError:
    """About a file that belongs to the weights and cannot be read, and what to do."""
    return WeightsError(f"cannot read {path}: {error.strerror or error}; fetch it again, or check its permissions")


def weights_file(path: Path) -> Path:
    """The one file to open: weights, or the index of weights in several files.

    Raises:
        WeightsError: there is none, or a folder holds several and does not say which.
    """
    if path.is_dir():
        return _in_folder(path)
    if path.exists():
        return path
    index = beside(path, ".index")
    if not index.exists():
        raise WeightsError(f"no weights at {path.absolute()}: give --weights_path where they are")
    return index


def _in_folder(folder: Path) -> Path:
    for name in IN_FOLDERS:
        if (folder / name).exists():
            return folder / name
    if (folder / RUN_JSON).is_file() and (folder / TRAINED_PARAMETERS).is_file():
        return folder / TRAINED_PARAMETERS
    if (folder / "checkpoint").is_file():
        return _latest_step(folder / "checkpoint")
    found = sorted(folder.glob("*.index"))
    if len(found) == 1:
        return found[0]
    advice = f"give the folder of one, or of {', '.join(IN_FOLDERS[1:])}"
    if found:
        advice = f"name one of them, such as {found[0].with_suffix('')}"
    raise WeightsError(f"{folder} holds no {IN_FOLDERS[0]} and {len(found)} *.index files, expected one; {advice}")


def _latest_step(state: Path) -> Path:
    """The index of the step that TensorFlow's `checkpoint` file names, wherever its folder was then."""
    advice = f"name the step to use, {state.parent}/NAME, or delete {state.name}"
    with state.open("rb") as file:
        text = file.read(1 << 16).decode("utf-8", errors="replace")  # it begins with that name
    named = re.search(r'^\s*model_checkpoint_path:\s*"(.*)"\s*$', text, re.MULTILINE)
    if named is None:
        raise WeightsError(f"{state} names no model_checkpoint_path; {advice}")
    prefix = PurePosixPath(named[1])
    index = state.with_name(f"{prefix.name}.index")
    if not (prefix.is_absolute() or str(prefix) == prefix.name) or index not in state.parent.iterdir():
        raise WeightsError(f"{state} names {named[1][:200]!r}, which is not in its folder; {advice}")
    return index


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file that comes with weights.

    Raises:
        WeightsError: it cannot be read, is damaged or none, or names something twice.
    """
    try:
        found = json.loads(path.read_bytes(), object_pairs_hook=_named_once)
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _TwiceError) else type(error).__name__
        raise WeightsError(f"{path} is no intact JSON ({reason}); fetch it again") from None
    if not isinstance(found, dict):
        raise WeightsError(f"{path} is no intact JSON (a {type(found).__name__}, no object); fetch it again")
    return found


class _TwiceError(ValueError):
    pass


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _TwiceError(f"it names {name[:200]!r} twice")
        found[name] = value
    return found
