"""The report on made-up results whose truth is known: what it reads, leaves out, compares and says."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import baselines
import report
from ablation.config.flags import typed
from ablation.config.rows import ROWS, row_config
from ablation.data.demo import read_demo_messages
from ablation.data.spam import read_messages, split_messages
from ablation.report import significance as statistics
from ablation.report.cells import device_text, minutes_text, table_columns
from ablation.report.contents import Contents, gather
from ablation.report.findings import Finding, answer_all, best_baseline, row_key
from ablation.report.groups import group_runs, nearest_row
from ablation.report.markdown import report_markdown
from ablation.report.results_blocks import update_document
from ablation.report.table import TableRow
from ablation.results.log import REBUILD_COMMAND
from ablation.results.questions import BEST_BASELINE, Family
from ablation.results.read import FinishedRun, read_results
from ablation.results.task import PredictionsError
from ablation.tasks import __main__ as tasks_command
from ablation.tasks.spam import SPAM
from ablation.tasks.spam_likeness import letters, likeness_of, load_likeness
from ablation.tasks.spam_questions import BEYOND_CLAIMS, DEMO, DEMO_QUESTIONS, MAIN, QUESTIONS, RANDOM_TWINS
from tests.support.made_up_results import made_up_messages, make_results, make_run

pytestmark = pytest.mark.usefixtures("published")

PROJECT = Path(report.__file__).parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def contents(results: Path, data: Path) -> Contents:
    return gather(SPAM, results, data)


def read(results: Path) -> list[FinishedRun]:
    return read_results(results, SPAM)[0]


def published_figures(row: TableRow) -> dict[str, float]:
    return {name: found.published for name, found in row.figures.items() if found.published is not None}


def demo_digest() -> str:
    likeness, _ = load_likeness(Path(), demo=True)
    assert likeness is not None
    return likeness.digest


def answer(gathered: Contents, first: str, second: str, family: Family = MAIN) -> Finding:
    wanted = first, second, family
    return next(f for f in gathered.findings if (f.question.first, f.question.second, f.question.family) == wanted)


# ---- reading ---------------------------------------------------------------------------------------------------------


def test_bad_lines_are_named_counted_and_left_out(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_results(tmp_path, data, {1: 0.95}, range(6))
    path = tmp_path / SPAM.csv_name
    header, *lines = path.read_text().splitlines()
    columns = header.split(",")
    lines[1] = lines[1][:100]
    lines[2] = "this, that"
    lines[3] = lines[3].replace("fp32", "fp31")
    test_correct = columns.index("test_correct")
    fields = lines[4].split(",")
    fields[test_correct] = "301"
    lines[4] = ",".join(fields)
    lines[5] = lines[5].replace("0.1", "0.2")  # edited by hand: the hash is another's
    path.write_bytes("\n".join([header, *lines, "\0\xff garbage"]).encode("latin-1") + b"\n")
    runs, problems = read_results(tmp_path, SPAM)
    assert [run.seeds[0] for run in runs] == [0]
    assert [problem.split(": ")[0].rpartition(" ")[2] for problem in problems] == ["3", "4", "5", "6", "7", "8"]
    reasons = ("values for", "2 values", "precision 'fp31'", "301 of 300", "config_hash is not", "1 values")
    assert all(reason in problem for reason, problem in zip(reasons, problems, strict=True))
    assert report.main(["--results_dir", str(tmp_path), "--data_dir", str(data)]) == 0
    assert "6 lines of the results left out" in capsys.readouterr().out
    assert "line 5: precision 'fp31'" in (tmp_path / "report" / "report.md").read_text()


def test_results_that_cannot_be_read_leave_the_report_alone(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged or missing CSV beside runs is no reason to write an empty report over a full one."""
    make_run(tmp_path, data, row_config(1), 0.9)
    command = ["--results_dir", str(tmp_path), "--data_dir", str(data)]
    path, page = tmp_path / SPAM.csv_name, tmp_path / "report" / "report.md"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # saved by a spreadsheet
    assert report.main(command) == 0
    before = page.read_text()
    assert "1 run." in before
    for damage in (lambda: path.write_text(path.read_text().split("\n", 1)[1]), path.unlink):
        damage()
        assert report.main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(f"{REBUILD_COMMAND} {tmp_path} makes the file anew from them")
        assert page.read_text() == before
    assert tasks_command.main(["--rebuild", str(tmp_path)]) == 0
    assert report.main(command) == 0


def test_demo_figures_never_enter_the_readme(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path, data, row_config(1, demo=True), 0.9, data_digest=demo_digest())
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results:begin -->\nreal figures\n<!-- results:end -->\n")
    command = ["--results_dir", str(tmp_path), "--data_dir", str(data), "--update_readme", "--readme", str(readme)]
    assert report.main(command) == 1
    assert "holds demo runs" in capsys.readouterr().err
    assert "real figures" in readme.read_text()


def test_a_row_that_was_added_is_described_by_its_flags(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROWS, 20, {"num_epochs": 2, "trainable_token_pos": "flexible"})
    make_run(tmp_path, data, row_config(20), 0.9)
    make_run(tmp_path / "demo", data, row_config(20, demo=True), 0.9, data_digest=demo_digest())
    (line,) = contents(tmp_path, data).rows
    assert (line.name, line.description) == ("20", "--trainable_token_pos flexible --num_epochs 2")
    assert published_figures(line) == {}
    (line,) = contents(tmp_path / "demo", data).rows
    assert (line.name, line.description) == ("20", "--demo --trainable_token_pos flexible --num_epochs 2")


def test_a_foreign_file_is_no_results_file(tmp_path: Path) -> None:
    (tmp_path / SPAM.csv_name).write_text("name,age\nx,3\n")
    runs, problems = read_results(tmp_path, SPAM)
    assert runs == []
    assert "line 1: no header of results" in problems[0]


def test_a_run_id_cannot_lead_out_of_the_results(tmp_path: Path, data: Path) -> None:
    make_run(tmp_path, data, row_config(1), 0.9)
    path = tmp_path / SPAM.csv_name
    run_id = read(tmp_path)[0]["run_id"]
    path.write_text(path.read_text().replace(run_id, "../../elsewhere"))
    assert "no name of a folder" in read_results(tmp_path, SPAM)[1][0]


def test_columns_of_a_newer_version_are_no_obstacle(tmp_path: Path, data: Path) -> None:
    make_run(tmp_path, data, row_config(3), 0.9)
    path = tmp_path / SPAM.csv_name
    header, line = path.read_text().splitlines()
    path.write_text(f"novelty,{header}\n7,{line}\n")
    assert [run.row for run in read(tmp_path)] == ["3"]


def test_predictions_that_contradict_the_line_are_refused(tmp_path: Path, data: Path) -> None:
    make_run(tmp_path, data, row_config(1), 0.9)
    run = read(tmp_path)[0]
    assert run.predictions("test").correct.sum() == run.counts["test"].correct
    path = run.folder / "predictions.csv"
    whole = path.read_text().splitlines()
    for text, words in (
        ("\n".join(whole[:-1]), "the results say"),
        ("split,index\ntest,0\n", "columns"),
        ("\n".join(line.replace("test,0,", "test,x,") for line in whole), "not readable"),
        (None, "missing"),
    ):
        path.unlink() if text is None else path.write_text(text)
        with pytest.raises(PredictionsError, match=words):
            read(tmp_path)[0].predictions("test")


# ---- messages --------------------------------------------------------------------------------------------------------


def test_letters_ignore_case_digits_and_signs() -> None:
    assert letters("WIN £1000 now!") == letters("win 2,000 NOW") == "winnow"


def test_duplicates_and_clusters() -> None:
    def frame(*texts: str) -> pd.DataFrame:
        return pd.DataFrame({"Label": [0] * len(texts), "Text": texts})

    splits = {"train": frame("a 1", "b"), "validation": frame("c"), "test": frame("A 2", "b", "d", "D!", "e")}
    messages = likeness_of(splits)
    assert messages.in_training["verbatim"].tolist() == [False, True, False, False, False]
    assert messages.in_training["letters"].tolist() == [True, True, False, False, False]
    assert messages.clusters["test"].tolist() == [0, 1, 2, 2, 3]


def test_published_test_split_repeats_36_training_messages_54_by_letters(real_data_dir: Path) -> None:
    messages, _ = load_likeness(real_data_dir)
    assert messages is not None
    assert {sense: int(known.sum()) for sense, known in messages.in_training.items()} == {"verbatim": 36, "letters": 54}
    assert len(set(messages.clusters["test"])) == 286


# ---- groups ----------------------------------------------------------------------------------------------------------


def test_runs_on_other_messages_are_variants_compared_with_no_row(tmp_path: Path, data: Path) -> None:
    """Whether their hash knows of it, or they are of a version whose hashes said nothing of data."""
    make_results(tmp_path, data, {1: 0.95}, (1, 2))
    make_results(tmp_path, data, {16: 0.7}, (1,))
    make_run(tmp_path, data, row_config(16, seed=2), 0.9, data_digest="c" * 64)
    make_run(tmp_path, data, row_config(16, seed=3), 0.9, foreign={"data_digest": "c" * 64})
    make_run(tmp_path, data, row_config(1, seed=2, num_epochs=2), 0.9, foreign={"data_digest": "d" * 64})
    groups, notes = group_runs(read(tmp_path))
    assert notes == []
    assert {group.name: [seed for seed, _ in group.runs] for group in groups} == {
        "1": [1, 2],
        "16": [1],
        "16 with data cccccccc": [2, 3],
        "1 with --num_epochs 2, data dddddddd": [2],
    }
    gathered = contents(tmp_path, data)
    assert answer(gathered, "1", "16").seeds == 1
    assert any("2 runs on other messages than the published ones (data digest cccccccc)" in n for n in gathered.notes)
    assert {row.name: row.row for row in gathered.rows} == {
        "1": "1", "16": "16", "16 with data cccccccc": "", "1 with --num_epochs 2, data dddddddd": ""
    }  # fmt: skip
    known = {row.name: bool(row.unseen) for row in gathered.rows}  # which messages are new
    assert known == {
        "1": True,
        "16": True,
        "16 with data cccccccc": False,
        "1 with --num_epochs 2, data dddddddd": False,
    }


def test_a_baseline_on_other_messages_is_not_the_baseline(tmp_path: Path, data: Path) -> None:
    """A row is told from the published data by its digest, whatever the hash says."""
    make_results(tmp_path, data, {1: 0.95}, (1,))
    foreign = made_up_messages(tmp_path / "foreign")
    for folder in (data, foreign):
        command = ["--data_dir", str(folder), "--results_dir", str(tmp_path), "--offline", "--trust_new_hash"]
        assert baselines.main([*command, "--rows", "B2"]) == 0
    gathered = contents(tmp_path, data)
    digest = next(group.first["data_digest"] for group in gathered.groups if group.name.startswith("B2 with"))
    assert [group.name for group in gathered.groups] == ["1", "B2", f"B2 with data {digest[:8]}"]
    assert "the baseline is B2" in answer(gathered, BEST_BASELINE, "1").notes


def test_with_other_messages_alone_there_is_no_row(tmp_path: Path, data: Path) -> None:
    for seed in range(3):
        make_run(tmp_path, data, row_config(1, seed=seed), 0.9, data_digest="c" * 64)
    gathered = contents(tmp_path, data)
    assert [(row.name, row.seeds) for row in gathered.rows] == [("1 with data cccccccc", ("0", "1", "2"))]
    assert answer(gathered, "1", "16").method == "no results of row 1 and row 16"


@pytest.mark.parametrize("columns", [["data_digest"], ["weights_digest"], ["weights_digest", "data_digest"]])
def test_a_hash_with_digests_is_read_and_held_against_the_line(tmp_path: Path, data: Path, columns: list[str]) -> None:
    foreign = dict.fromkeys(columns, "c" * 64)
    make_run(tmp_path, data, row_config(4), 0.9, foreign=foreign)
    (run,) = read(tmp_path)
    assert (run.row, run.settings) == ("", {"trainable_layers": "last_two_blocks", **foreign})
    path = tmp_path / SPAM.csv_name
    path.write_text(path.read_text().replace("c" * 64, "b" * 64))  # edited by hand
    runs, problems = read_results(tmp_path, SPAM)
    assert runs == [] and "config_hash is not that of its settings" in problems[0]


def test_runs_that_do_not_say_their_weights_make_no_variant_of_the_others(tmp_path: Path, data: Path) -> None:
    for seed, digest in enumerate(("", "", "a" * 64, "b" * 64, "a" * 64)):
        make_run(tmp_path, data, row_config(1, seed=seed), 0.9, weights_digest=digest)
    groups, _ = group_runs(read(tmp_path))
    assert {group.name: [seed for seed, _ in group.runs] for group in groups} == {
        "1": [0, 1, 2, 4],
        "1 with weights bbbbbbbb": [3],
    }


def test_runs_that_named_a_file_of_weights_do_not_outvote_the_published_ones(tmp_path: Path, data: Path) -> None:
    make_run(tmp_path, data, row_config(1, seed=9), 0.9, weights_digest="a" * 64)
    for seed in range(3):
        make_run(tmp_path, data, row_config(1, seed=seed), 0.9, weights_digest="b" * 64, weights_path="own.safetensors")
    groups, _ = group_runs(read(tmp_path))
    assert {group.name: [seed for seed, _ in group.runs] for group in groups} == {
        "1": [9],
        "1 with weights bbbbbbbb": [0, 1, 2],
    }


def test_runs_of_an_older_miniature_are_named_and_compared_with_none_of_this_one(tmp_path: Path, data: Path) -> None:
    for seed in (1, 2, 3):
        make_run(tmp_path, data, row_config(1, seed=seed, demo=True), 0.9, data_digest="c" * 64)
    gathered = contents(tmp_path, data)
    assert [row.name for row in gathered.rows] == ["1 with data cccccccc"]
    assert gathered.notes[0].startswith("all results are of an older miniature, whose messages were others; train anew")
    assert any(what.startswith("no results: rows 1") and "--demo" in command for what, command in gathered.missing)

    make_run(tmp_path, data, row_config(1, seed=1, demo=True), 0.9, minute=9, data_digest=demo_digest())
    make_run(tmp_path, data, row_config(2, seed=1, demo=True), 0.7, data_digest="c" * 64)
    gathered = contents(tmp_path, data)
    assert [row.name for row in gathered.rows] == ["1", "1 with data cccccccc", "2 with data cccccccc"]
    assert answer(gathered, "1", "2", DEMO).absent == ("2",)
    assert any(
        note.startswith("4 runs on other messages than this miniature's (data digest cccccccc)")
        for note in gathered.notes
    )


def test_demo_runs_on_different_data_are_not_compared(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the miniature's messages cannot be read, another version's are told by most runs of each row."""
    gone = tmp_path / "gone.csv"
    monkeypatch.setattr("ablation.tasks.spam_likeness.read_demo_messages", lambda: read_demo_messages(gone))
    for row, digest in ((1, "c" * 64), (2, "d" * 64)):
        for seed in (1, 2):
            make_run(tmp_path, data, row_config(row, seed=seed, demo=True), 0.9, data_digest=digest)
    make_run(tmp_path, data, row_config(2, seed=3, demo=True), 0.9, data_digest="c" * 64)
    gathered = contents(tmp_path, data)
    assert [row.name for row in gathered.rows] == ["1", "2", "2 with data cccccccc"]
    assert answer(gathered, "1", "2", DEMO).method == "not compared: the two were trained on different data"


def test_messages_of_another_experiment_are_not_used(tmp_path: Path, data: Path) -> None:
    make_run(tmp_path, data, row_config(1), 0.9, data_digest="c" * 64)
    gathered = contents(tmp_path, data)
    assert gathered.likeness is None
    assert "are not those of the results" in gathered.notes[0]


def test_rows_from_different_weights_are_not_compared(tmp_path: Path, data: Path) -> None:
    make_results(tmp_path, data, {1: 0.95, 6: 0.9}, (1,))
    make_run(tmp_path, data, row_config(16, seed=1), 0.7, weights_digest="f" * 64)
    gathered = contents(tmp_path, data)
    assert answer(gathered, "1", "16").method == "not compared: the two started from different weights"
    medium = next(claim for claim in gathered.claims if claim.id == "S7")
    assert "exact McNemar" in medium.how and medium.interval  # another size has other weights by nature


def test_a_repeated_seed_counts_once_and_the_newest_wins(tmp_path: Path, data: Path) -> None:
    make_run(tmp_path, data, row_config(1, seed=4), 0.9, minute=5, device_name="new")
    make_run(tmp_path, data, row_config(1, seed=4), 0.9, minute=1, device_name="old")
    groups, notes = group_runs(read(tmp_path))
    assert [[run["device_name"] for run in group.runs.values()] for group in groups] == [["new"]]
    assert "1: 1 run repeated later" in notes[0]


def test_other_pretrained_weights_are_a_variant_random_ones_differ_by_nature(tmp_path: Path, data: Path) -> None:
    make_results(tmp_path, data, {1: 0.9, 10: 0.9}, (1, 2, 3))
    for seed in (4, 5):
        make_run(tmp_path, data, row_config(1, seed=seed), 0.9, weights_digest="f" * 64)
    make_run(tmp_path, data, row_config(1, seed=6), 0.9, foreign={"weights_digest": "f" * 64})
    groups, notes = group_runs(read(tmp_path))
    assert {group.name: len(group.runs) for group in groups} == {"1": 3, "10": 3, "1 with weights ffffffff": 3}
    assert notes == []
    assert {row.name: published_figures(row) != {} for row in contents(tmp_path, data).rows} == {
        "1": True, "10": True, "1 with weights ffffffff": False
    }  # fmt: skip


def test_variants_are_named_after_the_nearest_row(tmp_path: Path, data: Path) -> None:
    assert nearest_row(SPAM, {"weights": "random", "trainable_layers": "last_layer"}) == (3, {"weights": "random"})
    one_epoch = {"num_epochs": 1}
    assert nearest_row(SPAM, {"weights": "random", "trainable_layers": "all", **one_epoch}) == (10, one_epoch)
    assert typed({"no_padding": True, "model_size": "gpt2-xl (1558M)", "max_steps": 3}) == (
        '--no_padding --model_size "gpt2-xl (1558M)" --max_steps 3'
    )
    make_run(tmp_path, data, row_config(16, weights="random"), 0.9)
    assert [group.name for group in group_runs(read(tmp_path))[0]] == ["16 with --weights random"]


def test_demo_runs_alone_are_reported_as_their_rows_beside_no_published_figures(tmp_path: Path, data: Path) -> None:
    digest = demo_digest()
    for seed in (1, 2):
        for row, accuracy in ((1, 0.9), (2, 0.7), (6, 0.9)):
            make_run(tmp_path, data, row_config(row, seed=seed, demo=True), accuracy, data_digest=digest)
    gathered = contents(tmp_path, data)
    assert [(line.name, published_figures(line)) for line in gathered.rows] == [("1", {}), ("2", {}), ("6", {})]
    assert gathered.likeness is not None and gathered.likeness.digest == digest
    first_token = next(answer for answer in gathered.findings if answer.question.name == "row 1 and row 2")
    assert first_token.difference is not None
    assert all("--demo" in command for _, command in gathered.missing)
    unanswered = [found for found in gathered.findings if found.absent]
    assert {"baseline", "3"} <= {side for found in unanswered for side in found.absent}
    for found in unanswered:
        commands = found.notes[-1].split("; ")
        assert all(command.startswith(("python sweep.py --demo", "python baselines.py --demo")) for command in commands)
    markdown = report_markdown(gathered, [])
    assert "not GPT-2 and not the SMS Spam Collection" in markdown
    assert "96.63" not in markdown  # row 1's published training accuracy
    assert "| Published |" not in markdown and "| Device |" in markdown  # a column without anything is left out
    assert "Is GPT-2 medium better" not in markdown  # one model stands for all sizes
    assert "GPT-2 XL" not in markdown
    assert "rows that name a larger GPT-2 ran with gpt2-nano" in markdown


def test_among_real_runs_a_demo_is_a_variant(tmp_path: Path, data: Path) -> None:
    make_run(tmp_path, data, row_config(2, seed=1), 0.7)
    make_run(tmp_path, data, row_config(2, seed=1, demo=True), 0.7)
    names = [line.name for line in contents(tmp_path, data).rows]
    assert names == ["2", "2 with --demo"]


# ---- table -----------------------------------------------------------------------------------------------------------


def test_a_line_of_the_table_by_hand(tmp_path: Path, data: Path) -> None:
    make_results(tmp_path, data, {2: 0.75}, range(123, 127))
    gathered = contents(tmp_path, data)
    (line,) = gathered.rows
    runs = read(tmp_path)
    accuracies = [run.counts["test"].correct / 300 for run in runs]
    figures = line.figures["test_acc"]
    assert figures.mean == pytest.approx(np.mean(accuracies))
    assert figures.deviation == pytest.approx(np.std(accuracies, ddof=1))
    splits = split_messages(read_messages(data / "SMSSpamCollection.tsv", trust_new_hash=True))
    new = ~splits["test"]["Text"].isin(splits["train"]["Text"]).to_numpy()
    correct = np.array([run.predictions("test").correct for run in runs])
    share = line.unseen["verbatim"]
    assert (share.accuracy, share.total) == (pytest.approx(correct[:, new].mean()), new.sum())
    assert gathered.likeness is not None
    interval = statistics.accuracy_interval(correct, gathered.likeness.clusters["test"])
    assert figures.interval == pytest.approx(interval)
    assert figures.published == 0.75
    assert figures.inside == (interval[0] <= 0.75 <= interval[1])


def test_one_run_has_wilsons_interval_even_without_predictions(tmp_path: Path, data: Path) -> None:
    make_run(tmp_path, data, row_config(1), 0.95)
    run = read(tmp_path)[0]
    expected = statistics.wilson_interval(run.counts["test"].correct, 300)
    assert contents(tmp_path, data).rows[0].figures["test_acc"].interval == pytest.approx(expected)
    (run.folder / "predictions.csv").unlink()
    gathered = contents(tmp_path, data)
    assert gathered.rows[0].figures["test_acc"].interval == pytest.approx(expected)
    assert any("predictions.csv: missing" in note for note in gathered.notes)


def test_mixed_devices_are_named_in_the_cell(tmp_path: Path, data: Path) -> None:
    for seed, device in enumerate(("A", "A", "NVIDIA B")):
        make_run(tmp_path, data, row_config(1, seed=seed), 0.95, device_name=device, training_minutes=float(seed))
    (line,) = contents(tmp_path, data).rows
    assert device_text(line) == "2 mixed: A ×2, NVIDIA B ×1"
    assert minutes_text(line) == "0.50 (A, 2 threads); 2.00 (NVIDIA B)"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "2.50 (2 threads)"),
        ({"execution": "naive", "threads": 1}, "2.50 (1 thread, naive)"),
        ({"device_name": "NVIDIA H100", "execution": "recorded"}, "2.50 (recorded)"),
        ({"device_name": "NVIDIA H100"}, "2.50"),
        ({"features": "reused"}, "2.50 (2 threads, features reused)"),
    ],
    ids=str,
)
def test_minutes_say_under_which_conditions(tmp_path: Path, data: Path, changes: dict[str, Any], text: str) -> None:
    make_run(tmp_path, data, row_config(1), 0.9, **changes)
    (line,) = contents(tmp_path, data).rows
    assert minutes_text(line) == text


def test_precisions_never_share_a_line(tmp_path: Path, data: Path) -> None:
    make_run(tmp_path, data, row_config(1), 0.95)
    make_run(tmp_path, data, row_config(1, precision="bf16", seed=124), 0.95)
    lines = contents(tmp_path, data).rows
    assert [(line.name, device_text(line)) for line in lines] == [
        ("1", "Some CPU"),
        ("1 with --precision bf16", "Some CPU, bf16"),
    ]


def test_every_cell_has_a_text_with_little_and_with_much(tmp_path: Path, data: Path) -> None:
    make_results(tmp_path, data, {1: 0.95, 3: 0.7}, (1, 2))
    make_run(tmp_path, data, row_config(2, weights="random"), 0.6)
    for folder in (data, tmp_path / "nowhere"):
        rows = contents(tmp_path, folder).rows
        assert all(column.text(row) for column in table_columns(SPAM, rows) for row in rows)


# ---- questions -------------------------------------------------------------------------------------------------------


def test_the_declared_families() -> None:
    """The pairs that the table is read for: of random weights, in the demo, and of the rest what no claim states."""
    numbers = "1-2 1-3 1-4 1-5 4-5 1-6 1-7 1-8 1-10 5-10 5-11 9-12 1-13 1-14 1-15 15-16 1-16 1-17 1-19"
    pairs = [*(tuple(pair.split("-")) for pair in numbers.split()), (BEST_BASELINE, "1"), (BEST_BASELINE, "4")]
    asked = {family: [q.sides for q in QUESTIONS if q.family == family] for family in (MAIN, RANDOM_TWINS)}
    assert asked == {
        MAIN: [pair for pair in pairs if pair in BEYOND_CLAIMS],
        RANDOM_TWINS: [pair for pair in pairs if "10" not in pair],
    }
    stated = {frozenset(claim.rows) for claim in SPAM.claims() if not claim.why_not}
    assert {pair for pair in pairs if frozenset(pair) not in stated} == BEYOND_CLAIMS  # one home for each comparison
    in_demo = [q for q in DEMO_QUESTIONS if q.family == DEMO]
    sized = {"6", "7", "8", "9", "12"}
    assert [q.sides for q in in_demo if not q.identity] == [pair for pair in pairs if not sized & set(pair)]
    assert [q.sides for q in in_demo if q.identity] == [("1", "18")]
    questions = [q for q in (*QUESTIONS, *in_demo) if not q.identity]
    keys = [[s if s == BEST_BASELINE else row_key(SPAM, q.family, s) for s in q.sides] for q in questions]
    assert all(first != second for first, second in keys)


def test_one_seed_is_compared_by_mcnemar(tmp_path: Path, data: Path) -> None:
    make_results(tmp_path, data, {1: 0.95, 16: 0.75}, (123,))
    first, second = (run.predictions("test").correct for run in read(tmp_path))
    gathered = answer(contents(tmp_path, data), "1", "16")
    b, c = int((second > first).sum()), int((first > second).sum())
    assert gathered.p == statistics.exact_mcnemar(b, c)
    assert gathered.method == f"exact McNemar, {b} against {c} messages"
    assert gathered.corrected == pytest.approx(min(1, 4 * statistics.exact_mcnemar(b, c)))
    assert gathered.verdict.startswith("row 1 is better than row 16 by")
    assert "another seed may say otherwise" in gathered.notes[0]


@pytest.mark.parametrize("seeds", [2, 5])
def test_two_to_five_seeds_give_figures_and_a_cautious_sentence(tmp_path: Path, data: Path, seeds: int) -> None:
    make_results(tmp_path, data, {1: 0.95, 16: 0.75}, range(seeds))
    found = answer(contents(tmp_path, data), "1", "16")
    assert (found.seeds, found.p, found.corrected) == (seeds, None, None)
    assert found.difference is not None
    points = f"{-100 * found.difference:.1f} points"
    assert found.verdict == (
        f"row 1 is {points} above row 16 on average, in {seeds} of {seeds} seeds; so few seeds say little of others"
    )
    assert found.difference == pytest.approx(-0.2, abs=0.06)
    assert found.interval is not None


def test_six_seeds_give_a_verdict_ten_the_sign_flips(tmp_path: Path, data: Path) -> None:
    make_results(tmp_path, data, {1: 0.95, 16: 0.75}, range(6))
    gathered = contents(tmp_path, data)
    found = answer(gathered, "1", "16")
    first, second = (np.array([r.predictions("test").correct for r in g.runs.values()]) for g in gathered.groups)
    assert gathered.likeness is not None
    expected = statistics.paired_comparison(second, first, gathered.likeness.clusters["test"])
    assert found.p is not None
    assert found.p == pytest.approx(expected.p_value())
    assert found.corrected == pytest.approx(min(1, 4 * found.p))
    assert found.interval == pytest.approx(expected.interval())
    assert found.sign_flip is None
    assert found.verdict.startswith("row 1 is better than row 16 by")
    make_results(tmp_path, data, {1: 0.95, 16: 0.75}, range(6, 10))
    assert answer(contents(tmp_path, data), "1", "16").sign_flip == 2 / 2**10


def test_only_common_seeds_are_compared(tmp_path: Path, data: Path) -> None:
    make_results(tmp_path, data, {1: 0.95}, (1, 2, 3))
    make_results(tmp_path, data, {16: 0.75}, (3, 4))
    assert answer(contents(tmp_path, data), "1", "16").seeds == 1
    make_results(tmp_path, data, {15: 0.75}, (9,))
    found = answer(contents(tmp_path, data), "1", "15")
    assert (found.seeds, found.method) == (0, "the two have no seed in common")
    assert found.notes == (f"python sweep.py --rows 1,15 --seeds 123-132 --results_dir {tmp_path}",)


def test_missing_predictions_say_why_there_is_no_comparison(tmp_path: Path, data: Path) -> None:
    make_results(tmp_path, data, {1: 0.95, 16: 0.75}, (1,))
    (read(tmp_path)[0].folder / "predictions.csv").unlink()
    found = answer(contents(tmp_path, data), "1", "16")
    assert found.method.startswith("not compared: ")
    assert "predictions.csv: missing" in found.method
    assert found.p is None


def test_random_twins_are_asked_by_themselves(tmp_path: Path, data: Path) -> None:
    make_results(tmp_path, data, {1: 0.95, 16: 0.75}, range(6), weights="random")
    gathered = contents(tmp_path, data)
    assert answer(gathered, "1", "16").method == "no results of row 1 and row 16"
    found = answer(gathered, "1", "16", RANDOM_TWINS)
    assert found.p is not None
    assert found.corrected == pytest.approx(min(1, 19 * found.p))


def test_all_layers_with_random_weights_are_row_10(tmp_path: Path, data: Path) -> None:
    make_results(tmp_path, data, {10: 0.93}, (1,))
    make_results(tmp_path, data, {1: 0.8}, (1,), weights="random")
    assert answer(contents(tmp_path, data), "1", "5", RANDOM_TWINS).seeds == 1


def test_ignore_index_is_an_identity_check(tmp_path: Path, data: Path) -> None:
    for seed in (1, 2):
        for row in (1, 18):
            make_run(tmp_path, data, row_config(row, seed=seed, demo=True), 0.95, data_digest=demo_digest())
    assert "identical to the last bit in 0 of 2" in answer(contents(tmp_path, data), "1", "18", DEMO).verdict
    runs = read(tmp_path)
    by = {(run["row"], run.seeds[0]): run.folder / "predictions.csv" for run in runs}
    lines = (tmp_path / SPAM.csv_name).read_text().splitlines()
    for seed in (1, 2):
        by["18", seed].write_text(by["1", seed].read_text())
    counts = [lines[0].split(",").index(f"{split}_correct") for split in ("validation", "test")]
    rows = [line.split(",") for line in lines]
    for seed in (1, 2):
        for position in counts:
            rows[2 * seed][position] = rows[2 * seed - 1][position]
    (tmp_path / SPAM.csv_name).write_text("\n".join(map(",".join, rows)) + "\n")
    found = answer(contents(tmp_path, data), "1", "18", DEMO)
    assert found.verdict == "identical to the last bit in 2 of 2 common seeds"
    assert found.p is None


def test_the_baseline_best_on_validation_stands_against_each_seed(tmp_path: Path, data: Path) -> None:
    make_results(tmp_path, data, {1: 0.7}, range(6))
    command = ["--data_dir", str(data), "--results_dir", str(tmp_path), "--offline", "--trust_new_hash"]
    assert baselines.main(command) == 0
    gathered = contents(tmp_path, data)
    best = best_baseline(SPAM, {group.key: group for group in gathered.groups})
    assert best is not None
    validation = {g.name: g.first.counts["validation"].accuracy for g in gathered.groups if g.first.is_baseline}
    assert validation[best.name] == max(validation.values())
    found = answer(gathered, BEST_BASELINE, "1")
    assert found.seeds == 6
    assert found.verdict.startswith("the baseline is better than row 1 by")
    assert f"the baseline is {best.name}" in found.notes


def test_different_devices_are_noted(tmp_path: Path, data: Path) -> None:
    make_run(tmp_path, data, row_config(1), 0.95, device_name="A")
    make_run(tmp_path, data, row_config(16), 0.75, device_name="B", torch_version="3")
    notes = answer(contents(tmp_path, data), "1", "16").notes
    assert "different devices: A, B" in notes
    assert "different versions of PyTorch: 2.13.0, 3" in notes


def test_an_unanswered_question_counts_as_p_one() -> None:
    assert all(a.corrected is None and a.verdict == "" for a in answer_all(SPAM, [], None, QUESTIONS))


# ---- the command -----------------------------------------------------------------------------------------------------


def test_no_results_make_a_report_that_says_what_to_run(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main(["--results_dir", str(tmp_path), "--data_dir", str(data)]) == 0
    out = capsys.readouterr().out
    assert f"python sweep.py --rows 1-19 --seeds 123-132 --results_dir {tmp_path}\n" in out
    assert f"python baselines.py --rows B1,B2,B3 --results_dir {tmp_path}\n" in out
    text = (tmp_path / "report" / "report.md").read_text()
    assert "No results yet." in text
    assert (tmp_path / "report" / "report.html").exists()


def test_missing_data_is_said_with_the_way_out(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_results(tmp_path, data, {1: 0.95, 16: 0.75}, range(6))
    assert report.main(["--results_dir", str(tmp_path), "--data_dir", str(tmp_path / "nowhere")]) == 0
    assert "python gpt_download.py --dataset --data_dir" in capsys.readouterr().out
    assert answer(contents(tmp_path, tmp_path / "nowhere"), "1", "16").p is not None


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["--results_dir", str(tmp_path / "reslts")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert not (tmp_path / "reslts").exists()


def test_outputs_and_the_readme(tmp_path: Path, data: Path) -> None:
    results, readme = tmp_path / "results", tmp_path / "README.md"
    make_results(results, data, {1: 0.95, 2: 0.75, 16: 0.98}, range(6))
    readme.write_text(f"# Title\n\n{BEGIN}\nstale figures\n{END}\n\nend\n")
    command = ["--results_dir", str(results), "--data_dir", str(data), "--update_readme", "--readme", str(readme)]
    assert report.main(command) == 0
    names = ("accuracies", "accuracy_time", "losses", "seeds")
    pictures = [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    written = sorted(path.name for path in (results / "report").iterdir())
    assert written == sorted([*pictures, "report.html", "report.md", "table.csv"])
    assert sum(path.stat().st_size for path in (results / "report").iterdir()) < 2_000_000
    text = readme.read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nend\n")
    assert "stale figures" not in text
    assert "| 16 | --trainable_token_pos flexible | 6 |" in text
    table = pd.read_csv(results / "report" / "table.csv")
    assert table["configuration"].tolist() == [1, 2, 16]
    assert table["runs"].tolist() == [6, 6, 6]
    before = {path.name: path.read_bytes() for path in (results / "report").iterdir()}
    assert report.main(command) == 0
    assert before == {path.name: path.read_bytes() for path in (results / "report").iterdir()}


@pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN}{END}{BEGIN}"])
def test_a_readme_without_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(ValueError, match="once each and in this order"):
        update_document(readme, {"results": "block"})
    assert readme.read_text() == text


def test_no_value_can_write_html(tmp_path: Path, data: Path) -> None:
    """Neither a device, nor a setting, nor a word of a damaged line or of a folder's name, in the page or in
    Markdown."""
    hostile = '<script>alert("1")</script>'
    make_run(tmp_path, data, row_config(1), 0.95, device_name=hostile)
    make_run(tmp_path, data, row_config(1, seed=2), 0.95, weights_digest=hostile)
    make_run(tmp_path, data, row_config(2), 0.95, precision=hostile)
    (read(tmp_path)[0].folder / "predictions.csv").unlink()
    assert report.main(["--results_dir", str(tmp_path), "--data_dir", str(tmp_path / hostile)]) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;") >= 3
    assert page.count("<script") == 1  # the page's own
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert "<script" not in markdown
    assert markdown.count('&lt;script&gt;alert("1")&lt;/script&gt;') >= 3


def test_a_value_of_several_lines_stays_in_its_cell(tmp_path: Path, data: Path) -> None:
    make_run(tmp_path, data, row_config(1), 0.95, device_name="a | b\n\n# <b>heading</b>")
    assert report.main(["--results_dir", str(tmp_path), "--data_dir", str(data)]) == 0
    (row,) = [line for line in (tmp_path / "report" / "report.md").read_text().splitlines() if "heading" in line]
    assert row.startswith("| 1 |") and "a \\| b # &lt;b&gt;heading&lt;/b&gt;" in row


def test_the_report_never_imports_torch(tmp_path: Path, data: Path) -> None:
    make_results(tmp_path, data, {1: 0.95}, (1, 2))
    command = f"import sys, report; report.main(['--results_dir', {str(tmp_path)!r}, '--data_dir', {str(data)!r}]);"
    program = f"{command} sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True, capture_output=True, timeout=100)


@pytest.mark.slow
def test_nineteen_rows_and_ten_seeds_take_seconds(tmp_path: Path, data: Path) -> None:
    """Of the processor's time: other work on the machine makes the wall's longer."""
    make_results(tmp_path, data, dict.fromkeys(ROWS, 0.95), range(123, 133))
    started = time.process_time()
    assert report.main(["--results_dir", str(tmp_path), "--data_dir", str(data)]) == 0
    assert time.process_time() - started < 30
