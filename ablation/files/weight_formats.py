"""The kinds of file that weights come in: names, shapes, and tensors on demand; knows nothing of GPT-2.

Nothing here holds on to tensors: each `read` maps the file anew, and the mapping ends with the last tensor of it.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ablation.files.tf_checkpoint import Checkpoint
from ablation.files.weight_paths import WeightsError, read_object, weights_file

STATE_DICT_ENDINGS = (".pth", ".pt", ".bin")
NUMBERS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


class WeightsFile(Protocol):
    """An opened file: `shapes` by the file's own names, and `read` for some of the tensors, as stored."""

    paths: tuple[Path, ...]  # all in one folder; messages name the first
    shapes: dict[str, tuple[int, ...]]

    def read(self, names: Iterable[str]) -> dict[str, Tensor]: ...


def open_file(path: Path) -> WeightsFile:
    """Open a safetensors file, a PyTorch state dict, an index of several of these, a TensorFlow checkpoint by its
    index or prefix, or the folder of one of them.

    Raises:
        WeightsError: no such file, another kind of file, or a damaged one.
    """
    file = weights_file(path)
    if file.suffix in KINDS:
        return KINDS[file.suffix](file)
    raise WeightsError(
        f"{path} is no weights file by its name: give a .safetensors, a {' or '.join(STATE_DICT_ENDINGS)},"
        " or the folder of one of these or of a TensorFlow checkpoint"
    )


def check_numbers(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse what cannot stand for weights; raises WeightsError."""
    for name, tensor in tensors.items():
        if tensor.dtype not in NUMBERS:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise WeightsError(f"{path}: {name} holds {kind}, which weights cannot be: give a file of float32")


class SafetensorsFile:
    """Tensors are views of a private mapping: no copy, and writing to them leaves the file alone."""

    def __init__(self, path: Path) -> None:
        self.paths: tuple[Path, ...] = (path,)
        with self._opened() as file:
            names = list(file.keys())
            self.shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}  # from the header only

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        with self._opened() as file:
            return {name: file.get_tensor(name) for name in names}

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        from safetensors import safe_open

        try:
            # safetensors says of a file that may not be read that there is none; Python says what is the matter.
            with self.paths[0].open("rb"), safe_open(self.paths[0], framework="pt") as file:
                yield file
        except Exception as error:  # types that PyTorch does not know among them
            raise WeightsError(
                f"{self.paths[0]} is no intact safetensors file ({_one_line(error)}); delete it and fetch it again"
            ) from None


class StateDictFile:
    """A dictionary of tensors by `torch.save`, as such or under "model_state_dict"; nothing else in it is run."""

    def __init__(self, path: Path) -> None:
        self.paths: tuple[Path, ...] = (path,)
        self.shapes = {name: tuple(tensor.shape) for name, tensor in self._loaded().items()}

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        loaded = self._loaded()
        return {name: loaded[name].detach() for name in names}

    def _loaded(self) -> dict[str, Tensor]:
        path = self.paths[0]
        try:
            try:
                found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError:  # saved before PyTorch 1.6: cannot be mapped, and is read as a whole each time
                found = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            culprit = re.search(r"GLOBAL (\S+)", str(error))
            reason = f"it asks for {culprit[1]}" if culprit else "it is damaged, or holds more than tensors"
            raise WeightsError(f"{path} is refused: {reason}; give a file of tensors only") from None
        except Exception as error:  # a damaged pickle may raise anything
            raise WeightsError(f"{path} is no intact state dict ({_one_line(error)}); save it again") from None
        if isinstance(found, dict) and "model_state_dict" in found:  # as the book saves models while training
            found = found["model_state_dict"]
        if not isinstance(found, dict) or not all(
            isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
        ):
            raise WeightsError(f"{path} holds no state dict: expected a dictionary of tensors by name")
        for name, value in found.items():
            if value.is_meta or value.is_nested or value.layout != torch.strided:
                kind = "without values" if value.is_meta else "sparse or nested"
                raise WeightsError(f"{path}: {name} is {kind}; give a file of dense tensors")
        return found


class CheckpointFiles:
    """A TensorFlow checkpoint; each tensor's checksum is checked whenever it is read."""

    def __init__(self, index: Path) -> None:
        self.checkpoint = Checkpoint(index)
        self.paths: tuple[Path, ...] = (*self.checkpoint.shards.values(), index)
        self.shapes = {name: entry.shape for name, entry in self.checkpoint.entries.items()}

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        return {name: torch.from_numpy(array) for name, array in self.checkpoint.read(names).items()}


class ShardedFile:
    """Several files of one folder as one, by the index that transformers writes beside them."""

    def __init__(self, index: Path) -> None:
        self._shards = [_open_shard(index, name, tensors) for name, tensors in sorted(_listed(index).items())]
        self.paths: tuple[Path, ...] = (index, *(shard.paths[0] for shard in self._shards))
        self.shapes = {name: shape for shard in self._shards for name, shape in shard.shapes.items()}

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        wanted, read = set(names), {}
        for shard in self._shards:
            if here := wanted & shard.shapes.keys():
                read.update(shard.read(here))
        return read


def _listed(index: Path) -> dict[str, set[str]]:
    """The shards' names, and the tensors that the index puts into each."""
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(place, str) for place in places.values()):
        raise WeightsError(f"{index} has no weight_map of tensors and their files; give the index of sharded weights")
    listed: dict[str, set[str]] = {}
    for tensor, place in places.items():
        if re.search(r"[/\\:]", place):  # leads out of the folder, on one system or another
            raise WeightsError(f"{index} lists {place[:200]!r}, which is no file of its folder; fetch it again")
        if Path(place).suffix not in SHARD_KINDS:
            raise WeightsError(f"{index} lists {place[:200]!r}, which is no {' or '.join(SHARD_KINDS)}; fetch it again")
        listed.setdefault(place, set()).add(tensor)
    return listed


def _open_shard(index: Path, name: str, tensors: set[str]) -> WeightsFile:
    path = index.with_name(name)
    if path not in index.parent.iterdir():
        raise WeightsError(f"{index} lists {name[:200]!r}, which is missing; fetch it too")
    shard = SHARD_KINDS[path.suffix](path)
    if different := sorted(tensors ^ shard.shapes.keys()):
        raise WeightsError(f"{index} and {name} disagree about {str(different[:4])[:200]}; fetch both again")
    return shard


SHARD_KINDS: dict[str, Callable[[Path], WeightsFile]] = {
    ".safetensors": SafetensorsFile,
    **dict.fromkeys(STATE_DICT_ENDINGS, StateDictFile),
}
KINDS = {**SHARD_KINDS, ".json": ShardedFile, ".index": CheckpointFiles}


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
