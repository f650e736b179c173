"""Exports: what others load gives the run's own answers; what cannot is refused; every model has its card."""

from __future__ import annotations

import csv
import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import export
from ablation.config.experiment import ExperimentConfig
from ablation.config.methods import DECLARATIONS, LINEAR_MAPS
from ablation.config.settings import METHODS
from ablation.data.demo import load_demo_tokenizer, read_demo_messages
from ablation.data.encode import load_tokenizer
from ablation.data.huggingface_tokenizer import tokenizer_files
from ablation.data.spam import load_splits, split_messages
from ablation.methods.primitives import LinearMap
from ablation.model.classifier import build_classifier
from ablation.model.layouts import HUGGINGFACE, stored_tensors
from ablation.model.to_huggingface import FoldError, fold_bias, huggingface_tensors, without_bias
from ablation.results.card_parts import CARD, Use, code, flags_of
from ablation.results.interval import wilson_interval
from ablation.results.model_card import model_card
from ablation.results.run_folder import PREDICTIONS_CSV
from ablation.run.experiment import run_experiment
from ablation.run.export_folder import ExportError, Trained
from ablation.run.exports import TARGETS
from ablation.run.kinds import save_result
from ablation.run.peft_adapters import ADAPTERS, REFUSED, one_term
from ablation.run.trained_classifier import SavedRun
from ablation.tasks.spam import SPAM
from lora import LinearWithLoRA
from previous_chapters import GPTModel
from tests.support.tiny import SHAPE, few_demo_messages

pytestmark = pytest.mark.usefixtures("few_messages")

TEXTS = (  # of every kind that tokenizers tell apart
    "<|endoftext|> hi", "😀👨‍👩‍👧 we're  here\n\n x\t", "Ⅷ Ⓐ ² ½ ١٢٣ _a_b__ ‿x‿ naïve e\u0301", "  a  b   ",
    "\u00a0x\u3000y", "don't DON'T 'S 's's", "a\u200db \u200c", "我在酒吧 ok до встречи", "x\x00y\x7f\u0085z", "a" * 70,
)  # fmt: skip
SIX_MAPS = "+".join(LINEAR_MAPS)
PADDED = {"padding": "max_length", "truncation": True, "max_length": 32}


def train(folder: Path, **overrides: Any) -> Path:
    """A few steps of a run that keeps its model; returns the run's folder."""
    quick = {"context_length": 32, "max_steps": 3, "eval_iter": 1, "learning_rate": 1e-3}
    settings = {"demo": True, "save_model": True, **quick, **overrides}
    (row,) = save_result(SPAM, run_experiment(SPAM, ExperimentConfig(**settings, results_dir=str(folder))))
    return folder / "runs" / row["run_id"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of row 16's kind, which no test changes."""
    return train(tmp_path_factory.mktemp("results"), trainable_token_pos="flexible", max_steps=1)


def predicted(folder: Path) -> np.ndarray:
    table = pd.read_csv(folder / PREDICTIONS_CSV)
    return table[table["split"] == "test"][["logit_ham", "logit_spam"]].to_numpy()


# ---- a head without a bias ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 5])
def test_a_bias_is_folded_exactly(classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias, shift, states = (torch.randn(size, generator=generator, dtype=torch.float64) for size in
                                   ((classes, 16), (classes,), (16,), (9, 16)))  # fmt: skip
    folded = fold_bias(weight, bias, shift)
    expected = (states + shift) @ weight.T + bias
    assert ((states + folded) @ weight.T - expected).abs().max() < 1e-12
    assert torch.equal(fold_bias(weight, torch.zeros(classes), shift), shift)


def test_a_head_whose_rows_depend_on_each_other_is_refused() -> None:
    weight = torch.ones(2, 16)
    with pytest.raises(FoldError, match=r"depend on each other: 1 of the bias"):
        fold_bias(weight, torch.tensor([1.0, -1.0]), torch.zeros(16))
    assert (fold_bias(weight, torch.tensor([1.0, 1.0]), torch.zeros(16)).sum() - 1).abs() < 1e-6  # here it can be had


def test_tensors_go_there_and_back() -> None:
    state = {name: tensor for name, tensor in GPTModel(SHAPE).state_dict().items() if name != "out_head.weight"}
    theirs = huggingface_tensors(state, SHAPE, HUGGINGFACE)
    for name, stored in stored_tensors(HUGGINGFACE, SHAPE).items():
        assert theirs[stored.name].shape == stored.shape
        assert torch.equal(stored.extract(theirs[stored.name]), state[name]), name


# ---- the vocabulary -------------------------------------------------------------------------------------------------


def ids(folder: Path, files: dict[str, str], texts: Sequence[str]) -> list[list[int]]:
    tokenizers = pytest.importorskip("tokenizers")
    (folder / "tokenizer.json").write_text(files["tokenizer.json"], encoding="utf-8")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True  # as the configuration has it: they are text
    return [encoded.ids for encoded in tokenizer.encode_batch(list(texts))]


def test_the_demos_tokens_are_the_same(tmp_path: Path) -> None:
    encoding = load_demo_tokenizer()
    texts = [*TEXTS, *list(read_demo_messages()["Text"])[::20]]
    assert ids(tmp_path, tokenizer_files(encoding, 32, pads_are_read=False), texts) == [
        encoding.encode_ordinary(text) for text in texts
    ]


def test_gpt2s_tokens_and_files_are_the_same(tmp_path: Path, real_vocabulary: Path) -> None:
    encoding = load_tokenizer(real_vocabulary)
    files = tokenizer_files(encoding, 120, pads_are_read=True)
    texts = [*TEXTS, *list(read_demo_messages()["Text"])[::20]]
    assert ids(tmp_path, files, texts) == [encoding.encode_ordinary(text) for text in texts]
    merges, vocabulary = ("6d1cbeee0f20b3d9449abfede4726ed8212e3aee", "6c7ea1a7e38e3a7f062df639a5b80947f075ffe6")
    assert files["merges.txt"] == (real_vocabulary / merges).read_text(encoding="utf-8")  # OpenAI's own files
    assert json.loads(files["vocab.json"]) == json.loads((real_vocabulary / vocabulary).read_text(encoding="utf-8"))


@pytest.mark.slow
def test_every_character_gives_the_same_tokens(tmp_path: Path) -> None:
    encoding = load_demo_tokenizer()
    characters = [chr(code) for code in range(0x30000) if not 0xD800 <= code < 0xE000]
    texts = ["".join(f"a{c}b {c}1{c}!{c} " for c in characters[at : at + 64]) for at in range(0, len(characters), 64)]
    found = ids(tmp_path, tokenizer_files(encoding, 32, pads_are_read=False), texts)
    assert all(mine == encoding.encode_ordinary(text) for mine, text in zip(found, texts, strict=True))


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"trainable_token_pos": "first"}, "reads the first position"),
        ({"average_embeddings": True}, "reads a mean over positions"),
        ({"disable_causal_mask": True}, "has no causal mask"),
        ({"padding_side": "left", "shift_positions": True}, "counts positions from the first token"),
    ],
)
@pytest.mark.parametrize("target", ["huggingface", "peft"])
def test_what_transformers_cannot_read_is_refused(target: str, settings: dict[str, Any], reason: str) -> None:
    config = ExperimentConfig(demo=True, trainable_layers="lora", **settings)
    trained = Trained(SavedRun(Path("runs/x"), config, {}, "", 32, None), config, SPAM)
    with pytest.raises(ExportError, match=rf"^runs/x {reason}.*; --to book writes its weights"):
        TARGETS[target].check(trained)
    TARGETS["book"].check(trained)


@pytest.mark.parametrize("method", DECLARATIONS)
def test_what_a_method_can_be_exported_to(method: str) -> None:
    adapted: dict[str, Any] = {"method": method} if method in METHODS else {"trainable_layers": method}
    config = ExperimentConfig(demo=True, **adapted)
    trained = Trained(SavedRun(Path("runs/x"), config, {}, "", 32, None), config, SPAM)
    merges = not DECLARATIONS[method].cannot_merge
    assert (method in ADAPTERS) != (method in REFUSED)
    if method in ADAPTERS:
        TARGETS["peft"].check(trained)
    else:
        way_out = "--to huggingface writes the whole model" if merges else "classify.py uses it as it is"
        with pytest.raises(ExportError, match=rf"^runs/x: {method} cannot be said in PEFT's terms \(.*\); {way_out}$"):
            TARGETS["peft"].check(trained)
    for target in ("huggingface", "book"):
        if merges:
            TARGETS[target].check(trained)
        else:
            with pytest.raises(ExportError, match=f"^runs/x: {method} does not merge .*; classify.py uses it as it is"):
                TARGETS[target].check(trained)


def test_a_term_of_the_classifier_alone_is_no_adapter() -> None:
    config = ExperimentConfig(method="lora", lora_targets="head", n_layers=2, emb_dim=16, n_heads=2, weights="random")
    with pytest.raises(ExportError, match=r"classifier's LoRA term merged.*give --to huggingface"):
        ADAPTERS["lora"](build_classifier(config, SHAPE), config)


def test_wrong_commands(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tuple(TARGETS) == export.TARGETS
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    for arguments, status, message in (
        (["--to", "huggingface", str(tmp_path / "full")], 2, "full: is there, and not empty; give another folder"),
        (["--to", "huggingface", str(tmp_path / "full" / "file")], 2, "file: is a file; give a folder"),
        (["--to", "huggingface", str(tmp_path / "full" / "file" / "x")], 2, "file is a file; give another folder"),
        (["--to", "huggingface", "."], 2, ".: is where the command is typed"),
        (["--to", "book", str(tmp_path / "x.bin")], 2, "x.bin: give a file whose name ends in .pth"),
        (["--to", "book", str(tmp_path / "no" / "x.pth")], 2, "x.pth: give a file in a folder that is there"),
        (["--to", "book", str(tmp_path / "x.pth"), "--base", "gpt2"], 2, "--base gpt2: only an adapter needs a base"),
        (["--to", "peft", str(tmp_path / "x")], 1, "last_block cannot be said in PEFT's terms"),
    ):
        assert export.main([str(run), *arguments]) == status
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and message in line
    assert export.main([str(tmp_path / "nowhere"), "--to", "book", str(tmp_path / "x.pth")]) == 1
    assert "nowhere is not there; give the folder of a run" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


# ---- what is written ------------------------------------------------------------------------------------------------


def test_a_run_is_named_by_its_id_or_as_the_latest(run: Path, tmp_path: Path) -> None:
    results = ["--results_dir", str(run.parents[1])]
    for number, named in enumerate((run.name, "latest")):
        assert export.main([named, *results, "--to", "book", str(tmp_path / f"{number}.pth")]) == 0
    first, second = (torch.load(tmp_path / f"{number}.pth") for number in (0, 1))
    model = GPTModel(ExperimentConfig(demo=True).shape)
    model.out_head = torch.nn.Linear(112, 2)
    buffers = {name for name in first if name.endswith("att.mask")}
    model.load_state_dict({name: tensor for name, tensor in first.items() if name not in buffers})
    assert len(buffers) == 3 and all(torch.equal(first[name], second[name]) for name in first)
    assert "`0.pth` holds the whole model" in (tmp_path / f"0.{CARD}").read_text(encoding="utf-8")


def test_the_card_says_what_the_record_says(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads((run / "run.json").read_text())
    assert export.main([str(run), "--to", "huggingface", str(tmp_path / "model")]) == 0
    assert "does not give" not in capsys.readouterr().out  # what reads the last token needs no padding
    right, total = record["test_correct"], record["test_total"]
    low, high = wilson_interval(right, total)
    for file in (run / CARD, tmp_path / "model" / CARD):
        card = file.read_text(encoding="utf-8")
        assert card.startswith("---\nlicense: apache-2.0\n")
        assert f"| {right / total:.2%} ({right} of {total}) [{low:.1%}, {high:.1%}] |" in card
        for part in ("Use", "Data", "Method", "Accuracy", "Seeds", "Limits", "Licence", "Command"):
            assert f"\n## {part}\n\n" in card
        assert record["note"] in card and record["data_digest"] in card and record["weights_digest"] in card
        assert "No baseline on these messages was in the results" in card
        assert "| `trainable_token_pos` | flexible |" in card and "One run, with seed 123." in card
    assert "truncation=True, max_length=32" in card and "library_name: transformers" in card


def test_the_command_of_a_card_gives_the_run_again(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    flags = flags_of(SPAM, record)
    assert flags == {
        "trainable_token_pos": "flexible", "context_length": 32, "learning_rate": 1e-3, "eval_iter": 1, "max_steps": 1,
        "demo": True,
    }  # fmt: skip
    own = {**record, "row": 16, "seed": 5, "data_file": "my own.csv", "labels": ["a", "b"], "weights_path": "w.pth"}
    found = flags_of(SPAM, {**own, "eval_iter": 5, "max_steps": None, "learning_rate": 5e-5, "demo": False})
    assert found == {
        "row": 16, "context_length": 32, "seed": 5, "data_file": "my own.csv", "labels": "a,b", "weights_path": "w.pth",
    }  # fmt: skip
    card = model_card(SPAM, {**record, "data_file": "my own.csv", "labels": ["a|b", "c"]}, run.parents[1], Use(""))
    assert "--demo --data_file 'my own.csv' --labels 'a|b,c' --save_model" in card


def test_baselines_stand_beside(run: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(run.parents[1], results)
    with (results / SPAM.csv_name).open(newline="") as file:
        (record,) = csv.DictReader(file)
    others = [  # of the same messages, and of others
        {**record, "run_id": "B1-x", "row": "B1", "test_correct": "12", "test_total": "24"},
        {**record, "run_id": "B2-x", "row": "B2", "data_digest": "0" * 64},
    ]
    with (results / SPAM.csv_name).open("a", newline="") as file:
        csv.DictWriter(file, list(record)).writerows(others)
    assert export.main([str(results / "runs" / run.name), "--to", "book", str(tmp_path / "m.pth")]) == 0
    card = (tmp_path / f"m.{CARD}").read_text(encoding="utf-8")
    assert "| B1: majority class |" in card and " 50.00% (12 of 24) [31.4%, 68.6%] |" in card
    assert "B2" not in card and "No baseline" not in card


def test_names_from_outside_stay_names() -> None:
    assert code("a`b") == "`` a`b ``" and code("x\n# y") == "`x # y`"


# ---- loaded by others -----------------------------------------------------------------------------------------------

VARIANTS: dict[str, tuple[dict[str, Any], bool]] = {  # settings, whether pads are read
    "flexible": ({"trainable_token_pos": "flexible", "trainable_layers": "last_two_blocks"}, False),
    "no padding": ({"no_padding": True, "batch_size": 1}, False),
    "last": ({}, True),
    "all": ({"trainable_layers": "all"}, True),
    "left": ({"padding_side": "left", "truncation_side": "left"}, True),
    "left, masked": ({"padding_side": "left", "mask_padding": True}, True),
    "left, masked, shifted": (
        {"padding_side": "left", "mask_padding": True, "shift_positions": True, "truncation_side": "left"}, False,
    ),
    "right, masked": ({"mask_padding": True, "trainable_layers": "all"}, True),
    "last layer": ({"trainable_layers": "last_layer", "trainable_token_pos": "flexible"}, False),
    "lora": ({"trainable_layers": "lora", "lora_rank": 4}, True),
    "lora merged": ({"trainable_layers": "lora_alternative", "trainable_token_pos": "flexible"}, False),
    "random": ({"weights": "random", "n_layers": 2}, True),
    "query and value": (
        {"method": "lora", "lora_targets": "query+value", "lora_scaling": "alpha_over_sqrt_rank", "lora_rank": 4}, True,
    ),
    "a frozen head's term": (
        {"method": "lora", "lora_targets": f"{SIX_MAPS}+head", "lora_head": "frozen", "lora_init": "normal_rank",
         "lora_scaling": "alpha", "lora_rank": 2, "lora_alpha": 1, "from_block": 2, "trainable_token_pos": "flexible"},
        False,
    ),
    "dora": ({"method": "dora", "lora_rank": 4, "trainable_token_pos": "flexible"}, False),
    "dora on some": (
        {"method": "dora", "lora_targets": "query+value+ff_out+head", "lora_rank": 4, "from_block": 3}, True,
    ),
    "dylora": ({"method": "dylora", "lora_rank": 4, "trainable_token_pos": "flexible"}, False),
    "ia3": ({"method": "ia3", "trainable_token_pos": "flexible"}, False),
    "ia3 in a block": ({"method": "ia3", "from_block": 3, "train_final_norm": True}, True),
}  # fmt: skip
AS_ADAPTERS = [name for name, (settings, _) in VARIANTS.items() if ExperimentConfig(**settings).adaptation in ADAPTERS]


def check_logits(model: Any, tokenizer: Any, folder: Path, texts: list[str], *, padded: bool) -> None:
    arguments = PADDED if padded else {"padding": True, "truncation": True}
    with torch.no_grad():
        found = model(**tokenizer(texts, return_tensors="pt", **arguments)).logits.double().numpy()
    expected = predicted(folder)
    assert np.abs(found - expected).max() < 1e-5
    assert np.ptp(expected, axis=0).max() > 1e-2  # there is something to tell apart


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_transformers_gives_the_runs_answers(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transformers = pytest.importorskip("transformers")
    settings, padded = VARIANTS[name]
    folder, target = train(tmp_path, **settings), tmp_path / "model"
    assert export.main([str(folder), "--to", "huggingface", str(target)]) == 0
    said = capsys.readouterr().out
    assert ('call it with padding="max_length", truncation=True, max_length=32' in said) == padded
    texts = list(split_messages(few_demo_messages())["test"]["Text"])
    model = transformers.AutoModelForSequenceClassification.from_pretrained(target)
    check_logits(model, transformers.AutoTokenizer.from_pretrained(target), folder, texts, padded=padded)
    classifier = transformers.pipeline("text-classification", str(target))
    wanted = ["spam" if spam > ham else "ham" for ham, spam in predicted(folder)]
    for size in (1, 5):
        arguments = PADDED if padded else {"truncation": True}
        assert [answer["label"] for answer in classifier(texts, batch_size=size, **arguments)] == wanted
    assert export.main([str(folder), "--to", "book", str(tmp_path / "book.pth")]) == 0
    book = without_bias(torch.load(tmp_path / "book.pth"))
    theirs, shape = load_file(target / "model.safetensors"), ExperimentConfig(**{"demo": True, **settings}).shape
    assert theirs.keys() == huggingface_tensors(book, shape).keys()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in huggingface_tensors(book, shape).items())


@pytest.mark.slow
@pytest.mark.parametrize("name", AS_ADAPTERS)
def test_peft_gives_the_runs_answers(name: str, tmp_path: Path) -> None:
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    settings, padded = VARIANTS[name]
    folder, target, second = train(tmp_path, **settings), tmp_path / "adapter", tmp_path / "second"
    assert export.main([str(folder), "--to", "peft", str(target)]) == 0
    texts = list(split_messages(few_demo_messages())["test"]["Text"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(target)
    base = transformers.AutoModelForSequenceClassification.from_pretrained(target / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("error", category=UserWarning)  # of tensors that are missing, or surplus
        model = peft.PeftModel.from_pretrained(base, target).eval()
    check_logits(model, tokenizer, folder, texts, padded=padded)
    wanted = ["spam" if spam > ham else "ham" for ham, spam in predicted(folder)]
    classifier = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    answers = classifier(texts[:8], **(PADDED if padded else {"truncation": True}))
    assert [answer["label"] for answer in answers] == wanted[:8]
    assert export.main([str(folder), "--to", "peft", str(second), "--base", str(target / "base")]) == 0
    assert not (second / "base").exists()
    found = peft.AutoPeftModelForSequenceClassification.from_pretrained(second).eval()
    check_logits(found, transformers.AutoTokenizer.from_pretrained(second), folder, texts, padded=padded)


def test_terms_of_some_of_the_three_maps_are_one_term() -> None:
    """Queries and values alone, as in the paper on LoRA."""
    torch.manual_seed(0)
    query, value = (LinearWithLoRA(torch.nn.Linear(6, 6), 2, 3) for _ in range(2))
    for layer in (query, value):
        torch.nn.init.normal_(layer.lora.B)
    a, b, scale = one_term([query, torch.nn.Linear(6, 6), value])
    assert a.shape == (4, 6) and b.shape == (18, 4)
    added = scale * b @ a
    for layer, rows in ((query, added[:6]), (value, added[12:])):
        torch.testing.assert_close(rows, layer.lora.weight().detach())
        assert isinstance(layer, LinearMap)
    assert not added[6:12].any()


@pytest.mark.slow
def test_a_model_with_gpt2s_vocabulary(tmp_path: Path, real_data_dir: Path, real_vocabulary: Path) -> None:
    transformers = pytest.importorskip("transformers")
    shape = {"weights": "random", "n_layers": 2, "emb_dim": 32, "n_heads": 2}
    settings = {**shape, "trainable_layers": "all", "data_dir": str(real_data_dir), "offline": True}
    folder = train(tmp_path, demo=False, **settings)
    assert export.main([str(folder), "--to", "huggingface", str(tmp_path / "model"), "--offline"]) == 0
    texts = list(load_splits(real_data_dir, offline=True)["test"]["Text"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    encoding = load_tokenizer(real_vocabulary)
    assert tokenizer([*texts, *TEXTS])["input_ids"] == [encoding.encode_ordinary(text) for text in [*texts, *TEXTS]]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    check_logits(model, tokenizer, folder, texts, padded=True)
    assert model.config.id2label == {0: "ham", 1: "spam"} and model.config.vocab_size == 50257
