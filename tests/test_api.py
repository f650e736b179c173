"""The interface for Python: what the commands do, by keyword, with their lines in exceptions and warnings."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import ablation
import additional_experiments
import baselines
import classify
from ablation import Classifier, load_classifier, load_results, run_experiment
from ablation.config.experiment import ConfigError
from ablation.data.message import MessageError
from ablation.data.spam import split_messages
from ablation.listener import Listener
from ablation.results.log import ResultsError
from ablation.results.read import FinishedRun
from ablation.run.saved_models import NoModelError
from ablation.run.trained_classifier import ClassifierError
from tests.support.tiny import few_demo_messages

pytestmark = pytest.mark.usefixtures("few_messages")

QUICK: dict[str, Any] = {
    "demo": True, "context_length": 16, "max_steps": 3, "eval_freq": 1, "eval_iter": 1, "save_model": True,
}  # fmt: skip
OF_THE_MOMENT = re.compile(r"run_id|timestamp_utc|results_dir|.*_minutes|.*_seconds|peak_memory_mb|trained_sha256")


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def run(results_dir: Path) -> FinishedRun:
    return run_experiment(row=3, seed=5, results_dir=results_dir, **QUICK)


@pytest.fixture(scope="module")
def classifier(run: FinishedRun) -> Classifier:
    return load_classifier(run)


def as_flags(settings: dict[str, Any]) -> list[str]:
    parts = [[f"--{name}"] if value is True else [f"--{name}", str(value)] for name, value in settings.items()]
    return [part for pair in parts for part in pair]


def without_the_moment(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if not OF_THE_MOMENT.fullmatch(name)}


# ---- running --------------------------------------------------------------------------------------------------------


def test_a_run_is_kept_as_the_command_keeps_it(run: FinishedRun, tmp_path: Path) -> None:
    command = as_flags({"row": 3, "seed": 5, "results_dir": tmp_path, **QUICK})
    assert additional_experiments.main(command) == 0
    (theirs,) = (tmp_path / "runs").iterdir()
    for name in ("losses.csv", "predictions.csv"):
        assert (run.folder / name).read_bytes() == (theirs / name).read_bytes()
    own, other = (json.loads((folder / "run.json").read_text()) for folder in (run.folder, theirs))
    assert own["run_id"].rpartition("-")[0] == other["run_id"].rpartition("-")[0]  # row, seed and hash
    assert without_the_moment(own) == without_the_moment(other) and len(own) > 60
    assert load_results(run.folder.parents[1]).columns.tolist() == load_results(tmp_path).columns.tolist()


def test_a_run_says_what_it_found(run: FinishedRun, results_dir: Path) -> None:
    record = json.loads((run.folder / "run.json").read_text())
    assert run.values == {name: record[name] for name in ("training_acc", "validation_acc", "test_acc")}
    assert run.counts["test"].correct == record["test_correct"] == run.predictions("test").correct.sum()
    losses = run.losses()
    assert losses is not None and len(losses) == 3
    assert repr(run) == (
        f"<run {record['run_id']}: test accuracy {100 * record['test_acc']:.2f} % ({record['test_correct']} of 24)>"
    )


def test_a_language_model_by_keyword(tmp_path: Path) -> None:
    written = run_experiment(
        task="language_model", demo=True, results_dir=tmp_path, n_layers=1, emb_dim=8, n_heads=2, n_train=20,
        n_validation=4, n_test=4, batch_size=10, num_epochs=2, n_samples=2, decoding="greedy,random", temperature=1,
    )  # fmt: skip
    losses = written.losses()
    assert losses is not None and losses.columns.tolist() == ["epoch", "step", "train_loss"]
    assert losses["epoch"].tolist() == [1, 1, 2, 2]
    table = load_results(tmp_path, task="language_model")
    assert table["decoding"].tolist() == ["greedy", "random"]
    assert set(table["test_perplexity"].round(4)) == {round(written.values["test_perplexity"], 4)}


def test_nobody_is_told_anything_but_the_listener(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Heard(Listener):
        def message(self, line: str) -> None:
            lines.append(line)

    lines: list[str] = []
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_experiment(row=3, listener=Heard(), results_dir=tmp_path, **{**QUICK, "max_steps": 1})
    assert capsys.readouterr() == ("", "")
    assert any(line.startswith("demo: ") for line in lines)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    "settings",
    [
        {"row": 99},
        {"learning_rate": -1, "num_epochs": 2.5, "batch_size": True},
        {"trainable_layers": "Lorra"},
        {"row": 14, "batch_size": 8},
        {"demo": True, "device": "cuda:7"},
        {"weights_path": "nowhere.pth"},
        {"seed": float("nan")},
    ],
    ids=str,
)
def test_what_is_wrong_is_said_as_by_the_command(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if settings.get("device") and torch.cuda.is_available():
        pytest.skip("there may be such a device")
    settings = {"results_dir": tmp_path / "results", **settings}
    with pytest.raises(ConfigError) as refused:
        run_experiment(**settings)
    typed = ["True" if value is True and name == "batch_size" else value for name, value in settings.items()]
    flags = as_flags(dict(zip(settings, typed, strict=True)))
    assert additional_experiments.main(flags) == 2
    assert [f"error: {problem}" for problem in refused.value.problems] == capsys.readouterr().err.splitlines()
    assert not (tmp_path / "results").exists()


def test_names_and_switches_that_only_python_can_get_wrong() -> None:
    with pytest.raises(ConfigError) as refused:
        run_experiment(lr=1e-4, demo="no", tokens=3)
    assert refused.value.problems == (
        "lr: there is no such setting; did you mean --learning_rate?",
        "--demo 'no': is a switch; give True or False",
        "tokens: there is no such setting; docs/flags.md lists all",
    )
    with pytest.raises(ConfigError, match=r"^task 'ham': there is none of this name; give one of spam"):
        run_experiment(task="ham")


def test_none_is_not_given_and_remarks_are_warnings(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="^--lora_rank has no effect with --trainable_layers last_layer") as remarks:
        again = run_experiment(
            3, lora_rank=4, precision=None, no_padding=False, order_seed=None, seed=5, results_dir=tmp_path, **QUICK
        )
    assert {remark.filename for remark in remarks} == {__file__}
    assert again["trainable_layers"] == "last_layer" and again["seed"] == "5" and again["order_seed"] == ""


# ---- results --------------------------------------------------------------------------------------------------------


def test_results_are_a_table_with_types(run: FinishedRun, results_dir: Path) -> None:
    assert baselines.main(["--demo", "--results_dir", str(results_dir), "--rows", "B1"]) == 0
    table = load_results(results_dir)
    assert table["row"].isna().tolist() == [True, False] and table["row"].iloc[1] == "B1"
    assert table["run_id"].iloc[0] == run["run_id"]
    assert table["test_acc"].iloc[0] == run.values["test_acc"]
    assert table["seed"].iloc[0] == 5 and table["seed"].isna().tolist() == [False, True]
    types = {name: str(table[name].dtype) for name in table.columns}
    assert types["seed"] == types["test_correct"] == "Int64" and types["test_acc"] == "Float64"
    assert types["demo"] == "boolean" and types["context_length"] == types["python_version"] == "string"
    assert pd.Timestamp(run["timestamp_utc"]) == table["timestamp_utc"].iloc[0]


def test_what_is_no_result_is_left_out_with_a_warning(run: FinishedRun, results_dir: Path, tmp_path: Path) -> None:
    text = (results_dir / "results.csv").read_text()
    (tmp_path / "results.csv").write_text(text + "cut,sho")
    with pytest.warns(UserWarning, match=r"results\.csv, line \d+: 2 values for \d+ columns; left out"):
        assert len(load_results(tmp_path)) == len(load_results(results_dir))
    header = text.splitlines(keepends=True)[0]
    (tmp_path / "results.csv").write_text(header)
    assert load_results(tmp_path).empty
    with pytest.raises(ResultsError, match=r"nowhere.results\.csv: no such file; give a folder that holds results"):
        load_results(tmp_path / "nowhere")


# ---- trained models -------------------------------------------------------------------------------------------------


def test_a_model_is_found_by_all_its_names(run: FinishedRun, results_dir: Path, capsys: Any) -> None:
    named: list[Any] = [run, run.folder, str(run.folder), run["run_id"], "latest"]
    for name in named:
        assert load_classifier(name, results_dir=results_dir).folder == run.folder
    assert repr(load_classifier(run)) == f"<classifier of {run.folder}: ham, spam>"
    assert classify.main(["--model", run["run_id"], "--results_dir", str(results_dir), "see you"]) == 0
    assert "see you" in capsys.readouterr().out


def test_answers_are_those_of_the_run(run: FinishedRun, classifier: Classifier) -> None:
    torch.set_num_threads(1)
    texts = split_messages(few_demo_messages())["test"]["Text"]
    state = torch.get_rng_state()
    with pytest.warns(UserWarning) as remarks:
        answers = classifier.predict(texts)
    assert "tokens, the longest that the model was trained on has 16" in str(remarks[0].message)
    assert len(remarks) == 6
    assert re.fullmatch(r"\d+ more messages of a kind that the model never saw", str(remarks[-1].message))
    assert torch.equal(state, torch.get_rng_state())
    expected = run.predictions("test").logits
    assert np.abs(np.array([answer.logits for answer in answers]) - expected).max() < 1e-5
    assert [classifier.labels.index(answer.label) for answer in answers] == expected.argmax(1).tolist()
    assert {"label", "probability", "probabilities"} < set(pd.DataFrame(answers).columns)
    assert classifier.predict([]) == []


def test_a_threshold_decides(run: FinishedRun, classifier: Classifier) -> None:
    (answer,) = classifier.predict(["see you at the pub"])
    spam = answer.probabilities[1]
    for threshold, label in ((spam - 0.01, "spam"), (spam + 0.01, "ham")):
        assert load_classifier(run, threshold=threshold).predict(["see you at the pub"])[0].label == label


def test_a_message_of_another_kind_comes_with_a_warning(classifier: Classifier) -> None:
    with pytest.warns(UserWarning, match="^message 2: Cyrillic letters, which no training message has$"):
        assert len(classifier.predict(["hello", "до встречи"])) == 2


@pytest.mark.parametrize(
    ("messages", "error", "line"),
    [
        (["hello", " "], MessageError, "message 2: the message is empty"),
        (["hello", float("nan")], MessageError, "message 2: nan is no text"),
        ("hello", TypeError, "predict takes a list of messages, not one text; put it in brackets"),
    ],
    ids=["empty", "no text", "not a list"],
)
def test_what_is_no_message_is_named(messages: Any, error: type[Exception], line: str, classifier: Classifier) -> None:
    with pytest.raises(error, match=f"^{re.escape(line)}$"):
        classifier.predict(messages)


@pytest.mark.parametrize(
    ("call", "error", "line"),
    [
        (lambda folder: load_classifier(results_dir=folder), NoModelError, "no saved model in .*; to make one: "),
        (lambda folder: load_classifier(folder / "x"), ClassifierError, "x is not there; give the folder of a run"),
        (lambda folder: load_classifier(threshold=1.5), ConfigError, "^--threshold 1.5: is a probability"),
        (lambda folder: load_classifier(device="tpu"), ConfigError, "^--device tpu: did you mean gpu"),
        (lambda folder: load_classifier(weights_path=folder / "x"), ConfigError, "x: no such file or folder"),
    ],
    ids=["none", "no run", "threshold", "device", "weights"],
)
def test_why_there_is_no_classifier(
    call: Callable[[Path], object], error: type[Exception], line: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=line):
        call(tmp_path)


# ---- the package ----------------------------------------------------------------------------------------------------


def test_the_package_has_the_interface_and_says_so() -> None:
    assert set(ablation.__all__) <= set(dir(ablation))
    assert all(getattr(ablation, name).__doc__ for name in ablation.__all__ if name != "__version__")
    with pytest.raises(AttributeError, match="module 'ablation' has no attribute 'load_clasifier'"):
        _ = ablation.load_clasifier  # type: ignore[attr-defined]
