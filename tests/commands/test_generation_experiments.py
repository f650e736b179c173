"""The command of the language model from end to end, on the embedded miniature: no network, no real data."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import generation_experiments
from ablation.config.experiment import config_hash
from ablation.config.generation import DEMO_SAMPLES, SAMPLES, LanguageModelConfig
from ablation.config.generation_rows import GENERATION, GENERATION_ROW_SETS, NAMES
from ablation.config.settings import ConfigError, fields_of
from ablation.data.demo import DISCLAIMER
from ablation.environment import python_command
from ablation.execution.sentence_losses import packed_losses
from ablation.execution.vocabulary_loss import ROWS_OF_LOGITS
from ablation.model.normal_weights import normal_weights
from ablation.results.read import read_results
from ablation.run import kinds, sentence_memory
from ablation.run.next_steps import next_steps
from ablation.run.sentence_summary import SentenceSummary
from ablation.tasks.language_model import LANGUAGE_MODEL
from previous_chapters import GPTModel
from tests.support.terminal import a_terminal

PROJECT = Path(__file__).resolve().parents[2]
FEW = ["--n_train", "32", "--n_validation", "8", "--n_test", "8", "--num_epochs", "1", "--max_len", "8"]
TINY = ["--demo", "--n_layers", "1", "--emb_dim", "8", "--n_heads", "2", *FEW]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def keep_signal_handlers() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def errors(text: str) -> list[str]:
    return [line.removeprefix("error: ") for line in text.splitlines() if line.startswith("error: ")]


def refused(command: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the command is refused with, before anything is loaded."""
    try:
        status = generation_experiments.main(shlex.split(command))
    except SystemExit as stopped:  # an unknown flag
        status = int(stopped.code or 0)
    assert status == 2
    return errors(capsys.readouterr().err)


# ---- a run that ends well -------------------------------------------------------------------------------------------


def test_a_demo_run_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its screen at 80 columns, its rows, its folder, what comes next; and a plan that knows how long it took."""
    monkeypatch.chdir(tmp_path)
    with a_terminal(80) as terminal:
        assert generation_experiments.main([*TINY, "--n_samples", "3", "--save_model"]) == 0
    screen = terminal.getvalue()
    lines = re.split("[\r\n]", screen)
    wide = [line.strip() for line in lines if len(line) > 80 and "|" not in line]  # bars fit a real terminal
    assert all(" " not in line or line.startswith(f"{python_command()} ") for line in wide), wide
    result = screen[screen.index("result: demo, variant ") :]
    assert " ".join(DISCLAIMER.split()) in " ".join(result.split())
    with (tmp_path / "results/demo/generation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["decoding"], row["temperature"]) for row in rows] == [
        (way, heat) for way in ("random", "top_p", "top_k") for heat in ("0.7", "1.0")
    ]
    for row in rows:
        way = f"{row['decoding']} {float(row['temperature']):g}"
        bleu = [f"{float(row[f'{name}_bleu']):.3f}" for name in ("forward", "backward", "harmonic")]
        assert re.search(rf"^  {way} +{' +'.join(bleu)}$", result, re.MULTILINE), (way, bleu)
    figures = {"test perplexity": "test_perplexity", "test perplexity per token": "test_token_perplexity"}
    for title, column in figures.items():
        assert re.search(rf"^  {title} +{float(rows[0][column]):,.2f}$", result, re.MULTILINE)
    assert "standing: the only configuration in these results so far" in result and "published" not in result.replace(
        "beside no published ones", ""
    )
    assert "6 rows appended to results/demo/generation.csv" in result
    folder = tmp_path / "results/demo/runs" / rows[0]["run_id"]
    samples = [f"samples_{row['decoding']}_{float(row['temperature']):g}.txt" for row in rows]
    assert sorted(path.name for path in folder.iterdir() if path.suffix in (".txt", ".csv", ".safetensors")) == sorted(
        ["losses.csv", "epochs.csv", "trained.safetensors", *samples]
    )
    assert len(json.loads((folder / "run.json").read_text())["evaluations"]) == 6
    assert f"--run results/demo/runs/{rows[0]['run_id']} --generate A" in result[result.index("\nnext:\n") :]

    assert generation_experiments.main([*TINY, "--n_samples", "30", "--dry_run"]) == 0
    (planned,) = re.findall(r"^time +(.*)$", capsys.readouterr().out, re.MULTILINE)
    assert planned.startswith("about ")


def test_a_run_that_generates_nothing_says_so_and_a_quiet_one_its_result_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*TINY, "--n_samples", "0", "--quiet", "--decoding", "greedy", "--results_dir", str(tmp_path)]
    assert generation_experiments.main(command) == 0
    said = capsys.readouterr()
    assert said.out.startswith("result: demo, variant ") and said.out.splitlines()[-1].startswith("full record: ")
    assert "\ngenerated: nothing (--n_samples 0)\n" in said.out and "BLEU" not in said.out
    assert said.err == "warning: --decoding has no effect with --n_samples 0, which generates nothing\n"
    (run,), problems = read_results(tmp_path, LANGUAGE_MODEL)
    assert not problems and run["n_samples"] == "0"


@pytest.mark.slow
def test_an_interrupted_run_appends_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(PROJECT / "generation_experiments.py"), *TINY, "--n_samples", "0"]
    command += ["--num_epochs", "100000", "--patience", "100000", "--results_dir", str(tmp_path / "results")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None and run.stderr is not None
        try:
            assert any(line.startswith("Ep 1 (Step 000001)") for line in run.stdout)
            run.send_signal(signal.SIGTERM)
            run.stdout.close()
            stderr = run.stderr.read()
            assert run.wait(60) == 130
        finally:
            run.kill()
    assert errors(stderr) == ["interrupted: nothing was appended to the results"]
    assert not list((tmp_path / "results").glob("*.csv"))


# ---- the summary of a published row ----------------------------------------------------------------------------------


def published_row(number: int, **changes: Any) -> tuple[LanguageModelConfig, list[dict[str, Any]]]:
    """Rows that a run of a published row could have appended."""
    config, _, _ = GENERATION.read(["--row", str(number)])
    shared = dict.fromkeys(LANGUAGE_MODEL.columns) | {
        "run_id": "r", "row": number, "data_digest": "d", "validation_perplexity": 17.123, "test_perplexity": 15.876,
        "test_token_perplexity": 1234.5, "best_epoch": 7, "epochs": 8, "training_minutes": 90.0, "n_samples": 5000,
        "steps_to_30": 938, "steps_to_20": None, "steps_to_18": None,
    }  # fmt: skip
    figures = {"forward_bleu": 0.81, "backward_bleu": 0.49, "harmonic_bleu": 0.611}
    return config, [{**shared, **way.settings, **figures, **changes} for way in config.decodings]


def test_beside_a_published_row_stand_the_published_figures_in_80_columns() -> None:
    config, rows = published_row(1)
    text = SentenceSummary(LANGUAGE_MODEL, config, rows, {}, [], ("x" * 200,) * 6).describe()
    assert text.startswith("result: row 1, seed 123\n")
    assert re.search(r"^  validation perplexity +17\.12 +17\.44$", text, re.MULTILINE)
    assert re.search(r"^  test perplexity +15\.88 +15\.31$", text, re.MULTILINE)
    assert re.search(r"^  test perplexity per token +1,234\.50 +–$", text, re.MULTILINE)
    assert re.search(r"^  best epoch +7 of 8$", text, re.MULTILINE)
    assert "\nvalidation perplexity: 30 after 938 steps\n" in text
    assert re.search(r"^  random 0\.7 +0\.810 +0\.490 +0\.611 +0\.800 +0\.487 +0\.605$", text, re.MULTILINE)
    assert re.search(r"^  top_k 1 +0\.810 +0\.490 +0\.611 +0\.682 +0\.511 +0\.584$", text, re.MULTILINE)
    assert max(map(len, text.splitlines()[:-2])) <= 80


@pytest.mark.parametrize("changes", [{"top_k": 5}, {"row": None}], ids=str)
def test_another_cut_or_another_run_stands_beside_no_published_figure(changes: dict[str, Any]) -> None:
    config, rows = published_row(1, **changes)
    text = SentenceSummary(LANGUAGE_MODEL, config, rows, {}, [], ()).describe()
    assert "0.800" not in text and ("15.31" in text) == ("row" not in changes)


def test_next_to_a_demo_is_the_same_row_with_gpt2() -> None:
    config = LanguageModelConfig(demo=True, weights="pretrained", models_dir="nowhere")
    steps = next_steps(SentenceSummary(LANGUAGE_MODEL, config, [{"run_id": "2-1", "row": 2}], {}, [], ()))
    assert [step.command.partition("python ")[2] for step in steps] == [
        "report.py --demo", "generation_experiments.py --row 2 --models_dir nowhere",
    ]  # fmt: skip


# ---- a plan ---------------------------------------------------------------------------------------------------------


def test_a_plan_says_what_a_run_would_do_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert generation_experiments.main(["--demo", "--row", "4", "--method", "lora", "--dry_run"]) == 0
    plan = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines() if "  " in line)
    said = {name: text.strip() for name, text in plan.items()}
    assert said["starts"] == "from pretrained blocks 1, 2, 3 of 3"
    assert "1,045 / 149 / 300" in said["sentences"]
    assert said["epochs"] == "20 at most, chosen by validation bleu, patience 2, BLEU measured after each"
    assert said["steps"] == "33 an epoch of 32 sentences each, 660 at most"
    assert said["generates"].startswith(f"{DEMO_SAMPLES} sentences in each of these ways: random at temperature 0.7; ")
    assert said["time"].startswith("unknown") and said["to download"] == "nothing"
    assert "train (" in said["parameters"] and "GB free" in said["memory"]
    assert not list(tmp_path.iterdir())


def test_a_plan_names_what_would_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    folders = ["--models_dir", str(tmp_path / "m"), "--data_dir", str(tmp_path / "d"), "--row", "9"]
    assert generation_experiments.main([*folders, "--dry_run"]) == 0
    plan = capsys.readouterr().out
    assert re.search(r"^sentences +not here yet$", plan, re.MULTILINE)
    assert re.search(r"^starts +from pretrained blocks 1, 6, 12 of 12$", plan, re.MULTILINE)
    assert all(f"to download           {kind}: " in plan for kind in ("weights", "captions", "vocabulary"))
    assert generation_experiments.main([*folders, "--offline", "--results_dir", str(tmp_path / "r")]) == 1
    (line,) = errors(capsys.readouterr().err)
    assert all(f"{kind} (in " in line for kind in ("weights", "captions", "vocabulary"))
    assert not (tmp_path / "r").exists()


def test_work_is_that_of_the_products() -> None:
    """Of 6 operations a weight and position: what the plan says of the demo, counted by hand."""
    config, _, _ = GENERATION.read([*TINY])
    corpus = LANGUAGE_MODEL.load(config, kinds.Listener())
    positions = sum(min(len(sentence) + 1, 8) for sentence in corpus.splits["train"].token_ids)
    weights = 12 * 8 * 8 + 13 * 8 + 2 * 8 + 2000 * 8  # a block's tables and vectors, the last norm, the head
    plan = kinds.describe_plan(LANGUAGE_MODEL, config)
    assert f"about {6 * weights * positions / 1e12:,.3g} TFLOP an epoch over {positions:,} positions" in plan


@pytest.mark.parametrize(("heads", "dropout"), [(2, 0.1), (16, 0.1), (2, 0.0)], ids=str)
def test_activations_are_what_a_step_keeps(heads: int, dropout: float) -> None:
    """What autograd holds on to after a forward pass over sentences of the greatest length."""
    config = LanguageModelConfig(demo=True, n_layers=2, emb_dim=32, n_heads=heads, dropout=dropout, max_len=20,
                                 batch_size=8)  # fmt: skip
    model = GPTModel(config.shape, dropout=dropout)
    model.load_state_dict(normal_weights(config.shape, 1))
    sizes: dict[int, int] = {}

    def hold(tensor: torch.Tensor) -> torch.Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        kept = packed_losses(model.train(), [[5] * 20] * 8, 20, 1)
    for parameter in model.parameters():
        sizes.pop(parameter.untyped_storage().data_ptr(), None)
    assert kept.mean.requires_grad
    estimate = sentence_memory.estimate_memory(config, CPU, free=10**9)
    logits = 4 * ROWS_OF_LOGITS * config.shape.vocab_size  # which no graph holds
    assert 0.9 < sum(sizes.values()) / (estimate.activations - logits) < 1.15
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert estimate.needed == 20 * parameters  # weights, gradients, two moments, the best epoch's copy, 4 bytes each


def test_a_run_that_cannot_fit_is_refused_and_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sentence_memory, "free_memory", lambda device: 10**5)
    command = [*TINY, "--n_samples", "0", "--quiet", "--results_dir", str(tmp_path / "r")]
    assert generation_experiments.main(command) == 2
    (line,) = errors(capsys.readouterr().err)
    assert "with 1 blocks and --trainable_layers all" in line and line.endswith("try all the same with --force")
    assert not (tmp_path / "r").exists()
    assert generation_experiments.main([*command, "--force"]) == 0


# ---- commands that are refused --------------------------------------------------------------------------------------


def test_all_that_is_wrong_is_found_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = refused(
        "--row 17 --blocks 0 --temperature 0 --top_p 1.5 --decoding nucleus --n_samples -1 --max_len 5000 --n_heads 5"
        f" --dropout 1 --train_file {tmp_path / 'nothing'}",
        capsys,
    )
    assert sorted(found) == sorted([
        "--row 17: the table has rows 1 to 16; give one of them",
        "--blocks 0: give a whole number of at least 1",
        "--dropout 1: is a probability; give a number from 0 on, below 1",
        "--n_samples -1: give a whole number of at least 0",
        "--decoding nucleus: did you mean top_p? choose one of greedy, random, top_p, top_k, top_k_top_p",
        "--temperature 0: give a positive number; without any chance it is --decoding greedy",
        "--top_p 1.5: is a probability; give a number above 0, 1 at most",
        "--n_heads 5: does not divide the width 768; give a divisor of it, or another --emb_dim",
        "--max_len 5000: the model has 1024 positions, one is the start; give 1 to 1023",
        f"--train_file {tmp_path / 'nothing'}: give --validation_file and --test_file, too",
        f"--train_file {tmp_path / 'nothing'}: no such file; check the path",
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("--weights pretrained --blocks 1,13", "--blocks 1,13: gpt2-small (124M) has blocks 1 to 12; give some"),
        ("--weights pretrained --blocks 2,1,2", "--blocks 2,1,2: give each block once, counted from 1: 1,6,12"),
        ("--blocks 2,1", "--blocks 2,1: names pretrained blocks; add --weights pretrained, or give --n_layers"),
        ("--demo --row 9", "--blocks 1,6,12: gpt2-nano (demo) has blocks 1 to 3; give some of them"),
        ("--temperature 0.7,x", "--temperature 0.7,x: give a positive number; without any chance"),
        ("--decoding random,beam", "--decoding random,beam: choose one of greedy, random, top_p, top_k, top_k_top_p"),
        ("--method dora", "--method dora: did you mean lora? choose one of lora, bitfit, norms"),
        ("--lora_targets query", "give --method lora, or leave --lora_targets out"),
        ("--bottleneck 4", "--bottleneck 4: belongs to a --method, and this is --trainable_layers all; leave it out"),
        ("--method lora --lora_targets head", "a language model's head is its vocabulary; leave head out"),
        ("--precision bf16", "--precision bf16: a language model is trained in fp32; leave it out"),
        ("--execution recorded", "--execution recorded: choose one of planned, naive"),
        ("--tie_head --trainable_layers last_layer", "there is no layer of its own to train"),
        ("--weights pretrained --n_heads 6", "--n_heads 6: pretrained weights have a fixed shape; add"),
        ("--train_file . --validation_file . --test_file .", "--train_file .: is a folder; check the path"),
        ("--n_layers 100000", "--n_layers 100000: give a whole number of at most 1000"),  # not: tried for minutes
        ("--emb_dim 3000000000 --n_heads 1", "--emb_dim 3000000000: give a whole number of at most 1000000"),
        ("--test_file x", "--test_file x: give --train_file and --validation_file, too"),
        ("--device cuda:7 --demo --dry_run", "--device cuda:7: "),
        ("--context_length 5", "did you mean --max_len?"),
        ("--weight_decay 0.1", "that is for classifiers: additional_experiments.py takes it"),
        ("--average_embeddings", "that is for classifiers: additional_experiments.py takes it"),
        ("--drop_rate 0.1", "did you mean --dropout?"),
        ("--optimizer sgd", "as published it is Adam at a constant rate; --learning_rate sets it"),
    ],
    ids=str,
)
def test_each_is_refused_in_one_line(command: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = refused(command, capsys)
    assert any(expected in line for line in found), found


def test_what_only_the_sentences_tell_is_said_before_any_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Too many sentences asked for, and lines that are none, by number; from a plan as from a run."""
    monkeypatch.setattr("ablation.run.language_model._starting_values", None)  # must not be come to
    bad = {"train": b"a\n\nb\n", "validation": b"a\n", "test": b"\xff\n"}
    for name, content in bad.items():
        (tmp_path / f"{name}.txt").write_bytes(content)
    own = [word for name in bad for word in (f"--{name}_file", str(tmp_path / f"{name}.txt"))]
    for flags, expected in (
        (["--n_train", "2000", "--n_test", "301"], "--n_train 2000, but there are 1,045 sentences; --n_test 301, but"),
        (own, f"{tmp_path / 'train.txt'}, line 2 is empty; remove the line; {tmp_path / 'test.txt'}, line 1: "),
    ):
        for plan in ([], ["--dry_run"]):
            command = ["--demo", *flags, "--results_dir", str(tmp_path / "r"), *plan]
            assert generation_experiments.main(command) == 1
            (line,) = errors(capsys.readouterr().err)
            assert expected in line
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("command", "warned"),
    [
        ("--top_k 5 --decoding greedy,top_p", ["top_k"]),
        ("--top_k 5 --top_p 0.5 --decoding top_k_top_p", []),
        ("--temperature 0.5 --decoding greedy", ["temperature"]),
        ("--decoding top_p --temperature 1 --top_p 0.5 --n_samples 0", ["decoding", "temperature", "top_p"]),
        ("--patience 2 --num_epochs 2", ["patience"]),
        ("--patience 2 --num_epochs 3", []),
        ("--order_seed 5 --shuffle never", ["order_seed"]),
        ("--validation_bleu --select_by bleu", ["validation_bleu"]),
        ("--demo --data sms --model_size medium", ["data", "model_size"]),
        ("--lora_rank 4", ["lora_rank"]),
    ],
    ids=str,
)
def test_what_has_no_effect_is_said_and_is_the_same_run(command: str, warned: list[str]) -> None:
    config, warnings, _ = GENERATION.read(shlex.split(command))
    assert sorted(re.findall(r"^--(\w+) has no effect ", "\n".join(warnings), re.MULTILINE)) == warned
    assert "--method lora" in "".join(warnings) or warned != ["lora_rank"]
    usual = {name: fields_of(LanguageModelConfig)[name].default for name in warned if name != "model_size"}
    if "model_size" not in warned:  # of the demo, which tells its rows by it
        kept = {name: getattr(config, name) for name in fields_of(LanguageModelConfig)} | usual
        assert config_hash(LanguageModelConfig(**kept)) == config_hash(config)


# ---- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "row"),
    [
        ("--n_heads 12 --n_layers 3 --emb_dim 768 --patience 1", 1),
        ("--weights pretrained --blocks 1,2,3", 2),
        ("--select_by bleu --patience 2", 3),
        ("--weights pretrained --blocks 1,6,12 --n_samples 10 --decoding greedy", 9),
        ("--n_heads 192", 16),
    ],
    ids=str,
)
def test_a_row_may_be_typed_by_its_flags(command: str, row: int) -> None:
    config, warnings, _ = GENERATION.read(shlex.split(command))
    assert not warnings
    assert config_hash(config) == config_hash(GENERATION.read(["--row", str(row)])[0])
    assert config.n_samples in (SAMPLES, 10)


def test_the_demo_has_the_rows_that_its_miniature_can_run() -> None:
    possible = []
    for row in NAMES:
        try:
            GENERATION.read(["--demo", "--row", str(row)])
        except ConfigError:
            continue
        possible.append(row)
    assert tuple(possible) == GENERATION_ROW_SETS["demo"]


def test_rows_are_listed_by_number_and_published_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert generation_experiments.main(["--list_rows"]) == 0
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    found = re.findall(r"^ *(\d+) +(?:[\d.]+|–) +(\S+) {2,}(?=\S)", output, re.MULTILINE)
    assert {int(row): name for row, name in found} == NAMES


def test_help_fits_80_columns_and_shows_nothing_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        generation_experiments.main(["--help"])
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    flags = set(re.findall(r"^  --(\w+)", output, re.MULTILINE))
    assert {"n_samples", "blocks", "row", "run", "generate", "save_model"} <= flags
    assert not flags & set(LanguageModelConfig.OF_OTHERS)
