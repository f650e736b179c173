"""The benchmark of the language model: its ways train the same."""

from __future__ import annotations

import sys
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ablation.config.generation import LanguageModelConfig
from ablation.config.shapes import ModelShape
from ablation.execution import vocabulary_loss
from ablation.execution.sentence_losses import packed_losses, padded_losses
from ablation.model.normal_weights import normal_weights
from benchmarks import language_model as benchmark
from previous_chapters import GPTModel
from tests.support.language_twin import copy_into_twin

END, LONGEST = 60, 6
SHAPE = ModelShape(vocab_size=61, context_length=12, emb_dim=16, n_layers=1, n_heads=2)
MEMORY = {"packed": {"peak": 2e9, "logits": 5.2e7}}
SENTENCES = [[5, 6, 7], [8] * LONGEST, [], [1, 2, 3, 4, 5]]


def test_each_way_trains_the_same() -> None:
    pytest.importorskip("transformers")
    own = GPTModel(SHAPE)
    own.load_state_dict(normal_weights(SHAPE, 1))
    twin: Any = benchmark.hugging_face_model(SHAPE, 0.0, 1)
    copy_into_twin(own, twin)
    config = LanguageModelConfig(learning_rate=0.01)
    ways = [
        (own, partial(benchmark.own_loss, packed_losses, own, LONGEST, END)),
        (twin, partial(benchmark.hugging_face_loss, twin, LONGEST, END)),
    ]
    steps = [benchmark.updating(model, loss, config) for model, loss in ways]
    found = [[float(step(SENTENCES)) for _ in range(3)] for step in steps]
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    assert found[0][0] == pytest.approx(4.11, abs=0.1) and found[0][2] < found[0][0] - 0.1
    padded = float(padded_losses(own, SENTENCES, LONGEST, END).mean.detach())
    assert padded == pytest.approx(float(steps[0](SENTENCES)), abs=1e-5)


def test_time_is_measured_by_turns_and_told_as_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr(LanguageModelConfig, "shape", SHAPE)
    monkeypatch.setattr(benchmark, "sgemm_rate", lambda repeats: 100.0)
    config = LanguageModelConfig(batch_size=2, max_len=LONGEST)
    random_state = torch.get_rng_state()
    timed = benchmark.measure_time(config, [*SENTENCES, [3]], END, 2)
    torch.set_rng_state(random_state)
    assert {name: len(seconds) for name, seconds in timed["seconds"].items()} == dict.fromkeys(benchmark.STEPS, 3)
    assert timed["batches_of_an_epoch"] == 3
    timed["seconds"] = {"packed": [9.0, 1.0, 1.0], "padded": [9.0, 2.5, 2.5], "hugging_face": [9.0, 3.0, 3.0]}
    lines = benchmark.table({"time": timed | {"batches_of_an_epoch": 469}, "memory": MEMORY}).splitlines()
    assert lines[2:] == [
        "| packed | 1.00 | 7.8 | 1.00 | 2,000 MB | 52 MB |",
        "| padded | 2.50 | 19.5 | 2.50 |  |  |",
        "| hugging face | 3.00 | 23.4 | 3.00 |  |  |",
    ]


def test_logits_held_are_what_has_the_vocabularys_width(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr(LanguageModelConfig, "shape", SHAPE)
    monkeypatch.setattr(vocabulary_loss, "ROWS_OF_LOGITS", 4)
    config = LanguageModelConfig(batch_size=2, max_len=LONGEST)
    random_state = torch.get_rng_state()
    found = {name: benchmark.memory_of(name, config, SENTENCES * 5, END) for name in benchmark.STEPS}
    torch.set_rng_state(random_state)
    row = 4 * SHAPE.vocab_size  # bytes
    assert found["packed"]["logits"] == 4 * row
    for name in ("padded", "hugging_face"):  # logits and their log-softmax, at least
        assert found[name]["logits"] >= 2 * config.batch_size * LONGEST * row
    assert all(memory["peak"] > 10**7 for memory in found.values())


def test_memory_is_told_by_a_process_for_each_way(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        benchmark, "load_sentences", lambda *_: SimpleNamespace(splits={"train": SimpleNamespace(token_ids=[])})
    )
    monkeypatch.setattr(benchmark, "open_tokenizer", lambda _: SimpleNamespace(eot_token=END))
    monkeypatch.setattr(benchmark, "memory_of", lambda name, *_: {"peak": 3e9, "logits": len(name) * 1e6})

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        asked.append(command[command.index("--child") + 1])
        monkeypatch.setattr(sys, "argv", command[1:])
        benchmark.main()
        return SimpleNamespace(stdout=capfd.readouterr().out)

    monkeypatch.setattr(benchmark.subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["benchmark", "--parts", "memory", "--threads", "1"])
    benchmark.main()
    assert asked == list(benchmark.STEPS)
    assert "| hugging face |  |  |  | 3,000 MB | 12 MB |" in capfd.readouterr().out
