"""Runs and baselines on the first so many training messages: another experiment, wherever one is told from another."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import additional_experiments
import baselines
from ablation.baselines.record import identity, settings_hash
from ablation.baselines.registry import BASELINES
from ablation.config.baseline import BaselineConfig
from ablation.config.experiment import ConfigError, ExperimentConfig, config_hash
from ablation.config.flags import EXPERIMENTS
from ablation.config.rows import ROWS, find_row, row_config
from ablation.data.encode import UNUSED
from ablation.execution.plan import make_plan
from ablation.listener import Listener
from ablation.results.read import read_results
from ablation.results.run_folder import describe_result
from ablation.run.experiment import run_experiment
from ablation.run.summary import runs_alike
from ablation.sweep.plan import plan_runs
from ablation.sweep.state import settled
from ablation.tasks.spam import SPAM, messages_of
from tests.support.tiny import few_demo_messages

QUICK: dict[str, Any] = {
    "demo": True, "max_steps": 1, "eval_iter": 1, "device": "cpu", "offline": True, "trainable_token_pos": "first",
    "checkpoint_every": 0.0,
}  # fmt: skip


def rows_of(results: Path) -> list[dict[str, str]]:
    with (results / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# ---- the configuration -----------------------------------------------------------------------------------------------


def test_it_is_a_variant_and_a_row_without_it_stays_what_it_is() -> None:
    hashes = {row: config_hash(row_config(row)) for row in ROWS}
    assert {config_hash(row_config(row, n_train=None)) for row in ROWS} == set(hashes.values())
    assert config_hash(row_config(1, n_train=100)) not in hashes.values()
    assert find_row(ROWS, row_config(1, n_train=100)) is None
    groups = {make_plan(ExperimentConfig(n_train=count)).feature_group for count in (None, 50, 100)}
    assert len(groups) == 3  # so that no run is taken to have left another's features
    kept = {make_plan(ExperimentConfig(n_train=count, feature_cache="f")).feature_group for count in (None, 50)}
    assert len(kept) == 1


def test_as_many_as_there_are_is_no_setting_and_too_many_or_few_are_refused() -> None:
    config = ExperimentConfig(demo=True)
    assert SPAM.settled(replace(config, n_train=1045)) == config
    assert SPAM.settled(replace(config, n_train=1044)).n_train == 1044
    for count, line in ((1046, "--n_train 1046: the training split has 1045"), (1, "--n_train 1: none of the first 1")):
        with pytest.raises(ConfigError, match=line):
            SPAM.settled(replace(config, n_train=count))


def test_texts_are_the_first_ones_and_the_digest_that_of_the_whole_splits() -> None:
    config = ExperimentConfig(demo=True)
    (whole, digest, _), (few, same, _) = messages_of(config), messages_of(replace(config, n_train=30))
    assert few["train"].equals(whole["train"].head(30)) and few["test"].equals(whole["test"])
    assert same == digest == SPAM.data_digest(replace(config, n_train=30))


def test_messages_are_padded_as_they_are_with_all() -> None:
    """Else fewer messages would be shorter ones, too, the tested ones cut, and two things at once other."""
    config = ExperimentConfig(demo=True)
    whole = SPAM.load(config, Listener()).splits
    few = SPAM.load(replace(config, n_train=9), Listener()).splits
    assert set(few) == set(whole) and len(few["train"]) == 9
    assert few["train"].tokens.shape[1] == whole["train"].tokens.shape[1] > few["train"].lengths.max()
    assert few["test"].tokens.equal(whole["test"].tokens)
    kept: dict[str, Any] = {"feature_cache": "somewhere", "n_train": 9}
    assert UNUSED in SPAM.load(replace(config, **kept), Listener()).splits
    assert UNUSED not in SPAM.load(replace(config, **kept, trainable_layers="all"), Listener()).splits


# ---- a run -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "padding", [{}, pytest.param({"padding_side": "left", "mask_padding": True}, marks=pytest.mark.slow)]
)
def test_features_that_are_kept_are_those_of_all_sizes_and_the_numbers_are_the_same(
    padding: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
    cache: dict[str, Any] = {"feature_cache": str(tmp_path)}
    settings = {**QUICK, **padding}
    alone = run_experiment(SPAM, ExperimentConfig(**settings, n_train=40))
    first = run_experiment(SPAM, ExperimentConfig(**settings, n_train=20, **cache))
    second = run_experiment(SPAM, ExperimentConfig(**settings, n_train=40, **cache))
    whole = run_experiment(SPAM, ExperimentConfig(**settings, **cache))
    assert [run.features for run in (first, second, whole)] == ["computed", "reused", "reused"]
    assert alone.answers.logits["test"].allclose(second.answers.logits["test"], atol=1e-5)
    assert alone.answers.counts == second.answers.counts and second.answers.counts["train"].total == 40
    (row,) = describe_result(SPAM, second).rows
    assert (row["row"], row["n_train"], second.foreign) == (None, 40, {})
    assert row["data_digest"] == describe_result(SPAM, whole).rows[0]["data_digest"]


def own_mail(folder: Path) -> list[str]:
    """Flags for forty messages, as many of each label: 28 to train on, 4 to choose by, 8 to test on."""
    mail = folder / "mail.csv"
    mail.write_text("label,text\n" + "".join(f"{'no' if n < 20 else 'yes'},text {n}\n" for n in range(40)))
    return ["--data_file", str(mail)]


def test_messages_of_ones_own_are_taken_in_the_order_of_their_split(tmp_path: Path) -> None:
    own = own_mail(tmp_path)
    for flags in (["--n_train", "9"], ["--n_train", "28"], []):
        assert baselines.main(["--demo", *own, *flags, "--rows", "B1", "--results_dir", str(tmp_path)]) == 0
    few, whole = rows_of(tmp_path)
    assert (few["n_train"], few["train_total"], few["test_total"]) == ("9", "9", "8")
    assert (whole["n_train"], whole["train_total"]) == ("", "28") and few["data_digest"] == whole["data_digest"]
    config = ExperimentConfig(demo=True, data_file=own[1], n_train=9)
    used, everything = messages_of(config)[0], messages_of(replace(config, n_train=None))[0]
    assert used["train"].equals(everything["train"].head(9)) and SPAM.settled(config).label_names == ("no", "yes")
    assert [len(split) for split in SPAM.load(config, Listener()).splits.values()] == [9, 4, 8]


def test_bad_counts_are_one_line_and_leave_the_results_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, own = tmp_path / "results", own_mail(tmp_path)
    for flags, status, message in (
        (["--n_train", "0"], 2, "--n_train 0: give a whole number of at least 1"),
        (["--n_train", "2000"], 2, "--n_train 2000: the training split has 1045 messages"),
        (["--n_train", "1"], 2, "--n_train 1: none of the first 1 training messages is spam"),
        (["--n_train", "5"], 1, "--batch_size 8: the training split has 5 messages with --n_train 5; give"),
        ([*own, "--n_train", "29"], 2, "--n_train 29: the training split has 28 messages"),
        ([*own, "--n_train", "1"], 2, "--n_train 1: none of the first 1 training messages is yes, so"),
    ):
        command = ["--demo", "--results_dir", str(results), *flags]
        assert additional_experiments.main(command) == status
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert message in line
        if "--batch_size" not in message:
            assert baselines.main(command) == status
            assert message in capsys.readouterr().err
    assert not results.exists()


# ---- baselines -------------------------------------------------------------------------------------------------------


def test_a_baseline_on_fewer_is_another_one(tmp_path: Path) -> None:
    command = ["--demo", "--rows", "B1", "--results_dir", str(tmp_path)]
    for count in ("50", "1045", "50", "1045"):
        assert baselines.main([*command, "--n_train", count]) == 0
    rows = rows_of(tmp_path)  # the second time they were there
    assert [(row["row"], row["n_train"], row["train_total"]) for row in rows] == [
        ("B1", "50", "50"), ("B1", "", "1045"),
    ]  # fmt: skip
    assert len({row["config_hash"] for row in rows}) == 2 and len({row["data_digest"] for row in rows}) == 1
    whole = identity("B1", BASELINES["B1"], BaselineConfig(demo=True))
    assert settings_hash(whole) == rows[1]["config_hash"]
    assert whole == {"row": "B1", "model": "majority", "demo": True}
    assert settings_hash({**whole, "n_train": 50}) == rows[0]["config_hash"]
    assert {row["baseline_settings"] for row in rows} == {""}  # the count has a column of its own
    runs, problems = read_results(tmp_path, SPAM)
    assert not problems and runs[0].key != runs[1].key and runs[0].settings == {"demo": True, "n_train": 50}
    # A run on fewer is held against baselines on as many.
    few = ExperimentConfig(demo=True, n_train=50, results_dir=str(tmp_path))
    mine = [{"data_digest": rows[0]["data_digest"], "n_train": 50}]
    assert {run["n_train"] for run in runs_alike(SPAM, few, mine)} == {"50"}
    assert {run["n_train"] for run in runs_alike(SPAM, few, [{**mine[0], "n_train": None}])} == {""}


def test_baselines_that_learn_nothing_from_messages_take_no_number_of_them() -> None:
    config = baselines.read_config(baselines.make_parser().parse_args(["--demo", "--n_train", "50"]))
    planned = baselines.plan(["B3", "B4", "B5", "B6", "B8"], config, [1])
    counts = {one.name: one.config.n_train for one in planned}
    assert counts == {"B3": 50, "B4": None, "B5": 50, "B6": None, "B8": 50}
    assert baselines.remarks(["B4", "B6"], planned, ["n_train"]) == [
        "--n_train has no effect on B6 without --shots: no training message stands before a question"
    ]


# ---- a sweep ---------------------------------------------------------------------------------------------------------


def test_a_sweep_takes_several_and_knows_all_of_them_for_none() -> None:
    plan = partial(plan_runs, EXPERIMENTS, [1], [1, 2], settle=partial(settled, SPAM))
    runs, doubles = plan(["--demo", "--n_train", "50,100,1045"])
    assert [(run.config.n_train, run.seed, run.config.seed) for run in runs] == [
        (50, 1, 1), (50, 2, 2), (100, 1, 1), (100, 2, 2), (None, 1, 1), (None, 2, 2),
    ]  # fmt: skip
    assert not doubles and runs[-1].hash == config_hash(ExperimentConfig(demo=True, seed=2))
    assert runs[0].name == "row 1, n_train 50, seed 1"
    with pytest.raises(ConfigError, match="row 1: --n_train 2000: the training split has 1045"):
        plan(["--demo", "--n_train", "50,2000"])
