"""GPT-2's weights from files of several kinds, in this project's names and orientation, through one rename table.

A file is opened, checked and then read tensor by tensor, memory-mapped: what is read belongs to the caller alone, so
that a model larger than the memory can be used block by block.

Layouts: `huggingface` and `openai` hold query, key and value as one matrix, and the matrices of linear layers as
(inputs, outputs), OpenAI's with a leading 1; `project` holds each tensor as the model does, (outputs, inputs).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ablation.config.shapes import MODEL_SHAPES, ModelShape
from ablation.files.storage import replace_file
from ablation.files.tf_checkpoint import WeightsError
from ablation.files.weight_formats import WeightsFile, open_file

__all__ = ["Weights", "WeightsError", "WithoutDraws", "load_into", "open_weights"]

HEAD = "out_head.weight"


# The rename table: our modules, which the files of others hold side by side as one; its name there; its kind; and for
# linear layers the numbers of outputs and inputs, in widths of the model.
_Row = tuple[tuple[str, ...], str, str, int, int]
RENAME_BLOCK: tuple[_Row, ...] = (
    (("att.W_query", "att.W_key", "att.W_value"), "attn.c_attn", "linear", 1, 1),
    (("att.out_proj",), "attn.c_proj", "linear", 1, 1),
    (("ff.layers.0",), "mlp.c_fc", "linear", 4, 1),
    (("ff.layers.2",), "mlp.c_proj", "linear", 1, 4),
    (("norm1",), "ln_1", "norm", 1, 1),
    (("norm2",), "ln_2", "norm", 1, 1),
)
RENAME_REST: tuple[_Row, ...] = (
    (("tok_emb",), "wte", "embedding", 1, 1),
    (("pos_emb",), "wpe", "embedding", 1, 1),
    (("final_norm",), "ln_f", "norm", 1, 1),
)
# Kind of module -> its parameters as (ours, Hugging Face's, OpenAI's).
PARAMETERS = {
    "linear": (("weight", "weight", "w"), ("bias", "bias", "b")),
    "norm": (("scale", "weight", "g"), ("shift", "bias", "b")),
    "embedding": (("weight", "weight", ""),),
}
HEAD_NAMES = {"project": HEAD, "huggingface": "lm_head.weight", "openai": None}
BLOCK_NAMES = {"project": r"trf_blocks\.(\d+)\.", "huggingface": r"h\.(\d+)\.", "openai": r"model/h(\d+)/"}
BUFFERS = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)|trf_blocks\.\d+\.att\.mask")  # causal masks, not weights
HEAD_WIDTH = 64  # of every attention head in every GPT-2


@dataclass(frozen=True)
class _Stored:
    """Where one of our tensors is in a file: a tensor, and the share of its last axis."""

    name: str
    shape: tuple[int, ...]
    part: int = 0
    parts: int = 1
    transposed: bool = False

    def extract(self, stored: Tensor) -> Tensor:
        """Our tensor, a view of the stored one (a copy if that is not float32)."""
        share = stored.chunk(self.parts, dim=-1)[self.part]
        if self.transposed:
            share = share.reshape(share.shape[-2:]).T  # drops OpenAI's leading 1
        return share.to(torch.float32)


class Weights:
    """The weights of one GPT-2 in a file, as float32 under this project's names.

    Attributes:
        shape: the model's dimensions.
        names: every tensor in the file; `out_head.weight` is among them only if the file has it (GPT-2's own files
            do not: the head is tied to `tok_emb.weight`).
    """

    def __init__(self, file: WeightsFile, shape: ModelShape, stored: dict[str, _Stored]) -> None:
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
        return {name: stored.extract(read[stored.name]) for name, stored in wanted.items()}

    def block(self, index: int) -> dict[str, Tensor]:
        """The tensors of one transformer block, by their names within it, such as `att.W_query.weight`."""
        prefix = f"trf_blocks.{index}."
        found = self.tensors(name for name in self.names if name.startswith(prefix))
        return {name.removeprefix(prefix): tensor for name, tensor in found.items()}

    def digest(self) -> str:
        """SHA-256 of the model, whatever the kind of file; also checks that every number is finite.

        Taken over a line `name shape SHA-256-of-the-float32-bytes` per tensor in the order of the names (row-major,
        little-endian). A head that equals `tok_emb.weight` is left out, since most files do not write it.
        Kept beside the file with its size and modification time.

        Raises:
            WeightsError: NaN or infinity in a tensor, or a damaged file.
        """
        sidecar = self.path.with_name(self.path.name + ".digest.json")
        files = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in self._file.paths}
        try:
            remembered = json.loads(sidecar.read_text(encoding="utf-8"))
            if remembered["files"] == files:
                return str(remembered["digest"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        digest = self._computed_digest()
        with contextlib.suppress(OSError):  # a folder that cannot be written to: computed again next time
            replace_file(sidecar, json.dumps({"digest": digest, "files": files}))
        return digest

    def _computed_digest(self) -> str:
        lines: dict[str, str] = {}
        # hashlib and torch let other threads run; each thread holds the tensors of one block at most.
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            for some in pool.map(self._digest_lines, self._groups()):
                lines.update(some)
        if lines.get(HEAD) == lines["tok_emb.weight"]:
            del lines[HEAD]
        return combined_digest(lines)

    def _groups(self) -> Iterator[list[str]]:
        """Names that are read together: those of a block, and each of the others."""
        groups: dict[str, list[str]] = {}
        for name in self.names:
            groups.setdefault(re.sub(r"(trf_blocks\.\d+\.).*", r"\1", name), []).append(name)
        yield from groups.values()

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
    """Open a weights file or folder and check names and shapes; reads no tensor.

    Args:
        path: a `.safetensors` in Hugging Face's or this project's names, a `.pth`/`.pt` state dict in either, or the
            folder of a TensorFlow checkpoint.
        shape: the model that it must hold. If None, it is taken from the tensors; the number of heads, which they do
            not tell, is then that of a head width of 64.

    Raises:
        WeightsError: a damaged file, another model, missing or surplus tensors, or wrong shapes.
    """
    file = open_file(path)
    layout, prefix = _layout(path, file.shapes)
    found = _inferred_shape(path, layout, prefix, file.shapes)
    if shape is None:
        shape = found
    elif dataclasses.replace(shape, n_heads=found.n_heads) != found:
        raise WeightsError(f"{path} holds {_describe(found)}, but {_describe(shape)} was asked for")
    table = _table(layout, prefix, shape)
    head = HEAD_NAMES[layout]
    if head in file.shapes:
        table[HEAD] = _Stored(head, (shape.vocab_size, shape.emb_dim))
    expected = {stored.name: stored.shape for stored in table.values()}
    surplus = [name for name in file.shapes.keys() - expected if not BUFFERS.fullmatch(name.removeprefix(prefix))]
    problems = [
        _some("missing", [f"{name} {expected[name]}" for name in expected.keys() - file.shapes]),
        _some("surplus", [f"{name} {file.shapes[name]}" for name in surplus]),
        _some(
            "of another shape",
            [
                f"{name} {file.shapes[name]} instead of {expected[name]}"
                for name in expected.keys() & file.shapes
                if file.shapes[name] != expected[name]
            ],
        ),
    ]
    if any(problems):
        raise WeightsError(f"{path} does not fit {_describe(shape)}: {'; '.join(filter(None, problems))}")
    return Weights(file, shape, table)


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


def _layout(path: Path, shapes: Mapping[str, object]) -> tuple[str, str]:
    """Name of the layout, and what stands before all its names."""
    if "tok_emb.weight" in shapes:
        return "project", ""
    if "model/wte" in shapes:
        return "openai", ""
    for prefix in ("", "transformer."):
        if f"{prefix}wte.weight" in shapes:
            return "huggingface", prefix
    listed = ", ".join(sorted(shapes)[:4]) or "nothing"
    raise WeightsError(
        f"{path} holds no GPT-2: the token embedding (tok_emb.weight, wte.weight or model/wte) is missing;"
        f" it has {len(shapes)} tensors ({listed} ...)"
    )


def _inferred_shape(path: Path, layout: str, prefix: str, shapes: Mapping[str, tuple[int, ...]]) -> ModelShape:
    names = {
        "project": ("tok_emb.weight", "pos_emb.weight"),
        "huggingface": (f"{prefix}wte.weight", f"{prefix}wpe.weight"),
        "openai": ("model/wte", "model/wpe"),
    }
    tokens, positions = (shapes.get(name) for name in names[layout])
    if tokens is None or positions is None or len(tokens) != 2 or len(positions) != 2:
        raise WeightsError(f"{path}: token and position embeddings must be matrices, found {tokens} and {positions}")
    blocks = {found[1] for name in shapes if (found := re.match(re.escape(prefix) + BLOCK_NAMES[layout], name))}
    return ModelShape(tokens[0], positions[0], tokens[1], len(blocks), max(1, tokens[1] // HEAD_WIDTH))


def _table(layout: str, prefix: str, shape: ModelShape) -> dict[str, _Stored]:
    """Our names, and where each of them is in a file of that layout."""
    rows: list[tuple[str, int | None, _Row]] = [("", None, row) for row in RENAME_REST]
    rows += [(f"trf_blocks.{block}.", block, row) for block in range(shape.n_layers) for row in RENAME_BLOCK]
    table = {}
    for before, block, (modules, theirs, kind, outputs, inputs) in rows:
        for parameter in PARAMETERS[kind]:
            for part, module in enumerate(modules):
                name = f"{before}{module}.{parameter[0]}"
                ours = _our_shape(module, parameter[0], outputs, inputs, shape)
                if layout == "project":
                    table[name] = _Stored(name, ours)
                    continue
                stored = _stored_name(layout, prefix, block, theirs, parameter)
                matrix = kind == "linear" and parameter[0] == "weight"
                turned = (1, *ours[::-1]) if layout == "openai" else ours[::-1]
                whole = turned if matrix else ours
                whole = (*whole[:-1], len(modules) * whole[-1])
                table[name] = _Stored(stored, whole, part, len(modules), transposed=matrix)
    return table


def _our_shape(module: str, parameter: str, outputs: int, inputs: int, shape: ModelShape) -> tuple[int, ...]:
    rows = {"tok_emb": shape.vocab_size, "pos_emb": shape.context_length}.get(module, outputs * shape.emb_dim)
    return (rows, inputs * shape.emb_dim) if parameter == "weight" else (rows,)


def _stored_name(layout: str, prefix: str, block: int | None, theirs: str, parameter: tuple[str, str, str]) -> str:
    if layout == "openai":
        parts = ["model", "" if block is None else f"h{block}", *theirs.split("."), parameter[2]]
        return "/".join(filter(None, parts))
    return f"{prefix}{'' if block is None else f'h.{block}.'}{theirs}.{parameter[1]}"


def _describe(shape: ModelShape) -> str:
    for name, known in MODEL_SHAPES.items():
        if dataclasses.replace(known, n_heads=shape.n_heads) == shape:
            return name
    return (
        f"a GPT-2 of {shape.n_layers} blocks, width {shape.emb_dim}, {shape.vocab_size} tokens,"
        f" {shape.context_length} positions"
    )


def _some(what: str, items: list[str], at_most: int = 4) -> str:
    if not items:
        return ""
    more = f" and {len(items) - at_most} more" if len(items) > at_most else ""
    return f"{what}: {', '.join(sorted(items)[:at_most])}{more}"
