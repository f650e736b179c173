"""More rows from a finished language model: what is added, what is not, and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import generation_experiments
from ablation.config.decoding import Decoding
from ablation.config.generation_rows import GENERATION
from ablation.data.sentences import Corpus, load_sentences
from ablation.listener import Listener
from ablation.report.language_runs import configurations_of
from ablation.results import more_rows
from ablation.results.log import ResultsError
from ablation.results.read import read_results
from ablation.results.runs import complete, rebuild
from ablation.run.more_samples import more_samples
from ablation.run.open_language_model import SavedLanguageModel, find_run
from ablation.tasks.language_model import LANGUAGE_MODEL
from ablation.tasks.registry import TASKS
from tests.support.tiny_language_model import make_run

WAYS = ["--decoding", "greedy,top_k", "--temperature", "0.5", "--n_samples", "3"]


@pytest.fixture
def results(language_model_results: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    shutil.copytree(language_model_results, folder)
    return folder


def run_folder(results: Path) -> Path:
    (folder,) = (results / "runs").iterdir()
    return folder


def record(results: Path) -> dict[str, Any]:
    return json.loads((run_folder(results) / "run.json").read_text())


def lines_of(results: Path) -> list[str]:
    return (results / "generation.csv").read_text().splitlines()


def ask(results: Path, *flags: str, run: str = "latest") -> int:
    return generation_experiments.main(["--run", run, "--results_dir", str(results), *flags])


def found(results: Path, *flags: str) -> SavedLanguageModel:
    given = ["--results_dir", str(results), *flags]
    config, *_ = GENERATION.read(given)
    return find_run(LANGUAGE_MODEL, "latest", config, dict.fromkeys(flag[2:] for flag in given if flag[:2] == "--"))


def test_a_finished_run_speaks_in_other_ways_as_if_it_had_done_so_at_once(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lines_of(results)
    assert ask(results, *WAYS, run=run_folder(results).name) == 0
    out = capsys.readouterr().out
    assert "greedy: the run has as many sentences already, or more" in out
    assert "top_k 40 at temperature 0.5: 3 sentences to generate" in out
    at_once = make_run(tmp_path / "other", decoding="greedy,top_k", temperature="0.5")
    for name in ("samples_greedy_1.txt", "samples_top_k_0.5.txt"):
        assert (run_folder(results) / name).read_bytes() == (at_once / name).read_bytes()
    own = ("decoding", "temperature", "top_k", "n_samples", "forward_bleu", "harmonic_bleu", "mean_length")
    rows, others = (list(csv.DictReader(lines_of(folder))) for folder in (results, tmp_path / "other"))
    assert [[row[name] for name in own] for row in rows] == [[row[name] for name in own] for row in others]
    assert len({row["run_id"] for row in rows}) == 1 and lines_of(results)[: len(before)] == before
    both, theirs = record(results), json.loads((at_once / "run.json").read_text())
    assert both["intervals"] == theirs["intervals"]
    assert [one["decoding"] for one in both["evaluations"]] == ["greedy", "top_k"]
    assert both["added"][0]["evaluations"] == [
        {"decoding": "top_k", "temperature": 0.5, "top_k": 40, "top_p": None, "n_samples": 3}
    ]
    assert "| top_k 40 at temperature 0.5 | 3 |" in (run_folder(results) / "README.md").read_text()


def test_a_way_that_is_there_is_not_appended_twice_and_all_rows_can_be_made_anew(results: Path) -> None:
    assert ask(results, *WAYS) == 0
    files = {file: file.read_bytes() for file in results.rglob("*") if file.is_file()}
    assert ask(results, *WAYS) == 0
    assert ask(results, *WAYS[:-1], "2") == 0  # it has more
    assert {file: file.read_bytes() for file in results.rglob("*") if file.is_file()} == files
    lines = lines_of(results)
    assert complete(results, LANGUAGE_MODEL) == [] and lines_of(results) == lines
    (results / "generation.csv").unlink()
    rebuild(results, TASKS)
    assert lines_of(results) == lines
    assert [run.evaluation["decoding"] for run in read_results(results, LANGUAGE_MODEL)[0]] == ["greedy", "top_k"]


def test_more_sentences_of_a_way_begin_with_those_that_were_there(results: Path) -> None:
    assert ask(results, "--decoding", "random", "--temperature", "1", "--n_samples", "2") == 0
    few = (run_folder(results) / "samples_random_1.txt").read_text().splitlines()
    assert ask(results, "--decoding", "random", "--temperature", "1", "--n_samples", "4") == 0
    many = (run_folder(results) / "samples_random_1.txt").read_text().splitlines()
    assert len(many) == 4 and many[:2] == few
    assert [one["n_samples"] for one in record(results)["evaluations"]] == [3, 2, 4]
    assert len(lines_of(results)) == 4


def test_another_cut_has_a_file_of_its_own_and_the_report_finds_it(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for cut in ("50", "1"):
        assert ask(results, "--decoding", "top_k", "--temperature", "1", "--top_k", cut, "--n_samples", "2") == 0
    assert f"\n1 row appended to {results / 'generation.csv'}\n" in capsys.readouterr().out
    assert {"samples_top_k_1.txt", "samples_top_k_1_1.txt"} <= {file.name for file in run_folder(results).iterdir()}
    (configuration,), _ = configurations_of(LANGUAGE_MODEL, read_results(results, LANGUAGE_MODEL)[0], demo=True)
    (training,) = configuration.trainings
    wide, likeliest = (training.samples(Decoding("top_k", top_k=cut)) for cut in (50, 1))
    assert len(likeliest) == 2 and likeliest[0] == likeliest[1] and wide != likeliest


def test_temperatures_that_nearly_are_one_have_files_of_their_own(results: Path) -> None:
    near = "0.5,0.50000001"
    assert ask(results, "--decoding", "random", "--temperature", near, "--n_samples", "2") == 0
    names = {file.name for file in run_folder(results).glob("samples_random_0.5*")}
    assert names == {"samples_random_0.5.txt", "samples_random_0.50000001.txt"}


def test_a_run_that_generated_nothing_speaks_later(tmp_path: Path) -> None:
    make_run(tmp_path, n_samples=0)
    assert ask(tmp_path, "--decoding", "greedy", "--n_samples", "2") == 0
    assert [one["n_samples"] for one in record(tmp_path)["evaluations"]] == [0, 2]


def test_some_of_the_published_sentences_are_those_of_the_run(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def published(*given: Any) -> Corpus:
        return dataclasses.replace(load_sentences(*given), published=True)

    monkeypatch.setattr("ablation.run.more_samples.load_sentences", published)
    saved = found(results, *WAYS)
    some = {**saved.record, "data_digest": LANGUAGE_MODEL.published_data_digest}
    assert more_samples(LANGUAGE_MODEL, dataclasses.replace(saved, record=some), Listener())


def test_killed_before_the_rows_they_come_later(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lines_of(results)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(more_rows, "complete", killed)
        with pytest.raises(KeyboardInterrupt):
            more_samples(LANGUAGE_MODEL, found(results, *WAYS), Listener())
    assert lines_of(results) == before and len(record(results)["evaluations"]) == 2
    assert complete(results, LANGUAGE_MODEL) == []
    lines = lines_of(results)
    assert lines[:-1] == before and ",top_k,0.5,40,,3," in lines[-1]


def test_of_two_who_add_at_once_nothing_is_lost_or_double(results: Path) -> None:
    """Both looked at the run before either of them wrote."""
    both = [found(results, "--decoding", ways, "--temperature", "0.5", "--n_samples", "2")
            for ways in ("random,top_k", "top_k,top_p")]  # fmt: skip
    appended = [[row["decoding"] for row in more_samples(LANGUAGE_MODEL, one, Listener())] for one in both]
    assert appended == [["random", "top_k"], ["top_p"]]
    assert [one["decoding"] for one in record(results)["evaluations"]] == ["greedy", "random", "top_k", "top_p"]
    assert len(record(results)["intervals"]) == len(lines_of(results)) - 1 == 4


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "trained.safetensors").unlink(), "kept no model; train it anew with --save_model"),
        (lambda folder: change(folder, "data_digest", "0" * 64), "the run's sentences were others than"),
        (lambda folder: change(folder, "trained_sha256", "0" * 64), "is not what its run wrote"),
        (lambda folder: change(folder, "task", "spam"), "is no run of a language model"),
        (lambda folder: change(folder, "run_id", "another"), "is not its folder's name"),
        (lambda folder: change(folder, "n_heads", -3), "its settings are those of another version"),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused_in_one_line(
    spoil: Any, words: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(run_folder(results))
    lines = lines_of(results)
    assert ask(results, *WAYS, run=str(run_folder(results))) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and words in error
    assert lines_of(results) == lines


def change(folder: Path, name: str, value: Any) -> None:
    file = folder / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))


def test_a_run_that_there_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(tmp_path) == 1
    assert ask(tmp_path, run="7-1-nothing") == 1
    latest, named = capsys.readouterr().err.splitlines()
    assert latest.endswith(f"generation_experiments.py --demo --save_model --results_dir {tmp_path}")
    assert named == "error: --run 7-1-nothing: no run has that folder or id; give one of them, or latest"


def test_a_folder_outside_of_results_has_no_place_for_rows(results: Path, tmp_path: Path) -> None:
    own = tmp_path / run_folder(results).name
    shutil.copytree(run_folder(results), own)
    with pytest.raises(ResultsError, match="not below runs of a results folder"):
        more_rows.results_folder(own)


@pytest.mark.parametrize(
    ("command", "errors"),
    [
        ("--run R --learning_rate 0.1 --row 3 --seed 2",
         ["--run R trains nothing, and has no use for --row, --learning_rate, --seed; leave them out"]),
        ("--run R --n_samples 0", ["--run R with --n_samples 0: adds nothing; give 1 at least"]),
        ("--run R --samples 0",
         ["--samples 0: is below 1; give 1 or more", "--samples 0: belongs to --generate TEXT; rows have --n_samples"]),
        ("--samples 3", ["--samples 3: belongs to --generate TEXT; rows have --n_samples"]),
        ("--generate a", ["--generate: of which model? give --run RUN, --weights pretrained or --demo"]),
        ("--generate a --demo --n_samples 3",
         ["--generate trains nothing, and has no use for --n_samples; leave it out; --samples says how often"]),
        ("--generate a --weights pretrained --blocks 1,2",
         ["--generate trains nothing, and has no use for --blocks; leave it out"]),
        ("--run R --generate a --weights pretrained",
         ["--run R trains nothing, and has no use for --weights; leave it out"]),
    ],
)  # fmt: skip
def test_flags_that_do_not_go_together(
    command: str, errors: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert generation_experiments.main(command.split()) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == f"error: {errors[-1]}" and len(told) == len(errors)
