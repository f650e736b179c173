"""How files of several kinds name GPT-2's tensors and lay them out, in one rename table.

Hugging Face and OpenAI hold query, key and value as one matrix, and the matrices of linear layers as (inputs,
outputs), OpenAI's with a leading 1; this project holds each tensor as the model does, (outputs, inputs).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ablation.config.shapes import MODEL_SHAPES, ModelShape
from ablation.files.weight_paths import WeightsError

HEAD = "out_head.weight"
HEAD_WIDTH = 64  # of every attention head in every GPT-2
BUFFERS = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)|trf_blocks\.\d+\.att\.mask")  # causal masks, not weights
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class _Row:
    """Tensors of ours, which others hold side by side as one; their names for it; the axes of each of ours."""

    ours: tuple[str, ...]
    huggingface: str
    openai: str
    axes: tuple[str, ...]  # D width of the model, 4D four of them, V tokens of the vocabulary, T positions


_QUERY_KEY_VALUE = ("att.W_query", "att.W_key", "att.W_value")
BLOCK: tuple[_Row, ...] = (
    _Row(tuple(f"{name}.weight" for name in _QUERY_KEY_VALUE), "attn.c_attn.weight", "attn/c_attn/w", ("D", "D")),
    _Row(tuple(f"{name}.bias" for name in _QUERY_KEY_VALUE), "attn.c_attn.bias", "attn/c_attn/b", ("D",)),
    _Row(("att.out_proj.weight",), "attn.c_proj.weight", "attn/c_proj/w", ("D", "D")),
    _Row(("att.out_proj.bias",), "attn.c_proj.bias", "attn/c_proj/b", ("D",)),
    _Row(("ff.layers.0.weight",), "mlp.c_fc.weight", "mlp/c_fc/w", ("4D", "D")),
    _Row(("ff.layers.0.bias",), "mlp.c_fc.bias", "mlp/c_fc/b", ("4D",)),
    _Row(("ff.layers.2.weight",), "mlp.c_proj.weight", "mlp/c_proj/w", ("D", "4D")),
    _Row(("ff.layers.2.bias",), "mlp.c_proj.bias", "mlp/c_proj/b", ("D",)),
    _Row(("norm1.scale",), "ln_1.weight", "ln_1/g", ("D",)),
    _Row(("norm1.shift",), "ln_1.bias", "ln_1/b", ("D",)),
    _Row(("norm2.scale",), "ln_2.weight", "ln_2/g", ("D",)),
    _Row(("norm2.shift",), "ln_2.bias", "ln_2/b", ("D",)),
)
TOKENS = _Row(("tok_emb.weight",), "wte.weight", "wte", ("V", "D"))
POSITIONS = _Row(("pos_emb.weight",), "wpe.weight", "wpe", ("T", "D"))
REST: tuple[_Row, ...] = (
    TOKENS,
    POSITIONS,
    _Row(("final_norm.scale",), "ln_f.weight", "ln_f/g", ("D",)),
    _Row(("final_norm.shift",), "ln_f.bias", "ln_f/b", ("D",)),
)


@dataclass(frozen=True)
class Layout:
    """One kind of file.

    Attributes:
        names: whose column of the rename table; "ours" for files of this project.
        rest, block: what stands before the names outside the blocks, and in block {}.
        head: the whole name of the output head, where such files may have one.
        leading: axes before a linear layer's (inputs, outputs).
    """

    names: str
    rest: str
    block: str
    head: str | None
    leading: tuple[int, ...] = ()

    def name(self, row: _Row, part: int = 0) -> str:
        return row.ours[part] if self.names == "ours" else getattr(row, self.names)


HUGGINGFACE = Layout("huggingface", "", "h.{}.", "lm_head.weight")  # as published
LAYOUTS = (
    Layout("ours", "", "trf_blocks.{}.", HEAD),
    Layout("openai", "model/", "model/h{}/", None, leading=(1,)),
    HUGGINGFACE,
    Layout("huggingface", "transformer.", "transformer.h.{}.", "lm_head.weight"),
)


@dataclass(frozen=True)
class Stored:
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
        return share.float()


def locate(path: Path, shapes: Shapes, shape: ModelShape | None) -> tuple[ModelShape, dict[str, Stored]]:
    """Which model a file holds, and where each of our tensors is in it.

    Args:
        shapes: of the tensors in the file, by its own names.
        shape: the model that it must hold; None for whichever it is.

    Raises:
        WeightsError: no GPT-2, another one, missing or surplus tensors, or wrong shapes.
    """
    layout = _layout(path, shapes)
    found = _inferred_shape(path, layout, shapes)
    if shape is None:
        shape = found
    elif dataclasses.replace(shape, n_heads=found.n_heads) != found:
        raise WeightsError(f"{path} holds {_describe(found)}, but {_describe(shape)} was asked for")
    table = stored_tensors(layout, shape)
    if layout.head is not None and layout.head in shapes:
        table[HEAD] = Stored(layout.head, (shape.vocab_size, shape.emb_dim))
    expected = {stored.name: stored.shape for stored in table.values()}
    surplus = [name for name in shapes.keys() - expected if not BUFFERS.fullmatch(name.removeprefix(layout.rest))]
    changed = [name for name in expected.keys() & shapes if shapes[name] != expected[name]]
    problems = [
        _some("missing", (f"{name} {expected[name]}" for name in expected.keys() - shapes)),
        _some("surplus", (f"{name} {shapes[name]}" for name in surplus)),
        _some("of another shape", (f"{name} {shapes[name]} instead of {expected[name]}" for name in changed)),
    ]
    if any(problems):
        raise WeightsError(f"{path} does not fit {_describe(shape)}: {'; '.join(filter(None, problems))}")
    return shape, table


def _layout(path: Path, shapes: Shapes) -> Layout:
    for layout in LAYOUTS:
        if layout.rest + layout.name(TOKENS) in shapes:
            return layout
    listed = ", ".join(sorted(shapes)[:4]) or "nothing"
    raise WeightsError(
        f"{path} holds no GPT-2: the token embedding (tok_emb.weight, wte.weight or model/wte) is missing;"
        f" it has {len(shapes)} tensors ({listed} ...)"
    )


def _inferred_shape(path: Path, layout: Layout, shapes: Shapes) -> ModelShape:
    tokens, positions = (shapes.get(layout.rest + layout.name(row)) for row in (TOKENS, POSITIONS))
    if tokens is None or positions is None or len(tokens) != 2 or len(positions) != 2:
        raise WeightsError(f"{path}: token and position embeddings must be matrices, found {tokens} and {positions}")
    in_block = re.compile(re.escape(layout.block).replace(r"\{\}", r"(\d+)"))
    blocks = {found[1] for name in shapes if (found := in_block.match(name))}
    return ModelShape(tokens[0], positions[0], tokens[1], len(blocks), max(1, tokens[1] // HEAD_WIDTH))


def stored_tensors(layout: Layout, shape: ModelShape) -> dict[str, Stored]:
    """Our names, and where each of them is in a file of that layout; without the head."""
    sizes = {"D": shape.emb_dim, "4D": 4 * shape.emb_dim, "V": shape.vocab_size, "T": shape.context_length}
    places = [("", layout.rest, REST)]
    places += [(f"trf_blocks.{index}.", layout.block.format(index), BLOCK) for index in range(shape.n_layers)]
    table = {}
    for our_beginning, their_beginning, rows in places:
        for row in rows:
            size = tuple(sizes[axis] for axis in row.axes)
            for part, ours in enumerate(row.ours):
                stored = their_beginning + layout.name(row, part)
                if layout.names == "ours":
                    table[our_beginning + ours] = Stored(stored, size)
                    continue
                linear = rows is BLOCK and len(size) == 2
                *before, last = (*layout.leading, *size[::-1]) if linear else size
                whole = (*before, len(row.ours) * last)
                table[our_beginning + ours] = Stored(stored, whole, part, len(row.ours), transposed=linear)
    return table


def _describe(shape: ModelShape) -> str:
    for name, known in MODEL_SHAPES.items():
        if dataclasses.replace(known, n_heads=shape.n_heads) == shape:
            return name
    return (
        f"a GPT-2 of {shape.n_layers} blocks, width {shape.emb_dim}, {shape.vocab_size} tokens,"
        f" {shape.context_length} positions"
    )


def _some(what: str, items: Iterable[str]) -> str:
    items = sorted(items)
    if not items:
        return ""
    more = f" and {len(items) - 4} more" if len(items) > 4 else ""
    return f"{what}: {', '.join(items[:4])}{more}"
