"""GPT-2 untrained and frozen, against the plain way through the whole model; and what the report makes of such rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import baselines
from ablation.baselines.record import identity
from ablation.baselines.registry import BASELINES
from ablation.execution.planned import PlannedExecution
from ablation.report.contents import Contents, gather
from ablation.report.suggestions import Suggestions
from ablation.results.questions import Family, Variant, is_baseline_name, row_and_settings, side_name
from ablation.results.run_folder import PREDICTIONS_CSV, RunRecord, evaluation_fields, write_run
from ablation.tasks.spam import SPAM
from ablation.tasks.spam_predictions import predictions_csv
from ablation.tasks.spam_questions import BASELINE_QUESTIONS, PADDING_QUESTIONS
from tests.support.made_up_results import made_up_messages, make_results, publish, splits_of
from tests.support.tiny import make_execution, make_messages, tiny_config


def rows_of(results: Path) -> list[dict[str, str]]:
    with (results / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "settings",
    [{}, {"trainable_token_pos": "first"}, {"average_embeddings": True, "trainable_token_pos": "flexible"},
     {"disable_causal_mask": True}, {"padding_side": "left", "mask_padding": True}],
    ids=str,
)  # fmt: skip
def test_vectors_are_what_the_head_of_the_whole_model_reads(settings: dict[str, Any]) -> None:
    config = tiny_config(trainable_layers="last_layer", **settings)
    messages = make_messages(config)
    naive, planned = (make_execution(config, messages, kind) for kind in ("naive", "planned"))
    assert isinstance(planned, PlannedExecution)
    head = naive.model.out_head
    assert isinstance(head, torch.nn.Linear)
    for split, own in messages.items():
        everything = torch.arange(len(own))
        expected = torch.cat(naive.logits(split, everything.split(5)))
        torch.testing.assert_close(head(planned.vectors(split)), expected, atol=1e-12, rtol=0)
    with pytest.raises(ValueError, match="no vectors"):
        make_execution(tiny_config(), messages, "planned").vectors("test")  # type: ignore[union-attr]


def test_untrained_gpt2_is_evaluated_over_the_first_batches_as_published(tmp_path: Path, few_messages: None) -> None:
    """The published order of draws, written out: one seed, then one pass over each loader in turn."""
    from ablation.config.experiment import ExperimentConfig
    from ablation.listener import Listener
    from ablation.run.experiment import load_inputs, make_execution

    command = ["--demo", "--rows", "B4", "--seeds", "5", "--batch_size", "2", "--results_dir", str(tmp_path)]
    assert baselines.main(command) == 0
    (row,) = rows_of(tmp_path)
    config = ExperimentConfig(demo=True, seed=5, execution="naive", trainable_layers="all")
    setup, inputs = load_inputs(SPAM, config, torch.device("cpu"), Listener())
    model = make_execution(setup).model
    torch.manual_seed(5)
    told = json.loads((tmp_path / "runs" / row["run_id"] / "run.json").read_text())["baseline"]["first_batches"]
    for split, messages in inputs.splits.items():
        pairs: Any = list(zip(messages.tokens, messages.labels, strict=True))
        shuffled = split == "train"
        right = total = 0
        with torch.no_grad():
            for number, (tokens, labels) in enumerate(DataLoader(pairs, 2, shuffle=shuffled, drop_last=shuffled)):
                if number < 10:
                    right += int((model(tokens)[:, -1].argmax(-1) == labels).sum())
                    total += len(labels)
        assert (told[f"{split}_correct"], told[f"{split}_total"]) == (right, total)
        assert int(row[f"{split}_total"]) == len(messages)


def test_frozen_features_come_from_the_cache_and_have_one_row_unless_weights_are_drawn(
    tmp_path: Path, few_messages: None, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    command = ["--demo", "--rows", "B5", "--seeds", "1-2", "--results_dir", str(results)]
    cache = ["--feature_cache", str(tmp_path / "cache")]
    assert baselines.main([*command, *cache]) == baselines.main([*command, *cache, "--again"]) == 0
    assert "feature cache: hit" in capsys.readouterr().out
    rows = rows_of(results)
    assert [(row["seed"], row["features"]) for row in rows] == [("", "computed"), ("", "reused")]
    assert rows[0]["test_correct"] == rows[1]["test_correct"]
    random = baselines.read_config(baselines.make_parser().parse_args([*command, "--weights", "random"]))
    assert [one.config.seed for one in baselines.plan(["B5"], random, [1, 2])] == [1, 2]


# ---- the report ------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = made_up_messages(tmp_path / "data")
    publish(monkeypatch, folder)
    return folder


def keep_baseline(results: Path, data: Path, name: str, wrong: int, seed: int | None = None, **settings: Any) -> None:
    """A made-up row of a baseline that errs on so many messages of each split."""
    from ablation.data.spam import data_digest
    from ablation.listener import Count

    logits, labels, counts = {}, {}, {}
    for split, frame in splits_of(data).items():
        labels[split] = frame["Label"].tolist()
        logits[split] = [
            [0.0, float((1 if label else -1) * (-1 if number < wrong else 1))]
            for number, label in enumerate(labels[split])
        ]
        counts[split] = Count(len(frame) - wrong, len(frame))
    row = dict.fromkeys(SPAM.columns) | evaluation_fields(SPAM.evaluate(counts)[0])
    row |= {
        "run_id": f"{name}-{seed}-{len(settings)}-{wrong}", "timestamp_utc": "2026-01-01T00:00:00+00:00", "row": name,
        "seed": seed, "baseline_settings": json.dumps(settings) if settings else None, "training_minutes": 0.1,
        "data_digest": data_digest(splits_of(data)), "device_name": "Some CPU", "config_hash": f"{wrong:064x}",
    }  # fmt: skip
    answers = predictions_csv({s: logits[s] for s in ("validation", "test")}, labels)
    write_run(results, SPAM, RunRecord([row], {}, {PREDICTIONS_CSV: answers}))


def gathered(tmp_path: Path, data: Path) -> Contents:
    return gather(SPAM, tmp_path / "results", data)


def test_the_best_cheap_model_may_be_a_variant_and_is_none_that_was_fine_tuned(tmp_path: Path, data: Path) -> None:
    results = tmp_path / "results"
    make_results(results, data, {1: 0.9}, range(123, 129))
    keep_baseline(results, data, "B3", 2)
    keep_baseline(results, data, "B5", 1, hf_model="tiny")
    for seed in range(123, 129):
        keep_baseline(results, data, "B7", 0, seed, hf_model="tiny")
    contents = gathered(tmp_path, data)
    answer = " ".join(contents.answer)
    assert "The best cheap baseline, B5 (frozen features + logistic regression, strength chosen on" in answer
    assert "validation, --hf_model tiny), answers" in answer
    assert "Of other models that were fine-tuned, the best, B7 (another pretrained model, fine-tuned" in answer
    (tuned,) = [row for row in contents.rows if row.name.startswith("B7")]
    assert tuned.seeds == tuple(map(str, range(123, 129))) and tuned.name == "B7 with --hf_model tiny"


def test_questions_compare_rows_with_baselines_by_name_over_common_seeds(tmp_path: Path, data: Path) -> None:
    results = tmp_path / "results"
    make_results(results, data, {1: 0.9, 5: 0.9}, range(123, 129))
    keep_baseline(results, data, "B5", 3)
    for seed in range(124, 131):
        keep_baseline(results, data, "B9", 2, seed)
    contents = gathered(tmp_path, data)
    found = {finding.question.name: finding for finding in contents.findings}
    assert found["B5 and row 1"].seeds == 6 and found["B5 and row 1"].verdict
    assert found["B9 and row 5"].seeds == 5 and "B6 and row 5" in found
    better, worse = found["B9 and row 5"].difference, found["B5 and row 5"].difference
    assert better is not None and worse is not None
    assert better == pytest.approx(worse - 1 / len(splits_of(data)["test"]), abs=0.02)
    missing = dict(contents.missing)
    assert "no results: B5" not in missing
    assert missing["no results: B5, random weights"].startswith(
        "python baselines.py --rows B5 --weights random --seeds"
    )
    assert missing["no results: baselines B1, B2, B3"].startswith("python baselines.py --rows B1,B2,B3")


def test_families_of_questions_about_baselines_are_their_own() -> None:
    """So that no verdict on the published rows moves."""
    families = {question.family for question in BASELINE_QUESTIONS}
    for question in SPAM.questions:
        named = any(is_baseline_name(row_and_settings(side)[0]) for side in question.sides)
        assert named == (question.family in families)


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told", "status"),
    [
        (["--rows", "B1,B4,B6", "--shots", "10000"], "--shots 10000: the training split has", 2),
        (["--rows", "B1,B4", "--batch_size", "5000"], "--batch_size 5000: the training split has", 1),
    ],
)  # fmt: skip
def test_what_can_be_known_is_checked_of_all_before_the_first_is_fitted(
    given: list[str], told: str, status: int, tmp_path: Path, few_messages: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert baselines.main(["--demo", *given, "--results_dir", str(tmp_path)]) == status
    assert told in capsys.readouterr().err and not (tmp_path / "results.csv").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["B5", "--shift_positions"], "--shift_positions has no effect with pads on the right"),
        (["B4", "--hf_model", "x/y", "--average_embeddings"], "--average_embeddings has no effect on B4 with --hf_m"),
        (["B5", "--hf_model", "x/y", "--feature_cache", "z"], "--feature_cache has no effect on B5 with --hf_model"),
        (["B3", "--feature_cache", "z"], "--feature_cache has no effect on B3"),
        (["B6", "--n_train", "90"], "--n_train has no effect on B6 without --shots"),
        (["B6", "--n_train", "90", "--shots", "1"], ""),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_setting_that_changes_nothing_is_said_and_no_part_of_the_row(given: list[str], told: str) -> None:
    options = baselines.make_parser().parse_args(["--demo", "--rows", *given])
    names = baselines.parse_rows(options.rows)
    planned = baselines.plan(names, baselines.read_config(options), [1])
    lines = baselines.remarks(names, planned, [name for name, value in vars(options).items() if value is not None])
    assert [line.startswith(told) for line in lines] == ([True] if told else [])
    settings = json.loads(json.dumps(identity(names[0], BASELINES[names[0]], planned[0].config)))
    assert ("n_train" in settings) == (not told) and not {"shift_positions", "average_embeddings"} & set(settings)


def test_the_list_of_rows_says_what_each_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert baselines.main(["--list_rows"]) == 0
    text = capsys.readouterr().out
    assert all(f"{name}  {baseline.description}" in text for name, baseline in BASELINES.items())
    b6 = text.partition("B6  ")[2].partition("B7  ")[0]
    assert "--shots_by" in b6 and "--learning_rate" not in b6 and max(map(len, text.splitlines())) < 80


def test_bert_is_two_named_rows() -> None:
    config = baselines.read_config(baselines.make_parser().parse_args(["--demo"]))
    planned = baselines.plan(["B8", "B9"], config, [1, 2])
    assert [(one.name, one.config.hf_model, one.config.seed) for one in planned] == [
        ("B8", "bert-base-uncased", 1), ("B8", "bert-base-uncased", 2),
        ("B9", "bert-large-uncased", 1), ("B9", "bert-large-uncased", 2),
    ]  # fmt: skip


def test_the_report_asks_what_padding_does_and_what_fine_tuning_has_to_beat() -> None:
    """Each pair as it was asked for, by name: a question that is lost, or turned about, is seen."""
    shots = "B6 with --shots 16"
    questions = (*PADDING_QUESTIONS, *BASELINE_QUESTIONS)
    asked = {tuple(side_name(side) for side in question.sides) for question in questions}
    assert asked >= {
        ("row 1", "row 34"), ("row 1", "row 1 with --mask_padding"), ("row 34", "row 35"), ("row 35", "row 36"),
        ("row 37", "row 38"), ("row 17", "row 39"), ("B5", "row 1"), ("B5", "row 5"), ("B6", "row 5"),
        (shots, "row 5"), ("B9", "row 5"),
    }  # fmt: skip


def test_commands_that_a_report_suggests_have_seeds_where_they_draw_and_a_folder_for_a_model_of_others() -> None:
    family = Family("Questions", 0.02)
    suggest = Suggestions().baseline
    assert suggest("B5", family).endswith("--rows B5")
    assert suggest(Variant("B5", {"weights": "random"}), family).endswith("--weights random --seeds 123-132")
    assert suggest(Variant("B6", {"shots": 4, "shots_by": "nearest"}), family).endswith("--shots_by nearest")
    assert suggest(Variant("B7", {"hf_model": "some"}), family).endswith("--hf_model FOLDER/some --seeds 123-132")
