"""Before anything is loaded: device, memory; and what a run out of memory says."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest
import torch

from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.rows import row_config
from ablation.model.classifier import assemble
from ablation.results.run_folder import describe_result
from ablation.run import memory
from ablation.run.experiment import feature_stages, run_experiment
from ablation.run.inputs import RunError, resolve_device
from ablation.run.memory import check_memory, estimate_memory, feature_memory
from ablation.tasks.spam import SPAM
from tests.support.tiny import CPU, make_messages, tiny_config


@pytest.mark.parametrize(
    ("row", "gigabytes"),
    [
        (9, 24.9),  # GPT-2 XL whole: weights, gradients, two moments
        (10, 2.0),
        (1, 0.11),  # the trainable block only: frozen weights are read from the mapped file
        (8, 0.49),
    ],
)
def test_memory_estimate(row: int, gigabytes: float) -> None:
    estimate = estimate_memory(row_config(row), CPU, free=80 * 10**9)
    assert estimate.needed / 1e9 == pytest.approx(gigabytes, rel=0.05)


@pytest.mark.parametrize(
    ("row", "gigabytes"),
    [
        (12, 6.6),  # LoRA on GPT-2 XL: frozen blocks compute at every step, and have to be on the device
        (9, 24.9),
        (1, 0.11),  # the trainable block only: the others pass through once, one by one
        (8, 0.49),
    ],
)
def test_memory_estimate_on_cuda(row: int, gigabytes: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * 10**9, 80 * 10**9))
    estimate = estimate_memory(row_config(row), torch.device("cuda"))
    assert estimate.needed / 1e9 == pytest.approx(gigabytes, rel=0.05)
    assert estimate.free == 80 * 10**9


def test_memory_estimate_on_cuda_counts_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights are drawn in the main memory; a naive run has the whole model on the device."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * 10**9, 80 * 10**9))
    cuda, trainable = torch.device("cuda"), 7_090_946
    assert estimate_memory(row_config(1, weights="random"), cuda).needed == 16 * trainable
    assert estimate_memory(row_config(1, execution="naive"), cuda).needed == 4 * 124_441_346 + 12 * trainable


def test_random_weights_and_naive_execution_count_the_whole_model() -> None:
    whole = 4 * 124_441_346
    for config in (row_config(1, weights="random"), row_config(1, execution="naive")):
        assert estimate_memory(config, CPU).needed == whole + 12 * 7_090_946


def test_waiting_for_memory_builds_no_model_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep asks ten times a second; only what is free changes."""
    first = estimate_memory(row_config(1), CPU).needed
    monkeypatch.setattr(memory, "assemble", None)
    assert estimate_memory(row_config(1), CPU).needed == first


def test_a_run_that_cannot_fit_is_refused_with_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10 * 10**9))
    with pytest.raises(ConfigError, match=r"gpt2-xl .* all: .*24\.9 GB, 10\.0 GB are free; .*--force"):
        check_memory(row_config(9), CPU)
    check_memory(row_config(10), CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--device cuda: .*auto or cpu"):
        resolve_device(ExperimentConfig(device="cuda"))
    assert resolve_device(ExperimentConfig()) == CPU


@pytest.mark.parametrize(
    ("flag", "value", "instead"), [("precision", "tf32", "fp32"), ("execution", "recorded", "planned")]
)
def test_what_only_cuda_has_is_refused_on_a_cpu(flag: str, value: str, instead: str) -> None:
    config = ExperimentConfig(**{"device": "cpu", flag: value})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=rf"--{flag} {value}: only CUDA devices .* give {instead}"):
        resolve_device(config)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_out_of_memory_says_what_to_reduce(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(SPAM, "load", fail)
    with pytest.raises(RunError, match=r"out of memory with --batch_size 8: .*smaller"):
        run_experiment(SPAM, ExperimentConfig(device="cpu"))


def test_other_errors_are_not_taken_for_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("a mistake in the code")

    monkeypatch.setattr(SPAM, "load", fail)
    with pytest.raises(RuntimeError, match="a mistake in the code"):
        run_experiment(SPAM, ExperimentConfig(device="cpu"))


def test_stages_hold_every_message_once() -> None:
    config = tiny_config(batch_size=4)  # eval_iter 2: training looks at 8 validation messages
    first, second = feature_stages(make_messages(config), config)
    assert first["train"].tolist() == list(range(40))
    assert first["validation"].tolist() == list(range(8))
    assert second["validation"].tolist() == list(range(8, 12))
    assert second["test"].tolist() == list(range(14))


def test_feature_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert feature_memory(ExperimentConfig(feature_memory=0.5)) == 5 * 10**8
    for free, expected in ((100 * 10**9, 2 * 10**9), (4 * 10**9, 10**9)):
        monkeypatch.setattr(psutil, "virtual_memory", lambda free=free: SimpleNamespace(available=free))
        assert feature_memory(ExperimentConfig()) == expected


@pytest.mark.parametrize("execution", ["planned", "naive"])
@pytest.mark.parametrize("row", [5, 11])
def test_parameter_counts_are_the_models_whatever_of_it_is_computed(row: int, execution: str) -> None:
    config = row_config(row, demo=True, execution=execution, max_steps=1, eval_iter=1, context_length=8)
    result = run_experiment(SPAM, config)
    expected = assemble(config, config.shape).count_parameters()
    assert (result.facts.total_parameters, result.facts.trainable_parameters) == expected


def test_a_row_says_the_threads_that_were_in_use() -> None:
    """The process has its own number again when the row is written."""
    config = row_config(1, demo=True, max_steps=1, eval_iter=1, context_length=8, threads=2)
    (row,) = describe_result(SPAM, run_experiment(SPAM, config)).rows
    assert row["threads"] == 2 != torch.get_num_threads()
