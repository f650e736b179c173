"""Time and memory of loading GPT-2's weights, for all four sizes, from files of the right shapes made on the spot.

    python benchmarks/load_weights.py [SIZE ...] [--record benchmarks/records/DATE_load_weights]

Prints a Markdown table. Each figure comes from a process of its own:

* usable: from opening the file until the whole model has answered for one message of 8 tokens, imports not counted;
  `cold` after the file was dropped from the page cache, `warm` with the file in it (median of 3);
* peak memory of such a process, which counts the mapped file's pages; and of it the part that is not the file's;
* digest: SHA-256 of the model and the check for NaN, the first time (warm) and once it is kept beside the file;
* block by block: peak memory of reading every block in turn, as the frozen prefix does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ablation.config.shapes import MODEL_SHAPES, ModelShape, canonical_model_size  # noqa: E402
from benchmarks.machine import memory_fields  # noqa: E402
from benchmarks.record import markdown_table, write_record  # noqa: E402

WARM_REPEATS = 3
MEGABYTE = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of loading GPT-2's weights.")
    parser.add_argument("sizes", nargs="*", type=canonical_model_size, default=list(MODEL_SHAPES))
    parser.add_argument("--record", type=Path, help="folder for the raw figures and the environment")
    parser.add_argument("--child", nargs=3, metavar=("TASK", "FILE", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        task, file, size = options.child
        print(json.dumps(TASKS[task](Path(file), MODEL_SHAPES[size])))
        return
    results = [measure(size) for size in options.sizes]
    print(table(results))
    write_record(options.record, results, table(results))


def measure(size: str) -> dict[str, Any]:
    with random_weights(MODEL_SHAPES[size]) as file:
        drop_from_page_cache(file)
        result: dict[str, Any] = {"size": size, "file_bytes": file.stat().st_size}
        result["cold"] = in_process("load", file, size)
        in_process("blocks", file, size)  # reads the whole file into the page cache, if that has room
        result["warm"] = [in_process("load", file, size) for _ in range(WARM_REPEATS)]
        result["digest"] = in_process("digest", file, size)
        result["blocks"] = in_process("blocks", file, size)
    print(f"{size}: done", file=sys.stderr)
    return result


def in_process(task: str, file: Path, size: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", task, str(file), size]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(json.loads(printed))


# What is measured, each in a process of its own


def load(file: Path, shape: ModelShape) -> dict[str, float]:
    import torch

    from ablation.model.weights import WithoutDraws, load_into, open_weights
    from previous_chapters import GPTModel

    before, began = memory_fields()["RssAnon"], time.perf_counter()
    weights = open_weights(file, shape)
    with torch.device("meta"), WithoutDraws():
        model = GPTModel(shape)
    load_into(model, weights)
    assigned = time.perf_counter()
    with torch.no_grad():
        model(torch.arange(8)[None])
    usable = time.perf_counter()
    return {
        "assigned_seconds": assigned - began,
        "usable_seconds": usable - began,
        "peak_bytes": memory_fields()["VmHWM"],
        "own_bytes": memory_fields()["RssAnon"] - before,
    }


def digest(file: Path, shape: ModelShape) -> dict[str, float]:
    from ablation.model.weights import open_weights

    began = time.perf_counter()
    open_weights(file, shape).digest()
    return {"seconds": time.perf_counter() - began, "peak_bytes": memory_fields()["VmHWM"]}


def blocks(file: Path, shape: ModelShape) -> dict[str, float]:
    from ablation.model.weights import open_weights

    before, began = memory_fields()["VmHWM"], time.perf_counter()  # the peak so far, pages of mapped files included
    weights = open_weights(file, shape)
    for index in range(shape.n_layers):
        names = (name for name in weights.names if name.startswith(f"trf_blocks.{index}."))
        for tensor in weights.tensors(names).values():
            tensor.sum()  # touches every page
    peak = memory_fields()["VmHWM"]
    return {"seconds": time.perf_counter() - began, "peak_bytes": peak, "before_bytes": before}


TASKS = {"load": load, "digest": digest, "blocks": blocks}


# Files


@contextmanager
def random_weights(shape: ModelShape) -> Iterator[Path]:
    """A file of :func:`write_random_weights`, deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        write_random_weights(file, shape)
        yield file


def write_random_weights(file: Path, shape: ModelShape) -> None:
    """A safetensors file in Hugging Face's layout with the published files' tensors, mask buffers included.

    The numbers repeat after a few million: a file of 6 GB need not be held, and loading does not look at them.
    """
    import numpy as np

    from ablation.model.layouts import HUGGINGFACE, stored_tensors

    tensors = {stored.name: stored.shape for stored in stored_tensors(HUGGINGFACE, shape).values()}
    for block in range(shape.n_layers):
        tensors[f"h.{block}.attn.bias"] = (1, 1, shape.context_length, shape.context_length)
    header, end = {}, 0
    for name in sorted(tensors):
        start, end = end, end + 4 * int(np.prod(tensors[name]))
        header[name] = {"dtype": "F32", "shape": tensors[name], "data_offsets": (start, end)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    numbers = (0.02 * np.random.default_rng(0).standard_normal(1 << 22, dtype=np.float32)).tobytes()
    with file.open("wb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        for start in range(0, end, len(numbers)):
            opened.write(numbers[: end - start])


def drop_from_page_cache(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def table(results: list[dict[str, Any]]) -> str:
    columns = ["size", "file", "usable, cold", "usable, warm", "peak memory", "of it not the file's"]
    columns += ["digest", "block by block: peak", "of it imports"]
    rows = []
    for result in results:
        warm = statistics.median(run["usable_seconds"] for run in result["warm"])
        peak, own = (max(run[key] for run in result["warm"]) for key in ("peak_bytes", "own_bytes"))
        cells = [result["size"], megabytes(result["file_bytes"])]
        cells += [f"{result['cold']['usable_seconds']:.2f} s", f"{warm:.2f} s", megabytes(peak), megabytes(own)]
        cells += [f"{result['digest']['seconds']:.2f} s"]
        cells += [megabytes(result["blocks"][key]) for key in ("peak_bytes", "before_bytes")]
        rows.append(cells)
    return markdown_table(columns, rows)


def megabytes(count: float) -> str:
    return f"{count / MEGABYTE:,.0f} MB"


if __name__ == "__main__":
    main()
