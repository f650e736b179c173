"""Own data from end to end, on the embedded model: head, counts, predictions, records, report and classify follow."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from torch import nn

import additional_experiments
import baselines
import classify
from ablation.config.experiment import ExperimentConfig, config_hash
from ablation.config.own_data import OWN_DATA_FIELDS
from ablation.config.rows import row_config
from ablation.data.demo import DISCLAIMER, OWN_DISCLAIMER
from ablation.model.classifier import assemble, build_classifier
from ablation.report.contents import gather
from ablation.results.log import append_rows
from ablation.results.read import read_results
from ablation.results.run_folder import config_fields
from ablation.results.runs import rebuild
from ablation.run.next_steps import next_steps
from ablation.run.summary import Summary
from ablation.tasks.registry import TASKS
from ablation.tasks.spam import COLUMNS as RESULT_COLUMNS
from ablation.tasks.spam import SPAM
from tests.support.own_mail import COLUMNS, LABELS, make_mail
from tests.support.parity import assert_same_logits_and_gradients, make_pair
from tests.support.tiny import SHAPE, tiny_config

PROJECT = Path(__file__).resolve().parents[2]
QUICK = ["--demo", "--max_steps", "3", "--eval_iter", "1", "--learning_rate", "1e-3"]


@dataclass(frozen=True)
class Made:
    """A mailbox, and the results of one run and three baselines on it, which no test changes."""

    mail: Path
    results: Path
    output: str

    @property
    def flags(self) -> list[str]:
        return ["--data_file", str(self.mail), *COLUMNS, "--results_dir", str(self.results)]

    @property
    def rows(self) -> list[dict[str, str]]:
        with (self.results / SPAM.csv_name).open(newline="") as file:
            return list(csv.DictReader(file))

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.results / "runs" / self.rows[0]["run_id"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("own")
    made = Made(make_mail(folder), folder / "results", "")
    with redirect_stdout(io.StringIO()) as output:
        assert additional_experiments.main([*QUICK, *made.flags, "--save_model"]) == 0
        assert baselines.main(["--demo", *made.flags]) == 0
    return Made(made.mail, made.results, output.getvalue())


# ---- a run -----------------------------------------------------------------------------------------------------------


def test_counts_head_and_row_follow_the_labels(made: Made) -> None:
    row = made.rows[0]
    totals = [int(row[f"{split}_total"]) for split in ("train", "validation", "test")]
    assert sum(totals) in range(290, 301) and totals[0] % 8 == 0
    config = ExperimentConfig(demo=True)
    two_classes, _ = assemble(config, config.shape).count_parameters()
    assert int(row["total_parameters"]) == two_classes + config.shape.emb_dim + 1
    assert (row["row"], row["labels"], row["split_seed"]) == ("", "billing,praise,question", "123")
    assert (row["data_file"], row["text_column"]) == (str(made.mail), "message")


def test_such_a_run_is_a_variant_by_its_digest(made: Made) -> None:
    row = made.rows[0]
    plain = row_config(1, demo=True, max_steps=3, eval_iter=1, learning_rate=1e-3)
    assert row["config_hash"] == config_hash(plain, {"data_digest": row["data_digest"]}) != config_hash(plain)
    assert row["data_digest"] == SPAM.data_digest(
        ExperimentConfig(data_file=str(made.mail), label_column="category", text_column="message")
    )
    runs, problems = read_results(made.results, SPAM)
    assert problems == [] and {run.row for run in runs} == {""} and len({run.key for run in runs}) == 4
    assert all(run.settings["data_digest"] == row["data_digest"] and run.settings["demo"] for run in runs)


def test_predictions_have_a_logit_of_each_label(made: Made) -> None:
    for run in read_results(made.results, SPAM)[0]:
        table = pd.read_csv(run.folder / "predictions.csv")
        logits = [f"logit_{label}" for label in LABELS]
        assert list(table.columns) == ["split", "index", "label", *logits, "note"]
        answered = run.predictions("test")  # held against the row's counts
        assert answered.names == LABELS and answered.logits.shape[1] == 3
        assert set(answered.labels) == {0, 1, 2}


def test_the_record_names_the_labels_and_makes_the_rows_anew(made: Made, tmp_path: Path) -> None:
    record = json.loads((made.folder / "run.json").read_text())
    assert tuple(record["labels"]) == LABELS
    assert record["note"] == OWN_DISCLAIMER
    assert config_fields(SPAM, ExperimentConfig(), datetime.now(UTC))["labels"] == ["ham", "spam"]  # of any other run
    copy = tmp_path / "results"
    shutil.copytree(made.results, copy)
    rebuild(copy, TASKS)
    tables = [(folder / SPAM.csv_name).read_text().splitlines() for folder in (copy, made.results)]
    assert tables[0][0] == tables[1][0] and sorted(tables[0]) == sorted(tables[1])


def test_the_screen_names_messages_labels_and_whose_they_are(made: Made) -> None:
    assert f"messages: {made.mail}; " in made.output
    assert "labels billing, praise, question" in made.output
    assert OWN_DISCLAIMER in made.output and DISCLAIMER not in made.output
    (command,) = re.findall(r"^  with GPT-2.*\n?  (\S*python additional.*)$", made.output, re.MULTILINE)
    assert f"--data_file {made.mail} " in command and "--demo" not in command
    assert "--data_dir None" not in made.output
    config = ExperimentConfig(demo=True, data_file=str(made.mail), text_column="message", label_column="category")
    beat = next_steps(Summary(SPAM, config, made.rows, {}, []))[-1]
    flags = f"--demo --data_file {made.mail} --text_column message --label_column category"
    assert beat.what == "what to beat" and f"baselines.py {flags}" in beat.command


def test_the_dry_run_counts_the_head_and_tells_the_hash(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert additional_experiments.main([*QUICK, *made.flags, "--dry_run"]) == 0
    output, row = capsys.readouterr().out, made.rows[0]
    assert f"{int(row['total_parameters']):,}, of which {int(row['trainable_parameters']):,} train" in output
    assert row["config_hash"][:8] in output
    assert re.search("^labels +billing, praise, question$", output, re.MULTILINE)
    assert "to download           nothing" in output


def test_own_messages_are_not_downloaded(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert additional_experiments.main([*made.flags, "--data_dir", str(made.results / "x"), "--dry_run"]) == 0
    shown = capsys.readouterr()
    assert "model.safetensors" in shown.out and "sms_spam" not in shown.out
    assert "--data_dir has no effect with messages of your own" in shown.err


def test_what_was_trained_classifies(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify.main(["--model", str(made.folder), "--format", "jsonl", "please refund my last order"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] in LABELS


def test_three_classes_come_about_alike_naive_and_planned() -> None:
    config = tiny_config(labels="a,b,c", data_file="x.csv")
    head: Any = build_classifier(config, SHAPE).out_head
    assert isinstance(head, nn.Linear) and head.out_features == 3
    assert_same_logits_and_gradients(*make_pair(config))


# ---- baselines and report --------------------------------------------------------------------------------------------


def test_baselines_answer_with_every_label(made: Made) -> None:
    majority, words, characters = made.rows[1:]
    assert [row["row"] for row in made.rows[1:]] == ["B1", "B2", "B3"]
    assert 0.3 <= float(majority["test_acc"]) <= 0.5
    assert float(words["test_acc"]) > 0.9 and float(characters["test_acc"]) > 0.9
    assert {row["data_digest"] for row in made.rows} == {made.rows[0]["data_digest"]}
    assert {row["labels"] for row in made.rows} == {"billing,praise,question"}


def test_the_report_finds_the_messages_and_asks_them_no_published_question(made: Made, tmp_path: Path) -> None:
    contents = gather(SPAM, made.results, tmp_path)
    assert contents.likeness is not None and contents.likeness.digest == made.rows[0]["data_digest"]
    assert contents.disclaimer == OWN_DISCLAIMER
    assert contents.findings == [] and contents.missing == []
    (baseline,) = [sentence for sentence in contents.answer if sentence.startswith("The best cheap baseline, B")]
    assert made.rows[0]["data_digest"][:8] in baseline  # the one on these messages
    digest = made.rows[0]["data_digest"][:8]
    assert len(contents.rows) == 4 and all(f"data {digest}" in row.name for row in contents.rows)
    for said in (f"4 runs on other messages than this miniature's (data digest {digest})", "are asked none"):
        assert any(said in note for note in contents.notes)


def test_the_report_says_where_it_looked_for_messages_that_are_gone(made: Made, tmp_path: Path) -> None:
    copy = tmp_path / "results"
    shutil.copytree(made.results, copy)
    table = (copy / SPAM.csv_name).read_text()
    (copy / SPAM.csv_name).write_text(table.replace(str(made.mail), "gone/mail.csv"))
    contents = gather(SPAM, copy, tmp_path)
    assert contents.likeness is None
    assert any("gone/mail.csv: cannot be read" in note for note in contents.notes)
    changed = tmp_path / "mail.csv"
    changed.write_text(made.mail.read_text().replace("refund", "return"))
    (copy / SPAM.csv_name).write_text(table.replace(str(made.mail), str(changed)))
    contents = gather(SPAM, copy, tmp_path)
    assert contents.likeness is None
    assert any("mail.csv: its messages are no longer those" in note for note in contents.notes)


# ---- results of older versions ---------------------------------------------------------------------------------------


def test_results_without_these_columns_stay_readable_and_appendable(made: Made, tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "results" / "reference", tmp_path / "old")
    table = tmp_path / "old" / SPAM.csv_name
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    rows.drop(columns=[*OWN_DATA_FIELDS, "labels"], errors="ignore").to_csv(table, index=False)
    before = read_results(tmp_path / "old", SPAM)
    assert before[1] == [] and "labels" not in before[0][0].fields
    append_rows(tmp_path / "old" / SPAM.csv_name, RESULT_COLUMNS, [made.rows[0]])
    after, problems = read_results(tmp_path / "old", SPAM)
    assert problems == []
    assert [run.key for run in after[:-1]] == [run.key for run in before[0]]
    assert after[0].predictions("test").names == ("ham", "spam")
    assert (after[0]["data_file"], after[-1]["data_file"]) == ("", str(made.mail))


# ---- refused ---------------------------------------------------------------------------------------------------------


def refuse(*arguments: object, **options: object) -> None:
    raise AssertionError("weights were loaded")


REFUSED = {
    "a line": ("id,category,message\n1,ham,hi\n2,ham, \n", [], "mail.csv, line 3: the message is empty; mend the", 1),
    "a column": ("id,kind,message\n1,ham,hi\n", [], "no column 'category'; it has id, kind, message; name one with", 1),
    "a label": (None, ["--labels", "billing,praise"], "label 'question' is not one of billing, praise; add it to", 1),
    "a batch": (None, ["--batch_size", "250"], "--batch_size 250: the training split has 20", 1),
    "an index": (None, ["--ignore_index", "2"], "--ignore_index 2: is the label question, which must count", 2),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_said_before_weights_are_loaded(
    name: str, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, flags, message, status = REFUSED[name]
    monkeypatch.setattr("ablation.run.experiment.open_weights", refuse)
    mail = tmp_path / "mail.csv"
    mail.write_text(content or made.mail.read_text())
    results = tmp_path / "results"
    command = [*QUICK, "--data_file", str(mail), *COLUMNS, "--results_dir", str(results), *flags]
    assert additional_experiments.main(command) == status
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not results.exists()
