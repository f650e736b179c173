"""A run of the language model, from its configuration to its folder and rows."""

from __future__ import annotations

import csv
import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from ablation.config.base_run import TRAINED_PARAMETERS, find_base_run
from ablation.config.decoding import Decoding
from ablation.config.experiment import config_hash, identity
from ablation.data.demo import WEIGHTS, load_demo_tokenizer
from ablation.data.sentences import load_sentences
from ablation.environment import PROJECT
from ablation.model.weights import open_weights
from ablation.results.language_model import Epoch, Fit, LanguageModelResult, SentenceHistory, SpokenBleu
from ablation.results.language_model_record import describe_language_model
from ablation.results.read import read_results
from ablation.results.runs import read_run, rebuild, rows_of
from ablation.run import language_model
from ablation.run.inputs import RunError, foreign_digests
from ablation.run.kinds import save_result
from ablation.run.speaking import Speaker
from ablation.sweep.state import Digests
from ablation.tasks.language_model import LANGUAGE_MODEL, PUBLISHED_DATA_DIGEST
from ablation.texts.bleu import forward_backward
from tests.support.sentence_runs import Noting, found_out, run_tiny, tiny, training_losses

pytestmark = pytest.mark.usefixtures("few_messages")


def table(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def numbers(lines: list[dict[str, str]], column: str) -> list[float]:
    return [float(line[column]) for line in lines]


# ---- what a run leaves -----------------------------------------------------------------------------------------------


def test_what_a_run_leaves(tmp_path: Path) -> None:
    result = run_tiny(tmp_path, decoding="greedy,top_k", temperature="0.7,1", validation_bleu=True, save_model=True)
    rows = save_result(LANGUAGE_MODEL, result)
    folder = tmp_path / "runs" / rows[0]["run_id"]
    assert {file.name for file in folder.iterdir()} == {
        "run.json", "README.md", "losses.csv", "epochs.csv", "trained.safetensors",
        "samples_greedy_1.txt", "samples_top_k_0.7.txt", "samples_top_k_1.txt",
    }  # fmt: skip

    losses, epochs, history = table(folder / "losses.csv"), table(folder / "epochs.csv"), result.history
    assert list(losses[0])[:3] == ["epoch", "step", "train_loss"]
    assert numbers(losses, "step") == [0, 1, 2, 3, 4, 5] and numbers(losses, "epoch") == [1, 1, 1, 2, 2, 2]
    assert numbers(losses, "train_loss") == training_losses(result)
    assert [numbers(epochs, column) for column in ("epoch", "train_loss", "validation_loss")] == [
        [1, 2], [epoch.train_loss for epoch in history.epochs], [epoch.validation.loss for epoch in history.epochs]
    ]  # fmt: skip
    assert numbers(epochs, "validation_harmonic_bleu") == [
        epoch.bleu.harmonic for epoch in history.epochs if epoch.bleu
    ]

    for spoken in result.spoken:
        lines = (folder / f"{spoken.decoding.file_stem}.txt").read_text(encoding="utf-8").splitlines()
        assert tuple(lines) == spoken.texts and len(lines) == 3

    assert [(row["decoding"], row["temperature"], row["top_k"]) for row in rows] == [
        ("greedy", 1.0, None), ("top_k", 0.7, 40), ("top_k", 1.0, 40)
    ]  # fmt: skip
    assert len({row["forward_bleu"] for row in rows}) > 1 and len({row["test_perplexity"] for row in rows}) == 1
    record = read_run(folder / "run.json")
    assert [{column: row.get(column) for column in LANGUAGE_MODEL.columns} for row in rows_of(record)] == [
        json.loads(json.dumps(row)) for row in rows
    ]
    written = (tmp_path / "generation.csv").read_bytes()
    assert len(written.splitlines()) == 4
    read, problems = read_results(tmp_path, LANGUAGE_MODEL)
    assert not problems and [run["decoding"] for run in read] == ["greedy", "top_k", "top_k"]
    (tmp_path / "generation.csv").unlink()
    rebuild(tmp_path, {LANGUAGE_MODEL.name: LANGUAGE_MODEL})
    assert (tmp_path / "generation.csv").read_bytes() == written


def test_a_sentence_is_one_line_whatever_is_in_it() -> None:
    tokenizer = load_demo_tokenizer()
    odd = ["two\nlines", "and\r\nthree\u2028more\x0b.", "", "\n", "last"]
    texts = Speaker(None, tokenizer, 35, 1, Noting()).texts([tokenizer.encode_ordinary(text) for text in odd])  # type: ignore[arg-type]
    assert texts == ("two lines", "and three more .", "", "", "last")
    assert len("".join(f"{text}\n" for text in texts).splitlines()) == len(odd)


def test_no_sentences_where_none_are_wanted(tmp_path: Path) -> None:
    noted = Noting()
    (row,) = save_result(LANGUAGE_MODEL, run_tiny(tmp_path, noted, n_samples=0))
    assert row["n_samples"] == 0 and row["decoding"] is None and row["forward_bleu"] is None
    assert noted.works == ["epoch 1", "validation", "epoch 2", "validation"]
    assert not list(tmp_path.glob("runs/*/samples*"))
    (read,), problems = read_results(tmp_path, LANGUAGE_MODEL)
    assert not problems and read.values["test_perplexity"] == row["test_perplexity"]


def test_the_model_that_is_kept_is_the_best_epochs(tmp_path: Path) -> None:
    result = run_tiny(tmp_path, learning_rate=0.05, num_epochs=6, save_model=True)
    assert result.history.stopped and result.history.best_epoch == len(result.history.epochs) - 1
    until_best = run_tiny(tmp_path, learning_rate=0.05, num_epochs=result.history.best_epoch, save_model=True)
    assert found_out(until_best)[1:4] == found_out(result)[1:4]


# ---- what a run depends on -------------------------------------------------------------------------------------------


def test_the_process_is_left_as_it_was_and_changes_nothing(tmp_path: Path) -> None:
    torch.manual_seed(5)
    first = run_tiny(tmp_path, save_model=True)
    states = [str(torch.get_rng_state().tolist()), str(np.random.get_state()), str(random.getstate())]
    run_tiny(tmp_path, seed=7, method="lora", select_by="bleu")
    assert states == [str(torch.get_rng_state().tolist()), str(np.random.get_state()), str(random.getstate())]
    torch.manual_seed(6)
    assert found_out(run_tiny(tmp_path, save_model=True)) == found_out(first)


@pytest.mark.slow
def test_two_runs_in_one_process_are_two_in_two(tmp_path: Path) -> None:
    """All messages: what leaves most of them out is of this process."""
    program = (
        "from pathlib import Path; from tests.support.sentence_runs import *\n"
        "first, second = (run_tiny(Path('results'), seed=seed, save_model=True) for seed in SEEDS)\n"
        "print(repr([found_out(first), found_out(second)]))"
    )

    def output(seeds: tuple[int, int]) -> list[str]:
        command = [sys.executable, "-c", f"SEEDS = {seeds}\n{program}"]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert output((1, 2)) == output((1, 2))
    assert output((1, 2)) != output((2, 1))


def test_both_executions_give_the_same(tmp_path: Path) -> None:
    planned, naive = (
        run_tiny(tmp_path, dropout=0.0, execution=execution, num_epochs=3) for execution in ("planned", "naive")
    )
    assert training_losses(planned) == pytest.approx(training_losses(naive), abs=1e-5)
    assert planned.test.loss == pytest.approx(naive.test.loss, abs=1e-5)
    assert [one.texts for one in planned.spoken] == [one.texts for one in naive.spoken]
    assert config_hash(planned.config) == config_hash(naive.config)


def test_only_rows_of_tokens_that_occur_train_where_the_execution_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    make = language_model.make_adam

    def noting(parameters: list[torch.nn.Parameter], config: Any) -> torch.optim.Optimizer:
        rows.append(len(parameters[0]))  # of the token embedding
        return make(parameters, config)

    monkeypatch.setattr(language_model, "make_adam", noting)
    planned, naive = (run_tiny(tmp_path, execution=execution, save_model=True) for execution in ("planned", "naive"))
    assert rows[0] < rows[1] == load_demo_tokenizer().n_vocab
    assert planned.tensors["tok_emb.weight"].shape == naive.tensors["tok_emb.weight"].shape


def test_measuring_bleu_changes_no_number_of_the_training(tmp_path: Path) -> None:
    """With dropout: what it drops is drawn by the generator that sentences must not draw from."""
    plain, measured = (run_tiny(tmp_path, validation_bleu=bleu, save_model=True) for bleu in (False, True))
    assert training_losses(plain) == training_losses(measured)
    assert found_out(plain)[1:4] == found_out(measured)[1:4]
    assert all(epoch.bleu is None for epoch in plain.history.epochs)
    assert all(epoch.bleu is not None for epoch in measured.history.epochs)


def test_bleu_after_an_epoch_is_of_as_many_sentences_as_there_are_to_choose_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []
    speak = Speaker.sentences

    def noting(speaker: Speaker, decoding: Decoding, count: int, prompt: Any = ()) -> list[list[int]]:
        asked.append((decoding, count, speak(speaker, decoding, count, prompt)))
        return asked[-1][-1]

    monkeypatch.setattr(Speaker, "sentences", noting)
    result = run_tiny(tmp_path, validation_bleu=True, num_epochs=1, n_samples=0)
    ((decoding, count, generated),) = asked
    assert (decoding, count) == (Decoding("random", 1.0), 6)  # the six validation sentences
    references = load_sentences(result.config, load_demo_tokenizer()).splits["validation"].token_ids
    forward, backward = (float(scores.mean()) for scores in forward_backward(generated, references))
    bleu = result.history.epochs[0].bleu
    assert bleu is not None and (bleu.forward, bleu.backward) == (forward, backward)


def test_steps_to_a_perplexity_are_those_of_whole_epochs() -> None:
    epochs = [Epoch((1.0,) * 4, Fit(math.log(perplexity), 1.0), None) for perplexity in (31, 25, 18.5, 19, 17)]
    history = SentenceHistory(epochs)
    assert [history.steps_to(perplexity) for perplexity in (30, 20, 18, 16)] == [8, 12, 20, None]


def test_two_falls_of_bleu_end_it_and_the_best_by_bleu_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [0.1, 0.3, 0.2, 0.25, 0.2, 0.1, 0.9]

    def scripted(speaker: Any, references: Any) -> Callable[[int], SpokenBleu]:
        return lambda epoch: SpokenBleu(0.5, 0.5, values[epoch - 1])

    two = run_tiny(tmp_path, save_model=True)
    monkeypatch.setattr(language_model, "bleu_after_epoch", scripted)
    result = run_tiny(tmp_path, select_by="bleu", num_epochs=20, save_model=True)
    assert (len(result.history.epochs), result.history.best_epoch, result.history.stopped) == (6, 2, True)
    assert two.history.best_epoch == 2 and found_out(result)[1:4] == found_out(two)[1:4]
    patient = run_tiny(tmp_path, select_by="bleu", num_epochs=7, patience=3)
    assert (len(patient.history.epochs), patient.history.best_epoch) == (7, 7)


@pytest.mark.slow
def test_so_many_steps_and_no_more(tmp_path: Path) -> None:
    whole, cut = run_tiny(tmp_path), run_tiny(tmp_path, max_steps=4)
    assert training_losses(cut) == training_losses(whole)[:4]
    assert [len(epoch.losses) for epoch in cut.history.epochs] == [3, 1] and cut.history.steps == 4
    assert len(run_tiny(tmp_path, max_steps=3).history.epochs) == 1


@pytest.mark.slow
def test_order_and_start_have_seeds_of_their_own(tmp_path: Path) -> None:
    plain = run_tiny(tmp_path)
    other, again = (run_tiny(tmp_path, order_seed=seed) for seed in (9, plain.config.seed))
    assert other.facts.weights_digest == plain.facts.weights_digest and training_losses(other) != training_losses(plain)
    assert training_losses(again) == training_losses(plain)
    never, elsewhere = (run_tiny(tmp_path, shuffle="never", order_seed=seed) for seed in (None, 9))
    assert training_losses(never) == training_losses(elsewhere) != training_losses(plain)


@pytest.mark.slow
def test_a_method_speaks_after_each_epoch_and_is_merged_at_the_end(tmp_path: Path) -> None:
    result = run_tiny(tmp_path, method="lora", lora_rank=2, select_by="bleu", save_model=True)
    plain = run_tiny(tmp_path, save_model=True)
    assert result.tensors.keys() == plain.tensors.keys()
    assert result.facts.added_parameters > 0 and result.facts.trainable_parameters == result.facts.added_parameters


@pytest.mark.parametrize(
    ("rate", "steps", "what"),
    [
        (1e30, 1, "the validation perplexity after step 0 is nan"),
        (1e30, 6, r"the training loss of step 1 is (nan|inf)"),
        (1e3, 6, "the validation perplexity after step 2 is inf"),
    ],
)
def test_what_is_not_finite_fails_the_run_in_one_line(tmp_path: Path, rate: float, steps: int, what: str) -> None:
    with pytest.raises(
        RunError, match=rf"^{what}; .*give a smaller --learning_rate than {re.escape(f'{rate:g}')}$"
    ) as failed:
        run_tiny(tmp_path / "results", learning_rate=rate, max_steps=steps, select_by="bleu")
    assert "\n" not in str(failed.value) and not (tmp_path / "results").exists()


# ---- other weights, other data ---------------------------------------------------------------------------------------


def as_recorded(result: LanguageModelResult) -> dict[str, Any]:
    """What the results say of a run's weights and data, once it is kept, and a sweep looks whether it is done."""
    folder = Path(result.config.results_dir)
    save_result(LANGUAGE_MODEL, result)
    (*_, read), problems = read_results(folder, LANGUAGE_MODEL)
    assert not problems
    assert foreign_digests(LANGUAGE_MODEL, result.config) == dict(result.foreign)
    digests = Digests(LANGUAGE_MODEL.data_digest)
    assert digests.data(result.config) == read["data_digest"]
    if result.config.weights == "pretrained":
        assert digests.weights(result.config) == read["weights_digest"]
    return dict(read.settings)


@pytest.mark.slow
def test_the_demos_own_weights_are_no_foreign_ones_wherever_they_lie(tmp_path: Path) -> None:
    (copied := tmp_path / "copy.safetensors").write_bytes(WEIGHTS.read_bytes())
    settings: dict[str, Any] = {"weights": "pretrained", "blocks": "3+1", "max_steps": 1}
    own, elsewhere = run_tiny(tmp_path, **settings), run_tiny(tmp_path, weights_path=str(copied), **settings)
    assert as_recorded(own) == as_recorded(elsewhere)
    assert own.facts.weights_digest == open_weights(WEIGHTS).digest()


def test_other_weights_make_a_variant_by_the_digest_of_their_file(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(WEIGHTS)
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, path := tmp_path / "other.safetensors")
    settings: dict[str, Any] = {"weights": "pretrained", "weights_path": str(path), "max_steps": 1}
    first, second = run_tiny(tmp_path, blocks="1", **settings), run_tiny(tmp_path, blocks="2", **settings)
    digest = open_weights(path).digest()
    for result in (first, second):
        assert result.foreign == {"weights_digest": digest} and result.facts.weights_digest == digest
        assert as_recorded(result)["weights_digest"] == digest
    assert training_losses(first) != training_losses(second)


@pytest.mark.slow
def test_own_files_make_a_variant_and_so_does_how_much_of_them(tmp_path: Path) -> None:
    lines = [f"sentence number {number} is here\n" for number in range(30)]
    files = {"train_file": lines[:24], "validation_file": lines[24:], "test_file": lines[26:]}
    for name, content in files.items():
        (tmp_path / name).write_text("".join(content))
    given: dict[str, Any] = {name: str(tmp_path / name) for name in files} | {"n_validation": None, "n_test": None}
    some, all_of_them = run_tiny(tmp_path, **given), run_tiny(tmp_path, **given, n_train=None, save_model=True)
    assert some.facts.train_sentences == 20 and all_of_them.facts.train_sentences == 24
    assert (some.facts.validation_sentences, some.facts.test_sentences) == (6, 4)
    found = [as_recorded(result) for result in (some, all_of_them)]
    assert [settings.get("n_train") for settings in found] == [20, None] and found[0]["data_digest"]
    assert not any("file" in name for settings in found for name in settings)  # what is in them counts, not where
    kept = tmp_path / TRAINED_PARAMETERS
    kept.write_bytes(cast(bytes, describe_language_model(LANGUAGE_MODEL, all_of_them).files[TRAINED_PARAMETERS]))
    assert (base := find_base_run(kept)) is not None and base.settings is not None
    assert json.loads(base.settings)["data_digest"] == found[1]["data_digest"]  # so whoever builds on it can tell
    (tmp_path / "test_file").write_text("another sentence\n")
    assert as_recorded(run_tiny(tmp_path, **given))["data_digest"] != found[0]["data_digest"]


@pytest.mark.slow
def test_some_of_the_published_captions_are_published_ones(
    tmp_path: Path, real_data_dir: Path, real_vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ablation.data.encode import load_tokenizer
    from ablation.run import inputs

    if not (real_data_dir / "captions").is_dir():
        pytest.skip("needs the captions in the folder captions of SMS_SPAM_DATA_DIR")
    for room in (inputs, language_model):
        monkeypatch.setattr(room, "open_tokenizer", lambda config: load_tokenizer(real_vocabulary))
    result = run_tiny(tmp_path, demo=False, data_dir=str(real_data_dir), max_steps=1, n_samples=2)
    settings = as_recorded(result)
    assert result.facts.data_digest == PUBLISHED_DATA_DIGEST and not result.foreign
    assert settings == {name: value for name, value in identity(result.config).items() if name != "seed"}
    assert (
        as_recorded(run_tiny(tmp_path, demo=False, data_dir=str(real_data_dir), max_steps=1, n_train=9))["n_train"] == 9
    )


def test_what_the_tests_run_is_what_they_say(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    assert replace(config, n_samples=5000, decoding="greedy") != config
    assert config_hash(replace(config, n_samples=5000, decoding="greedy")) == config_hash(config)
    assert config_hash(replace(config, validation_bleu=True)) != config_hash(config)
