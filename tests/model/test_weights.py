"""Weights files of all kinds against each other and against an independent GPT-2. [n]: points of the issue's list."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from ablation.config.shapes import MODEL_SHAPES, ModelShape
from ablation.model.weights import Weights, WeightsError, load_into, open_weights
from previous_chapters import GPTModel
from tests.support import tf_checkpoint_writer

ROOT = Path(__file__).parents[2]
SHAPE = ModelShape(vocab_size=37, context_length=10, emb_dim=8, n_layers=3, n_heads=2)
StateDict = dict[str, Tensor]


def random_model(shape: ModelShape = SHAPE, seed: int = 0) -> StateDict:
    """The parameters of a GPT-2 without its head, all of them random (a fresh model's norms and biases are not)."""
    torch.manual_seed(seed)
    names = {name: tensor.shape for name, tensor in GPTModel(shape).state_dict().items() if name != "out_head.weight"}
    return {name: torch.randn(size) for name, size in names.items()}


def huggingface(model: StateDict, prefix: str = "", masks: bool = False) -> StateDict:
    """In Hugging Face's names and orientation, renamed by hand."""
    renamed: StateDict = {}
    for name, tensor in model.items():
        if found := re.fullmatch(r"trf_blocks\.(\d+)\.att\.W_query\.(weight|bias)", name):
            parts = [model[name.replace("query", part)] for part in ("query", "key", "value")]
            renamed[f"h.{found[1]}.attn.c_attn.{found[2]}"] = torch.cat(
                [part.T if part.ndim == 2 else part for part in parts], dim=-1
            )
        elif "W_key" not in name and "W_value" not in name:
            other = name
            for ours, theirs in {
                "trf_blocks": "h",
                "att.out_proj": "attn.c_proj",
                "ff.layers.0": "mlp.c_fc",
                "ff.layers.2": "mlp.c_proj",
                "norm1": "ln_1",
                "norm2": "ln_2",
                "final_norm": "ln_f",
                "tok_emb": "wte",
                "pos_emb": "wpe",
                "scale": "weight",
                "shift": "bias",
            }.items():
                other = other.replace(ours, theirs)
            renamed[other] = tensor.T if tensor.ndim == 2 and "c_" in other else tensor
    if masks:
        for block in range(1 + max(int(name.split(".")[1]) for name in renamed if name.startswith("h."))):
            renamed[f"h.{block}.attn.bias"] = torch.ones(1, 1, 4, 4).tril()
            renamed[f"h.{block}.attn.masked_bias"] = torch.tensor(-1e4)
    return {prefix + name: tensor.contiguous() for name, tensor in renamed.items()}


def openai(model: StateDict) -> dict[str, tf_checkpoint_writer.Array]:
    renamed = {}
    for name, tensor in huggingface(model).items():
        other = re.sub(r"^h\.", "h", name).replace(".", "/")
        norm = "ln_" in other
        other = other.replace("/weight", "/g" if norm else "/w").replace("/bias", "/b")
        other = re.sub(r"^(wte|wpe)/w$", r"\1", other)
        renamed[f"model/{other}"] = (tensor[None] if other.endswith("/w") else tensor).numpy()
    return renamed


def write_safetensors(model: StateDict, folder: Path) -> Path:
    save_file(huggingface(model), folder / "hf.safetensors")
    return folder / "hf.safetensors"


def write_prefixed(model: StateDict, folder: Path) -> Path:
    state = huggingface(model, "transformer.", masks=True)
    state["lm_head.weight"] = state["transformer.wte.weight"].clone()
    save_file(state, folder / "prefixed.safetensors")
    return folder / "prefixed.safetensors"


def write_project(model: StateDict, folder: Path) -> Path:
    save_file(model, folder / "project.safetensors")
    return folder / "project.safetensors"


def write_checkpoint(model: StateDict, folder: Path) -> Path:
    return tf_checkpoint_writer.write_folder(openai(model), folder / "124M")


def write_state_dict(model: StateDict, folder: Path) -> Path:
    masks = {f"trf_blocks.{block}.att.mask": torch.ones(4, 4).triu(1) for block in range(SHAPE.n_layers)}
    torch.save({**model, **masks, "out_head.weight": model["tok_emb.weight"].clone()}, folder / "book.pth")
    return folder / "book.pth"


def write_training_checkpoint(model: StateDict, folder: Path) -> Path:
    torch.save({"model_state_dict": model, "optimizer_state_dict": {"state": {}}}, folder / "training.pt")
    return folder / "training.pt"


def write_old_state_dict(model: StateDict, folder: Path) -> Path:
    torch.save(huggingface(model), folder / "old.bin", _use_new_zipfile_serialization=False)
    return folder / "old.bin"


WRITERS: list[Callable[[StateDict, Path], Path]] = [
    write_safetensors,
    write_prefixed,
    write_project,
    write_checkpoint,
    write_state_dict,
    write_training_checkpoint,
    write_old_state_dict,
]


@pytest.fixture
def model() -> StateDict:
    return random_model()


# Reading


@pytest.mark.parametrize("write", WRITERS)
def test_every_tensor(model: StateDict, tmp_path: Path, write: Callable[[StateDict, Path], Path]) -> None:
    """All kinds of file give the same tensors under the same names, one by one and into a model."""
    weights = open_weights(write(model, tmp_path), SHAPE)
    assert set(weights.names) - {"out_head.weight"} == set(model)
    for name, expected in model.items():
        torch.testing.assert_close(weights.tensor(name), expected, rtol=0, atol=0)
    with torch.device("meta"):
        loaded = GPTModel(weights.shape)
    load_into(loaded, weights)
    state = loaded.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.items())
    assert torch.equal(state["out_head.weight"], model["tok_emb.weight"])
    assert all(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize("write", WRITERS)
def test_shape_from_the_tensors(model: StateDict, tmp_path: Path, write: Callable[[StateDict, Path], Path]) -> None:
    path = write(model, tmp_path)
    assert open_weights(path).shape == ModelShape(37, 10, 8, 3, n_heads=1)  # heads are not told by any tensor
    assert open_weights(path, SHAPE).shape == SHAPE


def mapped_ranges(path: Path) -> list[tuple[int, int]]:
    lines = Path("/proc/self/maps").read_text().splitlines()
    spans = [line.split()[0].split("-") for line in lines if line.endswith(str(path))]
    return [(int(start, 16), int(end, 16)) for start, end in spans]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("write", [write_safetensors, write_project, write_checkpoint, write_state_dict])
def test_tensors_are_views_and_are_let_go(
    model: StateDict, tmp_path: Path, write: Callable[[StateDict, Path], Path]
) -> None:
    """No copy: each tensor lies in a mapping of the file. And with the last tensor the mapping ends: streaming."""
    weights = open_weights(write(model, tmp_path), SHAPE)
    assert mapped_ranges(weights.path) == []
    block = weights.tensors(name for name in weights.names if name.startswith("trf_blocks.2."))
    ranges = mapped_ranges(weights.path)
    for name, tensor in block.items():
        assert any(start <= tensor.data_ptr() < end for start, end in ranges), name
    before = weights.path.read_bytes()
    block["trf_blocks.2.att.W_key.weight"].zero_()  # training in place is possible and stays in this process
    assert weights.path.read_bytes() == before
    del block, tensor
    assert mapped_ranges(weights.path) == []


@pytest.mark.slow
def test_models_are_built_without_draws() -> None:
    """No numbers are drawn, and what PyTorch imports to draw none on the meta device is not imported either."""
    code = """
import sys, torch
from ablation.config.shapes import MODEL_SHAPES
from ablation.model.weights import WithoutDraws
from previous_chapters import GPTModel
before, state = len(sys.modules), torch.get_rng_state()
with torch.device("meta"), WithoutDraws():
    model = GPTModel(MODEL_SHAPES["gpt2-xl (1558M)"])
assert all(parameter.is_meta for parameter in model.parameters())
assert torch.equal(state, torch.get_rng_state())
print(len(sys.modules) - before)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 50


def test_half_precision_becomes_float32(model: StateDict, tmp_path: Path) -> None:
    save_file({name: tensor.half() for name, tensor in model.items()}, tmp_path / "half.safetensors")
    tensor = open_weights(tmp_path / "half.safetensors", SHAPE).tensor("tok_emb.weight")
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor, model["tok_emb.weight"].half().float(), rtol=0, atol=0)


def test_classifier_is_left_alone(model: StateDict, tmp_path: Path) -> None:
    loaded = GPTModel(SHAPE)
    loaded.out_head = torch.nn.Linear(SHAPE.emb_dim, 2)
    before = loaded.out_head.weight
    load_into(loaded, open_weights(write_safetensors(model, tmp_path), SHAPE))
    assert loaded.out_head.weight is before
    other = GPTModel(ModelShape(37, 10, 8, 2, 2))
    with pytest.raises(WeightsError, match=r"does not fit the model: trf_blocks\.2"):
        load_into(other, open_weights(write_safetensors(model, tmp_path), SHAPE))


# Against an independent GPT-2


@pytest.fixture(scope="module")
def hub_model() -> Iterator[torch.nn.Module]:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=53, n_positions=16, n_embd=32, n_layer=3, n_head=4, initializer_range=0.3
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:  # biases and norms, which start out as zeros and ones
                parameter += 0.1 * torch.randn_like(parameter)
                assert name
    yield model


@pytest.mark.parametrize("form", ["as saved", "bare", "transformer.", "bare with masks", "transformer. with masks"])
def test_file_saved_by_transformers(hub_model: torch.nn.Module, tmp_path: Path, form: str) -> None:
    """[6] With and without prefix and mask buffers: the logits of the source model."""
    from safetensors.torch import load_file

    hub_model.save_pretrained(tmp_path)  # type: ignore[operator]
    path = tmp_path / "model.safetensors"
    if form != "as saved":
        saved = {name.removeprefix("transformer."): tensor for name, tensor in load_file(path).items()}
        if form.endswith("masks"):
            for block in range(3):
                saved[f"h.{block}.attn.bias"] = torch.ones(1, 1, 16, 16).tril()
                saved[f"h.{block}.attn.masked_bias"] = torch.tensor(-1e4)
        prefix = "transformer." if form.startswith("transformer.") else ""
        save_file({prefix + name: tensor for name, tensor in saved.items()}, path)
    shape = ModelShape(53, 16, 32, 3, 4)
    with torch.device("meta"):
        model = GPTModel(shape)
    load_into(model, open_weights(tmp_path if form == "as saved" else path, shape))
    tokens = torch.randint(53, (2, 16), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = hub_model(tokens).logits
        found = model(tokens)
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(model.double()(tokens), hub_model.double()(tokens).logits, rtol=0, atol=1e-10)
    hub_model.float()


# Digest


def test_same_digest_for_all_kinds(model: StateDict, tmp_path: Path) -> None:
    """[7] Masks, prefixes and a written-out tied head make no difference; a single bit does, and so does a name."""
    digests = {write.__name__: open_weights(write(model, tmp_path), SHAPE).digest() for write in WRITERS}
    assert len(set(digests.values())) == 1, digests
    assert re.fullmatch("[0-9a-f]{64}", digests["write_checkpoint"])
    key, query = "trf_blocks.1.att.W_key.bias", "trf_blocks.1.att.W_query.bias"
    exchanged = {**model, key: model[query], query: model[key]}
    changed = {**model, key: model[key].clone()}
    changed[key].view(torch.int32)[3] ^= 1
    free_head = {**model, "out_head.weight": model["tok_emb.weight"] + 1}
    for number, other in enumerate((exchanged, changed, free_head)):
        save_file({name: tensor.contiguous() for name, tensor in other.items()}, tmp_path / f"{number}.safetensors")
        assert open_weights(tmp_path / f"{number}.safetensors", SHAPE).digest() not in digests.values()


@settings(max_examples=15, deadline=None)
@given(st.builds(ModelShape, st.integers(1, 20), st.integers(1, 9), st.integers(1, 6), st.integers(1, 12), st.just(1)))
def test_same_digest_for_any_shape(tmp_path_factory: pytest.TempPathFactory, shape: ModelShape) -> None:
    """[7] More than ten blocks too, where the files' order of names is another than the model's."""
    model, folder = random_model(shape), tmp_path_factory.mktemp("shape")
    opened = [
        open_weights(write(model, folder), shape) for write in (write_safetensors, write_checkpoint, write_project)
    ]
    assert len({weights.digest() for weights in opened}) == 1
    assert opened[0].shape == opened[1].shape == opened[2].shape


@pytest.mark.parametrize("number", [0.5, float("nan")])
def test_digest_is_of_what_is_there_now(model: StateDict, tmp_path: Path, number: float) -> None:
    """Size and modification time may stay while a number changes; nothing is left beside the file."""
    path = write_project(model, tmp_path)
    before, times = open_weights(path, SHAPE).digest(), path.stat()
    model["trf_blocks.1.norm1.scale"][3] = number
    write_project(model, tmp_path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    if number == number:
        assert open_weights(path, SHAPE).digest() != before
    else:
        expect(path, r"trf_blocks\.1\.norm1\.scale has 1 values that are NaN or infinite")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


# Bad files


def expect(path: Path, message: str, use: Callable[[Weights], object] = Weights.digest) -> None:
    """Refused with one line that matches."""
    with pytest.raises(WeightsError, match=message) as failure:
        use(open_weights(path, SHAPE))
    assert "\n" not in str(failure.value)
    assert str(path.name) in str(failure.value)


@pytest.mark.parametrize("write", [write_safetensors, write_state_dict, write_old_state_dict])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.6, 0.999])
def test_truncated(model: StateDict, tmp_path: Path, write: Callable[[StateDict, Path], Path], share: float) -> None:
    """[8]"""
    path = write(model, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    expect(path, "no intact|refused")


def test_other_shapes(model: StateDict, tmp_path: Path) -> None:
    """[8] Named, with expected and found shapes."""
    state = huggingface(model)
    state["h.1.mlp.c_fc.weight"] = torch.zeros(32, 8)
    save_file(state, tmp_path / "bad.safetensors")
    expect(tmp_path / "bad.safetensors", r"of another shape: h\.1\.mlp\.c_fc\.weight \(32, 8\) instead of \(8, 32\)$")


def test_missing_and_surplus_tensors(model: StateDict, tmp_path: Path) -> None:
    """[8] Both named, in the file's own names."""
    tensors = openai(model)
    tensors["model/h0/attn/c_atnn/b"] = tensors.pop("model/h0/attn/c_attn/b")
    expect(
        tf_checkpoint_writer.write_folder(tensors, tmp_path / "124M"),
        r"missing: model/h0/attn/c_attn/b \(24,\); surplus: model/h0/attn/c_atnn/b \(24,\)",
    )
    del model["final_norm.shift"]
    expect(write_project(model, tmp_path), r"missing: final_norm\.shift \(8,\)$")
    del model["pos_emb.weight"]
    expect(write_project(model, tmp_path), "found .* and None")


def test_many_problems_stay_one_line(model: StateDict, tmp_path: Path) -> None:
    for name in list(model):
        if "att" in name:
            del model[name]
    expect(write_project(model, tmp_path), r"missing: trf_blocks\.0\.att\.W_key\.bias \(8,\), .* and 20 more$")


def test_another_size(model: StateDict, tmp_path: Path) -> None:
    """[8] A size that is not the one asked for."""
    path = write_safetensors(model, tmp_path)
    with pytest.raises(WeightsError, match=r"3 blocks, width 8, .*but gpt2-small \(124M\) was asked for"):
        open_weights(path, MODEL_SHAPES["gpt2-small (124M)"])
    with pytest.raises(WeightsError, match=r"3 blocks.*4 blocks"):
        open_weights(path, ModelShape(37, 10, 8, 4, 2))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("write", [write_safetensors, write_checkpoint, write_state_dict])
def test_not_finite(model: StateDict, tmp_path: Path, write: Callable[[StateDict, Path], Path], bad: float) -> None:
    """[8] Found together with the digest; not remembered as good."""
    model["trf_blocks.2.norm1.scale"][3] = bad
    path = write(model, tmp_path)
    for _ in range(2):
        with pytest.raises(WeightsError, match=r"trf_blocks\.2\.norm1\.scale has 1 values that are NaN or infinite"):
            open_weights(path, SHAPE).digest()


def test_large_finite_values_are_accepted(model: StateDict, tmp_path: Path) -> None:
    model["tok_emb.weight"][:] = 3e38  # their sum is not finite, they are
    assert open_weights(write_safetensors(model, tmp_path), SHAPE).digest()


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "F6_E3M2"])
def test_types_that_are_no_whole_bytes(model: StateDict, tmp_path: Path, dtype: str) -> None:
    """safetensors knows them, PyTorch does not."""
    path = write_project(model, tmp_path)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    content = path.read_bytes()[8 + length :]
    header = json.loads(path.read_bytes()[8 : 8 + length])
    start, end = header["tok_emb.weight"]["data_offsets"]
    kept = (end - start) // 32 * int(dtype[1])  # bits of a number
    for entry in header.values():
        if "data_offsets" in entry and entry["data_offsets"][0] >= end:
            entry["data_offsets"] = [offset - (end - start) + kept for offset in entry["data_offsets"]]
    header["tok_emb.weight"] |= {"dtype": dtype, "data_offsets": [start, start + kept]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[: start + kept] + content[end:])
    expect(path, f"tok_emb.weight holds float4|{dtype}")


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.uint8, torch.int64, torch.complex64])
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_weights_that_are_no_real_numbers(model: StateDict, tmp_path: Path, dtype: torch.dtype, ending: str) -> None:
    """Refused by name; masks of any type are not read."""
    state = huggingface(model, masks=True)
    state["h.0.attn.bias"] = state["h.0.attn.bias"].bool()
    state["h.1.attn.bias"] = state["h.1.attn.bias"].byte()
    path, save = tmp_path / f"weights.{ending}", save_file if ending == "safetensors" else torch.save
    save(state, path)
    open_weights(path, SHAPE).digest()
    save({**state, "h.1.ln_1.weight": torch.ones(8, dtype=dtype)}, path)
    kind = str(dtype).removeprefix("torch.")
    expect(path, rf"h\.1\.ln_1\.weight holds {kind}, which weights cannot be: give a file of float32")


SPECIAL: dict[str, Callable[[Tensor], Tensor]] = {
    "meta": lambda tensor: tensor.to("meta"),
    "sparse": Tensor.to_sparse,
    "compressed rows": Tensor.to_sparse_csr,
    "nested": lambda tensor: torch.nested.nested_tensor(list(tensor)),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:The PyTorch API of nested")
def test_tensors_that_are_not_dense(model: StateDict, tmp_path: Path, kind: str) -> None:
    name = "trf_blocks.1.ff.layers.0.weight"
    torch.save({**model, name: SPECIAL[kind](model[name])}, tmp_path / "special.pth")
    expect(tmp_path / "special.pth", rf"{name} is (without values|sparse or nested); give a file of dense tensors")


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_too_little_memory_to_open(
    model: StateDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise MemoryError

    path = write_project(model, tmp_path) if ending == "safetensors" else write_state_dict(model, tmp_path)
    monkeypatch.setattr("safetensors.safe_open", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    expect(path, "no intact .*MemoryError")


def test_a_file_that_may_not_be_read(model: StateDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not called missing, as safetensors would."""
    path = write_project(model, tmp_path)

    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    expect(path, "Permission denied")


class RunsCode:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("new_format", [True, False])
def test_pickle_that_wants_to_run_code(model: StateDict, tmp_path: Path, new_format: bool) -> None:
    """[8] Refused, and not run."""
    marker = tmp_path / "ran"
    state = {**model, "extra": RunsCode(marker)}
    torch.save(state, tmp_path / "evil.pth", _use_new_zipfile_serialization=new_format)
    expect(tmp_path / "evil.pth", r"evil\.pth is refused: it asks for (posix|nt)\.system")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["text.safetensors", "text.pth", "text.pt", "text.bin"])
@pytest.mark.parametrize("content", ["", "version https://git-lfs.github.com/spec/v1\n", "<!DOCTYPE html>\n<html>404"])
def test_text_under_the_name_of_weights(tmp_path: Path, name: str, content: str) -> None:
    """[8] An error page, or the pointer file of git-lfs."""
    (tmp_path / name).write_text(content)
    expect(tmp_path / name, "no intact|refused")


def test_no_state_dict(tmp_path: Path) -> None:
    torch.save([torch.ones(3)], tmp_path / "list.pth")
    expect(tmp_path / "list.pth", "holds no state dict")
    torch.save({"a": torch.ones(3)}, tmp_path / "other.pth")
    expect(tmp_path / "other.pth", r"holds no GPT-2: .* it has 1 tensors \(a")


def test_no_such_file_or_kind(tmp_path: Path) -> None:
    expect(tmp_path / "absent.safetensors", "no weights at /.*absent")
    (tmp_path / "weights.h5").touch()
    expect(tmp_path / "weights.h5", "no weights file by its name")
    (tmp_path / "empty").mkdir()
    expect(tmp_path / "empty", r"empty holds no model\.safetensors and 0 \*\.index files")
    (tmp_path / "model.ckpt.index").touch()
    expect(tmp_path / "model.ckpt.index", r"model\.ckpt\.index is no intact")
