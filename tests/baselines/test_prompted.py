"""The baseline that asks in words, as a command."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import baselines
from ablation.baselines.asking import Answer, Prompt
from ablation.baselines.baseline import Asked
from ablation.baselines.open_asked import open_asked
from ablation.baselines.prompted import calibrated
from ablation.baselines.registry import BASELINES
from ablation.config import settings, shapes
from ablation.config.baseline import BaselineConfig
from ablation.listener import Listener
from ablation.results.read import read_results
from ablation.tasks.spam import SPAM, messages_of
from tests.support.own_mail import COLUMNS, make_mail

pytestmark = pytest.mark.usefixtures("few_messages")


def run(results: Path, *flags: str) -> int:
    return baselines.main(["--demo", "--rows", "B6", "--results_dir", str(results), *flags])


def rows_of(results: Path) -> list[dict[str, str]]:
    with (results / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def predictions_of(results: Path, row: dict[str, str]) -> pd.DataFrame:
    return pd.read_csv(results / "runs" / row["run_id"] / "predictions.csv", keep_default_na=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without an example, and with two, plain and calibrated, with two seeds."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        from tests.support.tiny import few_demo_messages

        patch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
        assert run(results) == 0
        assert run(results, "--shots", "2", "--seeds", "1,2") == 0
        assert run(results, "--shots", "2", "--seeds", "1", "--calibrate") == 0
    return results


def test_each_is_a_row_like_any_other(made: Path) -> None:
    runs, problems = read_results(made, SPAM)
    assert not problems and all(one.is_baseline for one in runs)
    own = [{name: value for name, value in one.settings.items() if name != "demo"} for one in runs]
    assert own == [{}, {"shots": 2}, {"shots": 2}, {"shots": 2, "calibrate": True}]
    assert [one.seeds[0] for one in runs] == [None, 1, 2, 1]
    assert len({one["config_hash"] for one in runs}) == 4
    assert {one["weights_digest"] for one in runs} == {runs[0]["weights_digest"]} != {""}
    for one in runs:
        assert one.counts["test"].total == len(one.predictions("test").correct)  # and the counts are theirs
        assert one["train_total"] == "80" and float(one["training_minutes"]) > 0


def test_predictions_have_both_scores_and_a_text_to_read(made: Path) -> None:
    for row in rows_of(made)[:3]:
        table = predictions_of(made, row)
        margin = table["log_probability_yes"] - table["log_probability_no"]
        pd.testing.assert_series_equal(margin, table["logit_spam"] - table["logit_ham"], check_names=False, atol=1e-9)
        assert table["text"].str.len().max() > 10 or set(table["text"]) == {""}  # the likeliest may be to end at once
        for split in ("validation", "test"):
            part = table[table["split"] == split]
            assert float(row[f"{split}_auc"]) == pytest.approx(roc_auc_score(part["label"], part["logit_spam"]))


def test_calibrating_moves_all_answers_behind_the_same_examples_alike(made: Path) -> None:
    """The area under the ROC curve stays what it is, as far as the examples are the same."""
    plain, calibrated = (predictions_of(made, rows_of(made)[n]) for n in (1, 3))
    pd.testing.assert_series_equal(plain["log_probability_yes"], calibrated["log_probability_yes"])
    moved = (plain["logit_spam"] - calibrated["logit_spam"]).round(9)
    kept = json.loads((made / "runs" / rows_of(made)[3]["run_id"] / "run.json").read_text())["baseline"]["chosen"]
    assert 1 <= moved.nunique() <= len(kept["shots"]) and moved.abs().min() > 0


def test_calibrating_is_that_of_the_formula_and_holds_for_any_margin() -> None:
    def asked(margins: list[float], nothing: list[float]) -> np.ndarray:
        prompts, about = [Prompt([1])] * len(margins), [Prompt([1])] * len(nothing)
        return calibrated(prompts, [Answer([-margin, 0.0]) for margin in [*margins, *nothing]], about)

    nothing = [0.3, -2.0, 4.5]
    mean = np.mean([1 / (1 + math.exp(-margin)) for margin in nothing])
    expected = np.array([-1.0, 7.0]) - math.log(mean / (1 - mean))
    np.testing.assert_allclose(asked([-1.0, 7.0], nothing), expected, rtol=0, atol=1e-12)
    for margin in (40.0, 1000.0, -1000.0):  # of one question about nothing it is taken off as it is
        np.testing.assert_allclose(asked([-1.0, 7.0], [margin]), np.array([-1.0, 7.0]) - margin, rtol=0, atol=1e-12)


def test_answers_that_are_no_numbers_are_one_line_and_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(model: Any, prompts: list[Prompt], *_: Any) -> list[Answer]:
        return [Answer([float("nan"), 0.0])] * len(prompts)

    monkeypatch.setattr("ablation.baselines.prompted.ask", nothing)
    assert run(tmp_path) == 1
    error = capsys.readouterr().err
    assert "scores of answers are not finite; the baseline has failed and appends nothing" in error
    assert error.count("\n") == 1 and not (tmp_path / "results.csv").exists()


def test_models_that_differ_in_their_heads_alone_do_not_share_answers() -> None:
    splits, own = messages_of(BaselineConfig(demo=True))[0], BASELINES["B6"].settings
    found = []
    for heads in (2, 4, 4):
        config = BaselineConfig(demo=True, weights="random", n_layers=1, emb_dim=8, n_heads=heads)
        with open_asked(Asked(SPAM, config, own, splits, Listener())) as opened:
            found.append((opened.columns["weights_digest"], opened.answers_as))
    assert len({weights for weights, _ in found}) == 1
    assert found[0] != found[1] == found[2]


def test_what_has_no_room_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--shots", "6", "--weights", "random", "--n_layers", "1", "--emb_dim", "8") == 0
    out = capsys.readouterr().out
    assert "prompts have no room for 6 shots; the first ones are left out: " in out
    assert "the model reads 256 tokens" in out and "area under ROC" in out


@pytest.mark.parametrize(
    ("flags", "said", "status"),
    [
        (["--shots", "10000"], "--shots 10000: the training split has 84 messages; give that or less", 2),
        (["--shots", "-1"], "--shots -1: give a whole number of at least 0", 2),
        (["--shots_by", "nearest"], "--shots_by nearest with --shots 0: there is no message to choose", 2),
        (["--shots_by", "chance", "--shots", "1"], "choose one of drawn, nearest", 2),
    ],
)
def test_bad_input_is_refused_before_anything_is_loaded(
    flags: list[str], said: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def load(*_: Any) -> None:
        raise AssertionError("a model was opened")

    monkeypatch.setattr("ablation.baselines.open_asked.open_tokenizer", load)
    assert run(tmp_path / "results", *flags) == status
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "results" / "results.csv").exists()


def test_no_room_for_a_message_is_refused_before_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = {**shapes.ALL_SHAPES, shapes.NANO: replace(shapes.ALL_SHAPES[shapes.NANO], context_length=60)}
    monkeypatch.setattr(settings, "ALL_SHAPES", narrow)
    monkeypatch.setattr("ablation.baselines.open_asked.open_pretrained", None)
    assert run(tmp_path) == 1
    error = capsys.readouterr().err
    assert "reads 60 tokens at most" in error and "no room for a message" in error and error.count("\n") == 1
    assert not (tmp_path / "results.csv").exists()


def test_three_labels_cannot_be_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mail = make_mail(tmp_path)
    assert run(tmp_path / "results", "--data_file", str(mail), *COLUMNS) == 2
    assert "have 3 labels, and the question is answered by yes or no" in capsys.readouterr().err
    assert not (tmp_path / "results" / "results.csv").exists()


def test_settings_of_prompts_have_no_effect_on_counted_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--demo", "--rows", "B1", "--results_dir", str(tmp_path), "--shots", "4", "--calibrate"]
    assert baselines.main(flags) == 0
    error = capsys.readouterr().err
    assert "--shots has no effect on B1" in error and "--calibrate has no effect on B1" in error
    assert rows_of(tmp_path)[0]["baseline_settings"] == ""


@pytest.mark.slow  # importing transformers takes seconds
def test_a_causal_model_of_transformers_takes_gpts_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    from tests.support.tiny_hub_models import save_tiny_causal

    narrow, wide = save_tiny_causal(tmp_path / "narrow"), save_tiny_causal(tmp_path / "wide", positions=600)

    def asked(folder: Path, *flags: str) -> int:
        return run(tmp_path / "results", "--hf_model", str(folder), "--models_dir", str(tmp_path / "models"), *flags)

    assert asked(wide) == 1
    assert "begins ' no' and ' yes' with the same token" in capsys.readouterr().err  # a blank: its tokens are bytes
    monkeypatch.setattr("ablation.baselines.prompted.ANSWERS", ("no", "yes"))
    assert asked(narrow) == 1
    assert "reads 96 tokens at most" in capsys.readouterr().err
    assert not (tmp_path / "results" / "results.csv").exists()
    assert asked(wide, "--shots", "2") == 0
    (row,) = rows_of(tmp_path / "results")
    assert json.loads(row["baseline_settings"]) == {"hf_model": "wide", "shots": 2}
    assert row["total_parameters"] and row["model_size"] == ""
    assert predictions_of(tmp_path / "results", row)["text"].str.len().max() > 10


@pytest.mark.slow
def test_special_tokens_in_a_message_are_letters(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from ablation.baselines.asked_models import AskedCausalModel
    from ablation.baselines.hf_models import load_causal
    from tests.support.tiny_hub_models import save_tiny_causal

    asked = AskedCausalModel(load_causal(str(save_tiny_causal(tmp_path / "tiny"))))
    assert len(asked.tokens("<|endoftext|>")) == 13
    assert asked.text(asked.tokens("é <|endoftext|>")) == "é <|endoftext|>"
