"""How a language model goes on from a text: whose, how often, from what it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

import generation_experiments
from ablation.config.decoding import Decoding
from ablation.config.finished_run import way_of_going_on, ways_left_out
from ablation.config.generation_rows import GENERATION


def ask(capsys: pytest.CaptureFixture[str], *flags: str, status: int = 0) -> list[str]:
    assert generation_experiments.main([*flags]) == status
    told = capsys.readouterr()
    return (told.err if status else told.out).splitlines()


def test_the_miniature_goes_on_alike_from_a_seed_and_appends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("--generate", " Are you ", "--max_len", "9")
    lines = ask(capsys, *command, "--demo")
    assert len(lines) == 5 and all(line.startswith("Are you") for line in lines)
    assert len(set(lines)) > 1
    assert ask(capsys, *command, "--model_size", "gpt2-nano", "--weights", "pretrained", "--samples", "2") == lines[:2]
    assert ask(capsys, *command, "--demo", "--seed", "7") != lines
    assert list(tmp_path.iterdir()) == []


def test_a_run_goes_on_with_its_own_model_and_length(
    language_model_results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {file: file.stat().st_mtime_ns for file in language_model_results.rglob("*")}
    command = ("--generate", "I", "--run", "latest", "--results_dir", str(language_model_results))
    (line,) = ask(capsys, *command, "--samples", "1", "--decoding", "greedy")
    (longer,) = ask(capsys, *command, "--samples", "1", "--decoding", "greedy", "--max_len", "30")
    assert line.startswith("I ") and longer.startswith(line)
    assert {file: file.stat().st_mtime_ns for file in language_model_results.rglob("*")} == files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" \t", "the text is empty; give its first words"),
        ("Are you there? " * 20, "tokens, a sentence 35 at most (--max_len), its continuation among them; shorten it"),
        ("\udce9", "the text is not UTF-8 text"),
        ("a" + " " * 500_001 + "b", "the text has 500,001 blanks in a row"),
    ],
)
def test_a_text_that_cannot_be_gone_on_from(text: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    (error,) = ask(capsys, "--generate", text, "--demo", status=1)
    assert error.startswith("error: --generate '") and words in error and len(error) < 250


def test_a_length_beyond_the_model_is_the_fault_of_the_command_not_of_the_run(
    language_model_results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("--generate", "I", "--run", "latest", "--results_dir", str(language_model_results))
    (error,) = ask(capsys, *command, "--max_len", "400", status=2)
    assert error == "error: --max_len 400: the model has 256 positions, one is the start; give 1 to 255"


def test_a_plan_of_what_is_only_said_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    (error,) = ask(capsys, "--generate", "I", "--demo", "--dry_run", status=2)
    assert error == "error: --dry_run: --generate trains nothing and appends nothing; leave it out"


@pytest.mark.parametrize(
    ("flags", "first"),
    [
        ("", ""),
        ("--decoding top_k", ""),
        ("--temperature 0.5", ""),
        ("--decoding greedy,random", "greedy"),
        ("--temperature 0.7,1", "random at temperature 0.7"),
    ],
)
def test_of_several_ways_it_says_which_one_it_takes(flags: str, first: str) -> None:
    config, *_ = GENERATION.read(flags.split())
    left_out = ways_left_out(config, {flag[2:] for flag in flags.split() if flag.startswith("--")})
    assert left_out == ([f"--generate goes on in one way, here the first: {first}; give one"] if first else [])


@pytest.mark.parametrize(
    ("flags", "way"),
    [
        ("", Decoding("random")),
        ("--temperature 0.7,1", Decoding("random", 0.7)),
        ("--decoding top_k,random", Decoding("top_k", 1.0, 40)),
        ("--decoding top_k_top_p --temperature 0.5 --top_p 0.8", Decoding("top_k_top_p", 0.5, 40, 0.8)),
        ("--decoding greedy --temperature 0.5", Decoding("greedy")),
    ],
)
def test_the_first_way_that_was_typed(flags: str, way: Decoding) -> None:
    config, *_ = GENERATION.read(flags.split())
    assert way_of_going_on(config, {flag[2:] for flag in flags.split() if flag.startswith("--")}) == way
