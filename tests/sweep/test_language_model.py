"""Sweeps of the language model: its rows and flags, what is done, what a run here or elsewhere is given."""

from __future__ import annotations

import csv
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

import sweep
from ablation.config.command_lines import COMMAND_LINES
from ablation.config.generation import LanguageModelConfig
from ablation.config.generation_rows import GENERATION
from ablation.data.demo import WEIGHTS
from ablation.listener import Listener
from ablation.results.run_folder import write_run
from ablation.run.inputs import foreign_digests
from ablation.run.language_model import load_inputs, run_language_model
from ablation.run.progress_file import ProgressFile, RunProgress, read_progress
from ablation.sweep.inputs import check_inputs
from ablation.sweep.live import describe_progress
from ablation.sweep.machine import added_flags
from ablation.sweep.plan import PlannedRun, SweepOptions, plan_runs
from ablation.sweep.ray_engine import run_on_node, with_absolute_paths
from ablation.sweep.state import Results, foreign_of, survey
from ablation.tasks.language_model import LANGUAGE_MODEL
from ablation.tasks.registry import TASKS
from tests.support.tiny_language_model import SIZES, tiny_config
from tests.sweep.test_sweep_ray import PATIENCE, cluster, needs_ray, wait_for

__all__ = ["cluster"]  # a fixture

TINY = " ".join(f"--{name} {value}" for name, value in SIZES.items())


def options_of(line: str) -> SweepOptions:
    given = sweep.make_parser(GENERATION).parse_args(["--task", "language_model", *line.split()])
    return sweep.read_options(LANGUAGE_MODEL, given, [])


def planned(line: str) -> list[PlannedRun]:
    options = options_of(line)
    return plan_runs(
        GENERATION, options.rows, options.seeds, options.flags, lambda config: foreign_of(LANGUAGE_MODEL, config)
    )[0]


def test_a_command_knows_the_tasks_that_there_are() -> None:
    assert {name: task.command_line for name, task in TASKS.items()} == dict(COMMAND_LINES)


def test_the_flags_are_those_of_the_task(capsys: pytest.CaptureFixture[str]) -> None:
    for task, own, others in (("language_model", "--tie_head", "--no_padding"), ("spam", "--no_padding", "--tie_head")):
        with pytest.raises(SystemExit):
            sweep.main(["--task", task, "--help"])
        words = capsys.readouterr().out.split()
        assert own in words and others not in words
    with pytest.raises(SystemExit):
        sweep.main(["--task", "poems", "--rows", "1"])
    assert capsys.readouterr().err.startswith("error: argument --task: invalid choice: 'poems'")


@pytest.mark.parametrize(
    ("rows", "count"), [("1-16", 16), ("all", 16), ("scratch", 9), ("heads", 8), ("heads,2", 9), ("1-17", 0)]
)
def test_rows_are_those_of_the_task(rows: str, count: int) -> None:
    if count:
        assert len(planned(f"--rows {rows} --seeds 1-2 --n_samples 0")) == 2 * count
    else:
        with pytest.raises(ValueError, match="there is no 17; give 1 to 16, or all, scratch, heads"):
            options_of(f"--rows {rows}")


def test_a_comma_within_blocks_or_a_way_of_decoding_belongs_to_the_value() -> None:
    line = "--rows 2 --blocks {} --decoding greedy,random --temperature 0.7,1 --demo"
    (run,) = planned(line.format("3,1"))
    assert run.name == "row 2, seed 123" and run.config.blocks == "3+1"
    assert [way.name for way in run.config.decodings] == ["greedy", "random", "random"]
    assert [run.name for run in planned(line.format("3+1,all"))] == [
        "row 2, blocks 3+1, seed 123", "row 2, blocks all, seed 123",
    ]  # fmt: skip
    rates = planned("--rows 1 --learning_rate 1e-4,1e-3 --n_train 8,4 --demo")
    assert [(run.config.learning_rate, run.config.n_train) for run in rates] == [
        (1e-4, 8), (1e-4, 4), (1e-3, 8), (1e-3, 4),
    ]  # fmt: skip


def test_a_run_of_several_rows_is_done_once(language_model_results: Path) -> None:
    """And not where it would be trained on other sentences, or from other weights."""
    where = f"--demo {TINY} --results_dir {language_model_results}"
    for flags, done in (
        (where, 1), (f"{where} --decoding random", 1), (where.replace("--n_train 8", "--n_train 7"), 0),
        (f"{where} --blocks 1", 0),
    ):  # fmt: skip
        options = options_of(f"--rows 2 --seeds 123 {flags}")
        plan = planned(f"--rows 2 --seeds 123 {flags}")
        state = survey(Results.of(LANGUAGE_MODEL, plan), plan, options)
        assert (len(state.done), len(state.to_run)) == (done, 1 - done), flags
    (value,) = survey(Results.of(LANGUAGE_MODEL, planned(f"--rows 2 {where}")), planned(f"--rows 2 {where}"),
                      options_of(f"--rows 2 {where}")).done.values()  # fmt: skip
    (record,) = [json.loads(file.read_text()) for file in language_model_results.glob("runs/*/run.json")]
    assert value == record["test_perplexity"]


def test_sentences_and_weights_of_ones_own_are_known_before_and_after_by_the_same_digests(tmp_path: Path) -> None:
    tensors = load_file(WEIGHTS)
    tensors[min(tensors)] = tensors[min(tensors)] * 2
    save_file(tensors, tmp_path / "mine.safetensors")
    (tmp_path / "lines.txt").write_text("One line.\nAnother.\n")
    lines = {f"{split}_file": str(tmp_path / "lines.txt") for split in ("train", "validation", "test")}
    config = replace(
        tiny_config(tmp_path, **lines), weights_path=str(tmp_path / "mine.safetensors"), blocks="2",
        n_train=None, n_validation=None, n_test=None,
    )  # fmt: skip
    inputs = load_inputs(LANGUAGE_MODEL, config, torch.device("cpu"), Listener())
    assert set(inputs.foreign) == {"weights_digest", "data_digest"}
    assert dict(inputs.foreign) == foreign_digests(LANGUAGE_MODEL, config)
    assert inputs.facts.weights_digest == load_inputs(
        LANGUAGE_MODEL, replace(config, blocks="1+3"), torch.device("cpu"), Listener()
    ).facts.weights_digest  # the base's, whichever blocks are taken
    assert LANGUAGE_MODEL.data_digest(config) == inputs.facts.data_digest


def test_what_is_lacking_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)  # nor is the vocabulary at hand
    runs = planned(f"--rows 1,2 --seeds 1-2 --offline --data_dir {tmp_path} --models_dir {tmp_path}")
    told = check_inputs(LANGUAGE_MODEL, runs, forced=True)
    assert len(told) == 3 and all(line.startswith("--offline, and no ") for line in told)
    assert any("no captions in" in line and "(for all rows)" in line for line in told)
    assert any("no weights in" in line and "(for row 2)" in line for line in told)


def test_a_run_here_is_given_threads_and_no_folder_of_features() -> None:
    assert added_flags(LanguageModelConfig(threads=1), 2) == []
    assert added_flags(LanguageModelConfig(), 2)[0] == "--threads"


def test_a_node_brings_home_what_the_results_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = with_absolute_paths(tiny_config(Path("there"), decoding="greedy,random", n_samples=2))
    assert Path(config.results_dir) == tmp_path / "there"
    record: Any = pickle.loads(pickle.dumps(run_on_node(LANGUAGE_MODEL, config, False)))
    write_run(tmp_path / "here", LANGUAGE_MODEL, record)
    assert len((tmp_path / "here" / "generation.csv").read_text().splitlines()) == 4
    assert list((tmp_path / "here").glob("runs/*/trained.safetensors"))


def test_a_person_sees_how_far_an_epoch_is(tmp_path: Path) -> None:
    assert describe_progress(RunProgress("epoch 3", 120, 469)) == "epoch 3, step 120 of 469"
    assert describe_progress(RunProgress("top_p 0.9 at temperature 0.7", 50, 200)) == "top_p 0.9 at temperature 0.7 25%"
    file = ProgressFile(tmp_path / "progress")
    for work, between in (("load", "preparing"), ("epoch 1", "evaluating"), ("validation", "evaluating")):
        file.work_started(work, 2, "batches")
        file.work_ended()
        assert describe_progress(read_progress(tmp_path / "progress")) == between


# ---- slow ones: processes of their own -------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_runs_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--task", "language_model", "--rows", "1,2", "--demo", "--results_dir", str(tmp_path), *TINY.split()]
    command += ["--decoding", "greedy,random", "--temperature", "1", "--n_samples", "3"]
    assert sweep.main([*command, "--seeds", "1"]) == 0
    assert sweep.main([*command, "--seeds", "1-2", "--jobs", "2"]) == 0
    out = capsys.readouterr().out
    assert "4 planned, 2 done, 2 to run; time: about" in out and out.count(": finished, test perplexity") == 4
    assert len((tmp_path / "generation.csv").read_text().splitlines()) == 1 + 4 * 2
    assert list((tmp_path / "sweep").iterdir()) == []


def start_sweep(folder: Path, *own: str) -> subprocess.Popen[bytes]:
    flags = {**SIZES, "n_train": 64, "batch_size": 1, "num_epochs": 3, "n_samples": 0, "checkpoint_every": 0.0001}
    given = [f"--{name}={value}" for name, value in {**flags, "results_dir": folder / "results"}.items()]
    program = [sys.executable, sweep.__file__, "--task", "language_model", "--rows", "1", "--demo", *own, *given]
    with (folder / "sweep.log").open("ab") as log:
        return subprocess.Popen([*program, f"--checkpoint_dir={folder / 'kept'}"], stdout=log, stderr=log)


def only_row(folder: Path) -> dict[str, str]:
    with (folder / "results" / "generation.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    return row


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    first = start_sweep(tmp_path)
    wait_for(lambda: any((tmp_path / "kept").rglob("*.snapshot")))
    (run,) = psutil.Process(first.pid).children()
    first.kill()
    run.kill()
    assert first.wait(PATIENCE) != 0
    assert start_sweep(tmp_path).wait(PATIENCE) == 0, (tmp_path / "sweep.log").read_text()
    whole = run_language_model(LANGUAGE_MODEL, tiny_config(
        tmp_path, weights="random", n_train=64, batch_size=1, num_epochs=3, n_samples=0
    ))  # fmt: skip
    row = only_row(tmp_path)
    assert int(row["resumed"]) >= 1, (tmp_path / "sweep.log").read_text()
    assert float(row["test_perplexity"]) == whole.test.perplexity


@needs_ray
@pytest.mark.slow
def test_a_cluster_runs_them_too(tmp_path: Path, cluster: Any) -> None:
    whole, _ = cluster
    engine = ["--engine", "ray", "--ray_address", whole.address, "--num_cpus", "1"]
    assert start_sweep(tmp_path, *engine).wait(PATIENCE) == 0, (tmp_path / "sweep.log").read_text()
    assert only_row(tmp_path)["results_dir"] == str(tmp_path / "results")
