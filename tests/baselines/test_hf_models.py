"""Other pretrained models: random ones in true formats, trained and read against few lines that share nothing."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

import baselines
from ablation.baselines import hf_models
from ablation.baselines.baseline import Asked, Fitted
from ablation.baselines.registry import BASELINES
from ablation.config.baseline import BaselineConfig
from ablation.data.spam import read_messages, split_messages
from ablation.listener import Listener
from ablation.tasks.spam import SPAM
from tests.support.made_up_results import made_up_messages
from tests.support.tiny_hub_models import change_json, save_tiny_bert, save_tiny_causal, tiny_xlnet

pytest.importorskip("transformers")
QUICK: dict[str, Any] = {"eval_freq": 2, "eval_iter": 2, "max_steps": 7}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_messages(tmp_path_factory.mktemp("hub") / "data", 30)


@pytest.fixture(scope="module")
def splits(data: Path) -> dict[str, pd.DataFrame]:
    return split_messages(read_messages(data / "SMSSpamCollection.tsv", trust_new_hash=True))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("hub") / "tiny-bert")


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_causal(tmp_path_factory.mktemp("hub") / "tiny-causal")


def ask(name: str, splits: dict[str, pd.DataFrame], model: Path, **settings: Any) -> Fitted:
    config = BASELINES[name].config(BaselineConfig(hf_model=str(model), device="cpu", **settings))
    return BASELINES[name].fit(Asked(SPAM, config, BASELINES[name].settings, splits, Listener()))


def test_fine_tuning_is_that_of_a_few_plain_lines(splits: dict[str, pd.DataFrame], bert: Path) -> None:
    """The published loop, written out: each pass over a loader draws, evaluations too."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(123)
    model = AutoModelForSequenceClassification.from_pretrained(bert, num_labels=2)
    tokenizer = AutoTokenizer.from_pretrained(bert)
    pairs: dict[str, Any] = {
        name: list(zip(split["Text"], split["Label"], strict=True)) for name, split in splits.items()
    }
    loaders = {
        name: DataLoader(own, 8, shuffle=name == "train", drop_last=name == "train") for name, own in pairs.items()
    }

    def loss_of(batch: Any) -> torch.Tensor:
        texts, labels = batch
        inputs = tokenizer(list(texts), padding="max_length", max_length=24, return_tensors="pt")
        return torch.nn.functional.cross_entropy(model(**inputs).logits, labels)

    def evaluate(loader: DataLoader) -> float:
        losses = [loss_of(batch).item() for number, batch in enumerate(loader) if number < 2]
        return sum(losses) / len(losses)

    torch.manual_seed(123)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.1)
    losses = []
    for step, batch in enumerate(loaders["train"]):
        model.zero_grad()
        loss_of(batch).backward()
        optimizer.step()
        if step % 2 == 0:
            losses += [(evaluate(loaders["train"]), evaluate(loaders["validation"]))]
        if step == 4:
            break

    fitted = ask("B7", splits, bert, **{**QUICK, "max_steps": 5})
    lines = list(csv.DictReader(fitted.files["losses.csv"].splitlines()))
    ours = [(float(line["train_loss"]), float(line["validation_loss"])) for line in lines]
    assert ours == [pytest.approx(pair, abs=2e-6) for pair in losses] and len(ours) == 3
    assert fitted.counts["train"].total == 40  # whole batches alone, as in a row


def test_dropout_changes_the_losses_and_not_the_order_of_batches(
    splits: dict[str, pd.DataFrame], bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropping = save_tiny_bert(tmp_path / "dropping", dropout=0.3)
    batches: list[list[list[int]]] = []
    plain = hf_models.HubModel.batch

    def noted(self: hf_models.HubModel, lists: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        batches[-1].append([*itertools.chain.from_iterable(lists)])
        return plain(self, lists)

    monkeypatch.setattr(hf_models.HubModel, "batch", noted)
    losses = []
    for model in (bert, dropping, dropping):
        batches.append([])
        losses.append(ask("B7", splits, model, **QUICK).files["losses.csv"])
    assert batches[0] == batches[1] and len(batches[0]) > 10
    assert losses[1] == losses[2] != losses[0]


def test_the_head_alone_leaves_the_trunk_as_it_was(splits: dict[str, pd.DataFrame], bert: Path) -> None:
    fitted = ask("B7", splits, bert, **QUICK, trainable_layers="last_layer")
    assert fitted.columns["trainable_parameters"] == 2 * 16 + 2 < fitted.columns["total_parameters"]
    assert fitted.files["losses.csv"] != ask("B7", splits, bert, **QUICK).files["losses.csv"]


def test_vectors_are_read_where_the_models_own_classifier_reads(
    splits: dict[str, pd.DataFrame], bert: Path, causal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message at a time needs no pads and no mask."""
    from transformers import AutoModel, AutoTokenizer

    seen: dict[str, torch.Tensor] = {}

    def keep(features: Any, labels: Any, strengths: Any) -> Fitted:
        seen["test"] = torch.tensor(features["test"])
        return Fitted({name: own[:, 0] for name, own in features.items()})

    monkeypatch.setattr("ablation.baselines.features.choose_strength", keep)
    expectations: list[tuple[Path, dict[str, Any], Any]] = [
        (bert, {}, lambda states: states[0]),
        (bert, {"trainable_token_pos": "flexible"}, lambda states: states[-1]),
        (bert, {"average_embeddings": True}, lambda states: states.mean(0)),
        (causal, {}, lambda states: states[-1]),
        (causal, {"trainable_token_pos": "first"}, lambda states: states[0]),
    ]
    for folder, settings, read in expectations:
        ask("B5", splits, folder, **settings)
        model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
        with torch.no_grad():
            vectors = {
                name: torch.stack(
                    [read(model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]) for text in split["Text"]]
                ).double()
                for name, split in splits.items()
                if name != "validation"
            }
        train = vectors["train"]
        expected = (vectors["test"] - train.mean(0)) / train.std(0, correction=0)
        torch.testing.assert_close(seen["test"][:, 1:], expected[:, 1:], atol=2e-4, rtol=1e-3)


def test_the_untrained_model_is_evaluated_as_published(splits: dict[str, pd.DataFrame], bert: Path) -> None:
    fitted = ask("B4", splits, bert, batch_size=4)
    torch.manual_seed(123)
    counts = {}
    for name, split in splits.items():
        rows = list(range(len(split)))
        loader: Any = DataLoader(rows, 4, shuffle=name == "train", drop_last=name == "train")  # type: ignore[arg-type]
        first = torch.cat([batch for number, batch in enumerate(loader) if number < 10])
        right = fitted.predictions[name][first] == split["Label"].to_numpy()[first]
        counts[name] = (int(right.sum()), len(right))
    told = fitted.further["first_batches"]
    assert {name: (told[f"{name}_correct"], told[f"{name}_total"]) for name in splits} == counts
    assert counts["train"][1] == 40


def rows_of(results: Path) -> list[dict[str, str]]:
    with (results / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_known_by_model_weights_and_seed(
    tmp_path: Path, data: Path, bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    command = ["--data_dir", str(data), "--results_dir", str(results), "--offline", "--trust_new_hash"]
    command += ["--hf_model", str(bert), "--rows", "B7,B4,B5", "--seeds", "1-2", "--max_steps", "2"]
    for _ in range(2):
        assert baselines.main(command) == 0
    rows = rows_of(results)
    assert [row["row"] + row["seed"] for row in rows] == ["B71", "B72", "B41", "B42", "B5"]
    assert json.loads(rows[0]["baseline_settings"]) == {"hf_model": "tiny-bert", "max_steps": 2}
    assert len({row["weights_digest"] for row in rows}) == 1 and rows[0]["model_size"] == ""
    assert (results / "runs" / rows[0]["run_id"] / "losses.csv").exists()
    assert capsys.readouterr().out.count("already in the results") == 5
    other = save_tiny_bert(tmp_path / "other" / "tiny-bert", layers=1)
    assert baselines.main([*command[:-7], str(other), "--rows", "B5"]) == 0
    assert len(rows_of(results)) == 6


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--rows", "B7"], "add --hf_model"),
        (["--rows", "B5", "--hf_model", "x", "--weights", "random"], "--weights random with --hf_model x"),
        (["--rows", "B5", "--hf_model", "x", "--mask_padding"], "--mask_padding with --hf_model x: is about GPT-2"),
        (["--rows", "B8", "--seeds", "9-1"], "9-1 runs backwards"),
        (["--rows", "B5", "--hf_model", "no.gguf"], "--hf_model no.gguf: there is no such file"),
        (["--rows", "B1,B7", "--hf_model", "./nofolder"], "--hf_model ./nofolder: there is no such folder"),
        (["--rows", "B1,B7", "--hf_model", "/"], "--hf_model /: the folder has no config.json"),
        (["--rows", "B4", "--seed", "7", "--seeds", "1-2"], "--seed with --seeds: both say which"),
    ],
)
def test_wrong_commands_are_refused(given: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert baselines.main(given) == 2
    assert told in capsys.readouterr().err


def test_what_no_baseline_takes_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--demo", "--rows", "B1", "--seeds", "1-2", "--hf_model", "x", "--results_dir", str(tmp_path)]
    assert baselines.main(given) == 0
    error = capsys.readouterr().err
    assert "--seeds has no effect on B1" in error and "--hf_model has no effect on B1" in error


@pytest.mark.parametrize("what", ["no model", "damaged", "no package"])
def test_a_model_that_cannot_be_had_is_one_line_and_no_row(
    what: str, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(tmp_path / "damaged") if what == "damaged" else "no/such-model"
    if what == "damaged":
        save_tiny_bert(Path(model))
        (Path(model) / "model.safetensors").write_bytes(b"nothing")
        capsys.readouterr()  # the bar of what was saved
    if what == "no package":
        monkeypatch.setitem(sys.modules, "transformers", None)
    results = tmp_path / "results"
    command = ["--data_dir", str(data), "--results_dir", str(results), "--offline", "--trust_new_hash", "--rows", "B7"]
    assert baselines.main([*command, "--hf_model", model]) == 1
    published, error = capsys.readouterr().err.splitlines()
    assert "is not the published file" in published and f"--hf_model {model}" in error
    assert ("requirements-transformers.txt" in error) == (what == "no package")
    assert ("is not among what was fetched before" in error) == (what == "no model")
    assert not (results / "results.csv").exists()


def test_a_causal_model_comes_with_its_tokenizer(causal: Path) -> None:
    loaded = hf_models.load_causal(str(causal))
    model, tokenizer = loaded.model, loaded.tokenizer
    assert loaded.digest == hf_models.local_digest(str(causal))  # the one digest that rows have
    ids = tokenizer("Call now", return_tensors="pt")["input_ids"]
    assert model(ids).logits.shape == (1, ids.shape[1], 257)
    assert tokenizer.pad_token == "<|endoftext|>" and not model.training


def test_a_model_that_cannot_be_asked_is_refused_by_name(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(hf_models.HubError, match="of the kind bert, which predicts masked words, and cannot be asked"):
        hf_models.load_causal(str(bert))
    xlnet = hf_models.HubModel(tiny_xlnet("XLNetLMHeadModel"), None, "d")
    monkeypatch.setattr(hf_models, "_load", lambda *_, **__: xlnet)
    with pytest.raises(hf_models.HubError, match=r"--hf_model x: .* the kind xlnet, which keeps no keys and values"):
        hf_models.load_causal("x")


@pytest.mark.parametrize("what", ["as it is", "heads", "end of a text", "letters"])
def test_the_settings_of_a_model_have_a_digest(what: str, tmp_path: Path, causal: Path) -> None:
    """Which is the same wherever they lie, and another one wherever an answer may be."""
    other = tmp_path / "elsewhere"
    shutil.copytree(causal, other)
    if what == "heads":
        change_json(other / "config.json", n_head=4)
    if what == "end of a text":
        change_json(other / "tokenizer_config.json", eos_token="w")
    if what == "letters":
        change_json(other / "tokenizer.json", decoder=None)
    one, two = (hf_models.load_causal(str(folder)) for folder in (causal, other))
    assert one.digest == two.digest
    assert (one.settings_digest() == two.settings_digest()) == (what == "as it is")


@pytest.mark.parametrize("name", ["B4", "B5"])
def test_a_model_that_gives_no_numbers_is_one_line_and_no_row(
    name: str, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_tiny_bert(tmp_path / "broken")
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.LayerNorm.weight"][0] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    capsys.readouterr()
    command = ["--data_dir", str(data), "--results_dir", str(tmp_path / "results"), "--trust_new_hash", "--rows", name]
    assert baselines.main([*command, "--hf_model", str(folder)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"--hf_model {folder}: " in error and "of the train split are not finite; the baseline has failed" in error
    assert not (tmp_path / "results" / "results.csv").exists()


def test_a_gguf_file_is_asked_for_in_its_folder(tmp_path: Path, causal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    (tmp_path / "tiny.gguf").write_bytes(b"weights")
    asked: list[tuple[str, str, bool]] = []

    def redirected(plain: Any) -> Any:
        def from_pretrained(source: str, gguf_file: str, local_files_only: bool, **settings: Any) -> Any:
            asked.append((source, gguf_file, local_files_only))
            return plain(causal, **settings)

        return from_pretrained

    for kind in (transformers.AutoTokenizer, transformers.AutoModelForSequenceClassification):
        monkeypatch.setattr(kind, "from_pretrained", redirected(kind.from_pretrained))
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(hf_models.HubError, match=r"needs the package gguf; .* requirements-transformers.txt"):
        hf_models.load_classifier(str(tmp_path / "tiny.gguf"), 3, seed=1)
    monkeypatch.setitem(sys.modules, "gguf", ModuleType("gguf"))
    loaded = hf_models.load_classifier(str(tmp_path / "tiny.gguf"), 3, seed=1)
    assert asked == [(str(tmp_path), "tiny.gguf", True)] * 2
    assert loaded.model.num_labels == 3 and loaded.digest == hf_models.local_digest(str(tmp_path / "tiny.gguf"))
