"""GPT-2's weights from files of several kinds, in this project's names and orientation.

A file is opened, checked and then read tensor by tensor, memory-mapped: what is read belongs to the caller alone, so
that a model larger than the memory can be used block by block.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ablation.config.shapes import ModelShape
from ablation.files.weight_formats import WeightsFile, check_numbers, open_file
from ablation.files.weight_paths import WeightsError
from ablation.model.hub_config import HubConfig
from ablation.model.layouts import HEAD, Stored, locate


class Weights:
    """The weights of one GPT-2 in a file, as float32 under this project's names.

    Attributes:
        shape: the model's dimensions.
        names: every tensor in the file; `out_head.weight` is among them only if the file has it (GPT-2's own files
            do not: the head is tied to `tok_emb.weight`).
    """

    def __init__(self, file: WeightsFile, shape: ModelShape, stored: dict[str, Stored]) -> None:
        self.path = file.paths[0]
        self.shape = shape
        self.names = tuple(stored)
        self._file = file
        self._stored = stored

    def tensor(self, name: str) -> Tensor:
        return self.tensors([name])[name]

    def tensors(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The named tensors, views of one mapping of the file where its format and type permit."""
        wanted = {name: self._stored[name] for name in names}
        read = self._file.read({stored.name for stored in wanted.values()})
        check_numbers(self.path, read)
        return {name: stored.extract(read[stored.name]) for name, stored in wanted.items()}

    def head(self) -> Tensor:
        """(V, D) the vocabulary head's weight: the file's, or where it has none the token embedding, which it is tied
        to."""
        return self.tensor(HEAD if HEAD in self.names else "tok_emb.weight")

    def digest(self) -> str:
        """SHA-256 of the model, whatever the kind of file; also checks that every number is finite.

        Taken over a line `name shape SHA-256-of-the-float32-bytes` per tensor in the order of the names (row-major,
        little-endian). A head that equals `tok_emb.weight` is left out, since most files do not write it.
        Computed anew each time: size and modification time do not tell that a bit has changed.

        Raises:
            WeightsError: NaN or infinity in a tensor, or a damaged file.
        """
        lines: dict[str, str] = {}
        # hashlib and torch let other threads run; each thread holds the tensors of one block at most.
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            for some in pool.map(self._digest_lines, self._groups()):
                lines.update(some)
        if lines.get(HEAD) == lines["tok_emb.weight"]:
            del lines[HEAD]
        return combined_digest(lines)

    def _groups(self) -> list[list[str]]:
        """Names that are read together: those of a block, and each of the others."""
        groups: dict[str, list[str]] = {}
        for name in self.names:
            groups.setdefault(re.sub(r"(trf_blocks\.\d+\.).*", r"\1", name), []).append(name)
        return list(groups.values())

    def _digest_lines(self, names: list[str]) -> dict[str, str]:
        lines = {}
        for name, tensor in self.tensors(names).items():
            # NaN and infinity survive a sum; only where it is not finite is a closer look needed.
            if not tensor.sum().isfinite() and (bad := int((~tensor.isfinite()).sum())):
                raise WeightsError(f"{self.path}: {name} has {bad} values that are NaN or infinite; fetch it again")
            lines[name] = tensor_digest(tensor)
        return lines


def tensor_digest(tensor: Tensor) -> str:
    """Shape and SHA-256 of a tensor's values, row by row."""
    return f"{tuple(tensor.shape)} {hashlib.sha256(tensor.reshape(-1).numpy().data).hexdigest()}"


def combined_digest(lines: Mapping[str, str]) -> str:
    """SHA-256 (hex) over tensors' names and digests, in the order of the names."""
    text = "".join(f"{name} {lines[name]}\n" for name in sorted(lines))
    return hashlib.sha256(text.encode()).hexdigest()


def open_weights(path: Path, shape: ModelShape | None = None) -> Weights:
    """Open a weights file or folder and check names, shapes and a `config.json` beside it; reads no tensor.

    Args:
        path: a `.safetensors` in Hugging Face's or this project's names, a `.pth`/`.pt`/`.bin` state dict in either,
            the index of several of these, a TensorFlow checkpoint by its prefix, or the folder of any.
        shape: the model that it must hold. If None, it is taken from the tensors; the number of heads, which they do
            not tell, is then that of `config.json`, or else that of a head width of 64.

    Raises:
        WeightsError: a damaged file, another model, missing or surplus tensors, or wrong shapes.
    """
    file = open_file(path)
    config = HubConfig(file.paths[0].with_name("config.json"))
    found, stored = locate(path, file.shapes, shape)
    if shape is None:
        found = config.with_heads(found)
    config.check(found)
    return Weights(file, found, stored)


class WithoutDraws(TorchFunctionMode):
    """Within `with torch.device("meta"), WithoutDraws():` modules are built at once, with parameters of no value.

    Drawing on the meta device draws nothing, but for a normal distribution PyTorch imports its tracing machinery
    first: 800 modules and some two seconds.
    """

    DRAWS = frozenset(
        {nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, Tensor.normal_, Tensor.uniform_}
    )  # of `nn.Linear` and `nn.Embedding`

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def load_into(model: nn.Module, weights: Weights) -> None:
    """Give the weights to a `GPTModel`, best one built on the meta device; its parameters become views of the file.

    See `WithoutDraws` for building it.

    Where the file has no head, the model's vocabulary head shares `tok_emb.weight`. A head of another size, such as
    a classifier, is left alone.

    Raises:
        WeightsError: the model has other parameters.
    """
    state = weights.tensors(weights.names)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    head = state.pop(HEAD, state["tok_emb.weight"])
    if wanted.get(HEAD) == tuple(head.shape):
        state[HEAD] = head
    left = {name for name in wanted if name.startswith("out_head.")} - state.keys()
    if wanted.keys() - left != state.keys():
        different = sorted((wanted.keys() - left) ^ state.keys())
        raise WeightsError(f"{weights.path} does not fit the model: {', '.join(different[:5])}")
    model.load_state_dict(state, assign=True, strict=False)
