"""What the frozen prefix leaves behind does not depend on how much memory it may take; the memory it takes does."""

from __future__ import annotations

import errno
import gc
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from torch import Tensor

from ablation.config.shapes import ModelShape
from ablation.data.encode import EncodedMessages, encode_messages
from ablation.execution.feature_file import FeatureStorageError
from ablation.execution.naive import NaiveExecution
from ablation.execution.planned import PlannedExecution
from benchmarks.machine import MemorySampler, resident_memory
from tests.support.tiny import PAD, make_execution, make_messages, tiny_config

CASES: dict[str, dict[str, Any]] = {
    "normalised states": {},
    "vectors": {"trainable_layers": "last_layer"},
    "vectors, pooled": {"trainable_layers": "last_layer", "average_embeddings": True},
    "states": {"trainable_layers": "last_two_blocks"},
    "states, pooled": {"average_embeddings": True},
    "lengths differ": {"trainable_token_pos": "flexible"},
    "lengths differ, no mask": {"no_padding": True, "batch_size": 1, "disable_causal_mask": True},
}
SPLITS = {"train": 40, "validation": 12, "test": 14}
A_FEW_ROWS = 20 * 16 * 8  # bytes of 20 positions of the tiny model in float64: fewer than any split has

reserves = pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve a file's blocks")


def all_logits(execution: NaiveExecution | PlannedExecution) -> Tensor:
    with torch.no_grad():
        return torch.cat([torch.cat(execution.logits(split, [torch.arange(n)])) for split, n in SPLITS.items()])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_chunks_and_mapped_files_change_nothing(case: dict[str, Any]) -> None:
    config = tiny_config(**case)
    messages = make_messages(config)
    expected = all_logits(make_execution(config, messages, "planned"))
    for memory in (1, A_FEW_ROWS):  # one batch at a time; some
        assert torch.equal(all_logits(make_execution(config, messages, "planned", memory=memory)), expected)


@reserves
def test_mapped_files_have_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mapped = []
    reserve = os.posix_fallocate

    def reserve_and_note(file: int, start: int, n_bytes: int) -> None:
        mapped.append(n_bytes)
        reserve(file, start, n_bytes)

    monkeypatch.setattr(os, "posix_fallocate", reserve_and_note)
    config = tiny_config()
    execution = make_execution(config, make_messages(config), "planned", memory=A_FEW_ROWS)
    assert mapped and list(tmp_path.iterdir()) == []
    all_logits(execution)


@reserves
def test_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    config = tiny_config()
    with pytest.raises(FeatureStorageError, match=r"no room for 0\.00 GB .*No space left.*TMPDIR.*--feature_memory"):
        make_execution(config, make_messages(config), "planned", memory=A_FEW_ROWS)


def growths() -> tuple[int, int, int]:
    """Bytes of some features, and by how many bytes this process grows with memory for a twentieth, and for all."""
    torch.set_num_threads(1)  # several take more memory, and wait for each other where other tests run beside
    shape = ModelShape(vocab_size=61, context_length=128, emb_dim=64, n_layers=2, n_heads=2)
    config = tiny_config(context_length=128)
    draw = torch.Generator().manual_seed(0)

    def make(counts: tuple[int, int, int]) -> dict[str, EncodedMessages]:
        return {
            split: encode_messages(draw_tokens(count), [0] * count, 128, PAD, padded=True)
            for split, count in zip(SPLITS, counts, strict=True)
        }

    def draw_tokens(count: int) -> list[list[int]]:
        return torch.randint(shape.vocab_size, (count, 128), generator=draw).tolist()

    def growth(messages: dict[str, EncodedMessages], memory: int) -> int:
        gc.collect()
        before, _ = resident_memory(os.getpid())
        with MemorySampler(interval=0.002) as sampler:
            make_execution(config, messages, "planned", dtype=torch.float32, memory=memory, shape=shape)
        assert sampler.peak.samples > 5
        return sampler.peak.own - before

    growth(make((64, 16, 16)), 10**6)  # threads and libraries take what they take once
    messages = make((1400, 140, 460))
    features = sum(split.tokens.numel() for split in messages.values()) * shape.emb_dim * 4
    return features, growth(messages, features // 20), growth(messages, features)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.slow
def test_memory_is_bounded() -> None:
    """65 MB of features take that with memory for all of them, and a fraction with a twentieth of it."""
    # In a process of its own: one that ran an experiment before would find room in what it keeps of freed memory.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        features, small, large = process.submit(growths).result()
    assert features > 65e6
    assert large > 0.9 * features
    assert small < features / 2
