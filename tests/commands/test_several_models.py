"""Several trained models asked at once: each answers as it does alone, and their base is there once."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import classify
from ablation.api import load_classifier
from ablation.config.experiment import ExperimentConfig
from ablation.config.shapes import ModelShape
from ablation.model.weights import Weights
from ablation.run import inputs
from ablation.run.compare_models import names_of
from ablation.run.experiment import run_experiment
from ablation.run.kinds import save_result
from ablation.run.open_classifier import Bases, config_here, joined_model
from ablation.run.trained_classifier import SavedRun, read_saved_run
from ablation.tasks.spam import SPAM
from tests.support.tiny import CPU, few_demo_messages

pytestmark = pytest.mark.usefixtures("few_messages")

HERE: dict[str, Any] = {"device": "cpu", "models_dir": "models", "offline": True, "weights_path": None}
MESSAGES = ("see you at the pub", "claim your free prize now")
METHODS: dict[str, dict[str, Any]] = {
    "ia3": {"method": "ia3"}, "prefix_tuning": {"method": "prefix_tuning", "prefix_length": 3},
    "last_layer": {"trainable_layers": "last_layer"},
}  # fmt: skip


def train(folder: Path, **overrides: Any) -> Path:
    quick = {"context_length": 16, "max_steps": 2, "eval_iter": 1, "learning_rate": 1e-2}
    config = ExperimentConfig(**{"demo": True, "save_model": True, **quick, **overrides}, results_dir=str(folder))
    (row,) = save_result(SPAM, run_experiment(SPAM, config))
    return folder / "runs" / row["run_id"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    results = tmp_path_factory.mktemp("results")
    return {name: train(results, **settings) for name, settings in METHODS.items()}


def models(folders: Mapping[str, Path]) -> list[str]:
    return [word for folder in folders.values() for word in ("--model", str(folder))]


def printed(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert classify.main([*command]) == 0
    return capsys.readouterr().out


def test_each_answers_as_it_does_alone(folders: Mapping[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    together = [json.loads(line) for line in printed(capsys, *models(folders), "--json", *MESSAGES).splitlines()]
    assert [one["model"] for one in together] == [folder.name for folder in folders.values()] * len(MESSAGES)
    for folder in folders.values():
        alone = printed(capsys, "--model", str(folder), "--json", *MESSAGES).splitlines()
        own = [{**one} for one in together if one["model"] == folder.name]
        assert [one.pop("model") for one in own] and own == [json.loads(line) for line in alone]
    table = list(csv.DictReader(io.StringIO(printed(capsys, *models(folders), "--format", "csv", *MESSAGES))))
    assert list(table[0])[:3] == ["line", "model", "label"]
    assert [(one["model"], one["text"]) for one in table] == [(one["model"], one["text"]) for one in together]


def test_the_base_is_opened_and_digested_once_and_held_once(
    folders: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened, digested = list[Path](), list[Path]()
    open_weights, digest = inputs.weight_files.open_weights, Weights.digest

    def opening(path: Path, shape: ModelShape) -> Weights:
        opened.append(path)
        return open_weights(path, shape)

    def digesting(self: Weights) -> str:
        digested.append(self.path)
        return digest(self)

    monkeypatch.setattr(inputs.weight_files, "open_weights", opening)
    monkeypatch.setattr(Weights, "digest", digesting)
    printed(capsys, *models(folders), *MESSAGES)
    assert len(opened) == len(digested) == 1
    bases, found = Bases(), []
    for folder in folders.values():
        saved = read_saved_run(folder)
        model = joined_model(saved, config_here(saved, **HERE), bases, CPU)
        trained = set(saved.parameters)
        found.append({name: p.data_ptr() for name, p in model.named_parameters() if name not in trained})
    assert len(opened) == len(digested) == 2
    shared = found[0].keys() & found[1].keys() & found[2].keys()
    assert len(shared) > 30 and all(one[name] == found[0][name] for one in found for name in shared)


def test_other_bases_are_loaded_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    narrow: dict[str, Any] = {"weights": "random", "n_layers": 1, "emb_dim": 16, "n_heads": 2}
    configs = [ExperimentConfig(demo=True, **narrow, seed=seed) for seed in (1, 2, 1)]
    bases = Bases()
    held = [bases.of(config, CPU) for config in configs]
    assert held[0] is held[2] is not held[1]
    name = "trf_blocks.0.ff.layers.0.weight"
    assert not held[0].tensor(name).equal(held[1].tensor(name))
    assert held[0].digest() == held[2].digest() != held[1].digest()


def test_a_person_reads_a_line_for_each_model(
    folders: Mapping[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert classify.main([*models(folders), *MESSAGES, "see you " * 40]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert len(lines) == 3 * (1 + len(folders)) and max(map(len, lines[:8])) <= 80
    assert lines[0] == MESSAGES[0] and lines[4] == MESSAGES[1]
    for line, name in zip(lines[1:4], METHODS, strict=True):
        assert line.startswith(f"  variant, {name}, seed 123  ") and "spam_probability" in line
    assert lines[9].endswith(" tokens)") and "(cut to 16 of " in lines[9]
    for name, folder in folders.items():
        assert any(line.startswith(f"variant, {name}, seed 123 ") and str(folder) in line
                   for line in captured.err.splitlines())  # fmt: skip


def test_an_evaluation_sets_them_side_by_side(
    folders: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled = tmp_path / "labelled.csv"
    labelled.write_text("label,text\nham,see you at the pub\nspam,claim your free prize now\nham,call me\n")
    found = json.loads(printed(capsys, *models(folders), "--evaluate", str(labelled), "--json"))
    for one, folder in zip(found, folders.values(), strict=True):
        alone = json.loads(printed(capsys, "--model", str(folder), "--evaluate", str(labelled), "--json"))
        assert one.pop("model") == folder.name and one == alone
    title, *lines = printed(capsys, *models(folders), "--evaluate", str(labelled)).splitlines()
    assert title.split() == ["model", "messages", "right", "accuracy", "ROC", "area"]
    for line, one in zip(lines, found, strict=True):
        assert line.split()[-4:-1] == ["3", str(one["correct"]), f"{one['accuracy']:.2%}"] and len(line) <= 80


def test_a_bad_line_and_a_warning_are_told_once(
    folders: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inbox = tmp_path / "inbox.txt"
    inbox.write_text("see you\n\nдо встречи\n", encoding="utf-8")
    assert classify.main([*models(folders), "--file", str(inbox)]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("line 2: the message is empty") == captured.err.count("Cyrillic letters") == 1
    assert captured.out.splitlines()[::4] == ["see you", "до встречи"]


def test_what_cannot_be_asked_together_is_refused(
    folders: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, _ = folders.values()
    assert classify.main(["--model", str(first), "--model", str(first), "hello"]) == 2
    assert f"--model {first}: given twice; give it once" in capsys.readouterr().err
    other = tmp_path / "other"
    other.mkdir()
    for file in second.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    record = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**record, "labels": ["news", "sport"]}))
    assert classify.main(["--model", str(first), "--model", str(other), "hello"]) == 2
    assert f"--model {other}: its labels are news, sport, those of {first} are ham, spam" in capsys.readouterr().err


def test_a_method_that_stays_is_not_merged_and_nothing_is_loaded(
    folders: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inputs.weight_files, "open_weights", None)
    target, folder = tmp_path / "merged.pth", folders["prefix_tuning"]
    assert classify.main(["--model", str(folder), "--merge", str(target)]) == 1
    *_, error = capsys.readouterr().err.splitlines()
    assert error == (
        f"error: {folder}: prefix_tuning does not merge into plain weights"
        " (a prefix is keys and values beside the weights: it stays)"
    )
    assert not target.exists()


def test_names_tell_models_apart() -> None:
    config = ExperimentConfig(method="lora")
    runs = [SavedRun(Path(f"runs/{n}"), config, {}, "", None, None, {"row": row}) for n, row in enumerate((20, 21, 20))]
    assert names_of(runs) == ["row 20, lora, seed 123 (1)", "row 21, lora, seed 123", "row 20, lora, seed 123 (2)"]


@pytest.mark.slow
@pytest.mark.parametrize("row", [*range(20, 34)])
def test_every_method_is_used_from_python(row: int, tmp_path: Path) -> None:
    from ablation.api import run_experiment as run_one

    run = run_one(row=row, demo=True, save_model=True, max_steps=2, eval_iter=1, results_dir=str(tmp_path))
    answers = load_classifier(run).predict(run_texts())
    logits = run.predictions("test").logits
    assert [answer.logits for answer in answers] == [pytest.approx(one, abs=1e-5) for one in logits.tolist()]


def run_texts() -> list[str]:
    from ablation.data.spam import split_messages

    return list(split_messages(few_demo_messages())["test"]["Text"])
