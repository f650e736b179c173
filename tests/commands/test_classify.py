"""Trained classifiers at use: the same answers as the run's own, whatever the row, and every kind of bad input."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import shlex
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import classify
from ablation.config.experiment import ExperimentConfig
from ablation.data.demo import WEIGHTS, load_demo_tokenizer
from ablation.data.lines import LONGEST_LINE, ArrivingLines, InputLine, groups, read_lines
from ablation.data.message import MessageError, MessageTokens, message_tokens
from ablation.data.spam import LABELS, split_messages
from ablation.environment import python_command
from ablation.listener import Listener
from ablation.model.classifier import build_classifier
from ablation.results.run_folder import PREDICTIONS_CSV, TRAINED_PARAMETERS
from ablation.run import answers, positions, saved_models
from ablation.run.answers import Reply, columns_of
from ablation.run.evaluate import Mistake, OfLabel, Scores, describe_scores, evaluate
from ablation.run.experiment import run_experiment
from ablation.run.inputs import open_tokenizer, open_weights
from ablation.run.kinds import save_result
from ablation.run.trained_classifier import (
    Answer,
    ClassifierError,
    SavedRun,
    TrainedClassifier,
    join,
    needs_base,
    read_saved_run,
)
from ablation.tasks.spam import SPAM
from tests.support.tiny import few_demo_messages

pytestmark = pytest.mark.usefixtures("few_messages")

CPU = torch.device("cpu")

# Every policy, readout, mask and padding at least once.
VARIANTS: dict[str, dict[str, Any]] = {
    "row 1": {"context_length": "longest_training_example"},
    "first": {"trainable_token_pos": "first"},
    "last layer, mean": {"trainable_layers": "last_layer", "average_embeddings": True},
    "two blocks, real tokens": {"trainable_layers": "last_two_blocks", "trainable_token_pos": "flexible"},
    "all": {"trainable_layers": "all"},
    "random": {"weights": "random", "trainable_layers": "all", "n_layers": 2},
    "random, frozen": {"weights": "random", "n_layers": 2},
    "lora": {"trainable_layers": "lora", "lora_rank": 4, "lora_alpha": 16},
    "lora merged, mean of the real tokens": {
        "trainable_layers": "lora_alternative", "trainable_token_pos": "flexible", "average_embeddings": True,
    },
    "no mask": {"disable_causal_mask": True},
    "no padding": {"no_padding": True, "batch_size": 1},
    "no padding, no mask": {"no_padding": True, "batch_size": 1, "disable_causal_mask": True},
    "naive": {"execution": "naive", "context_length": 40},
}  # fmt: skip


def train(folder: Path, **overrides: Any) -> Path:
    """A few steps of a demo run that keeps its model; returns the run's folder."""
    quick = {"context_length": 32, "max_steps": 3, "eval_iter": 1, "learning_rate": 1e-4}
    settings = {"demo": True, "save_model": True, **quick, **overrides}
    (row,) = save_result(SPAM, run_experiment(SPAM, ExperimentConfig(**settings, results_dir=str(folder))))
    return folder / "runs" / row["run_id"]


def open_classifier(folder: Path) -> TrainedClassifier:
    saved = read_saved_run(folder)
    base = open_weights(saved.config, Listener()) if needs_base(saved) else None
    return TrainedClassifier(saved, join(saved, base), open_tokenizer(saved.config), CPU, tuple(LABELS))


def predicted(folder: Path, split: str = "test") -> np.ndarray:
    table = pd.read_csv(folder / PREDICTIONS_CSV)
    return table[table["split"] == split][["logit_ham", "logit_spam"]].to_numpy()


@pytest.fixture(scope="module")
def test_texts() -> list[str]:
    return list(split_messages(few_demo_messages())["test"]["Text"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of row 1, which no test changes."""
    return train(tmp_path_factory.mktemp("results"))


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may spoil."""
    return Path(shutil.copytree(run, tmp_path / run.name))


# ---- the same answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_answers_are_the_runs_own(name: str, tmp_path: Path, test_texts: list[str]) -> None:
    folder = train(tmp_path, **VARIANTS[name])
    answers = open_classifier(folder).classify(test_texts)
    expected = predicted(folder)
    assert np.abs(np.array([answer.logits for answer in answers]) - expected).max() < 1e-5
    assert [answer.label for answer in answers] == ["spam" if spam > ham else "ham" for ham, spam in expected]
    assert np.ptp(expected, axis=0).max() > 1e-3 or name == "first"  # there is something to tell apart


@pytest.mark.parametrize("name", ["row 1", "two blocks, real tokens", "no mask", "no padding"])
def test_an_answer_does_not_depend_on_the_rest_of_the_batch(name: str, tmp_path: Path, test_texts: list[str]) -> None:
    classifier = open_classifier(train(tmp_path, **VARIANTS[name]))
    together = classifier.classify(test_texts)
    for text, answer in list(zip(test_texts, together, strict=False))[::8]:
        (alone,) = classifier.classify([text])
        assert alone.label == answer.label
        assert alone.logits == pytest.approx(answer.logits, abs=1e-5)


def test_an_answer_says_what_was_read(run: Path) -> None:
    classifier = open_classifier(run)
    padded_length = read_saved_run(run).padded_length
    assert padded_length is not None
    tokenizer = load_demo_tokenizer()
    short, long = "see you at the pub", "see you at the pub " * 100
    answers = classifier.classify([short, long])
    assert (answers[0].tokens, answers[0].read, answers[0].cut) == (len(tokenizer.encode_ordinary(short)),) * 2 + (
        False,
    )
    assert (answers[1].tokens, answers[1].read, answers[1].cut) == (
        len(tokenizer.encode_ordinary(long)),
        padded_length,
        True,
    )
    for answer in answers:
        assert 0.5 <= answer.probability <= 1
    assert classifier.classify([]) == []
    with pytest.raises(MessageError, match="empty"):
        classifier.classify([short, " "])


# ---- what is loaded -------------------------------------------------------------------------------------------------


def test_other_base_weights_are_refused(run: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(WEIGHTS)
    tensors["trf_blocks.0.att.W_query.weight"][0, 0] += 1e-3
    save_file(tensors, tmp_path / "other.safetensors")
    saved = read_saved_run(run)
    config = ExperimentConfig(demo=True, weights_path=str(tmp_path / "other.safetensors"))
    with pytest.raises(ClassifierError, match=r"digest .*--weights_path"):
        join(saved, open_weights(config, Listener()))


@pytest.mark.parametrize("part", ["run.json", TRAINED_PARAMETERS])
def test_a_missing_part_is_named(copy: Path, part: str) -> None:
    (copy / part).unlink()
    with pytest.raises(ClassifierError, match=part):
        read_saved_run(copy)


@pytest.mark.parametrize("part", ["run.json", TRAINED_PARAMETERS])
def test_an_altered_part_is_named(copy: Path, part: str) -> None:
    content = bytearray((copy / part).read_bytes())
    content[len(content) // 2] ^= 1
    if part == "run.json":
        content = content[:-20]
    (copy / part).write_bytes(content)
    with pytest.raises(ClassifierError, match=part):
        read_saved_run(copy)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="nowhere is not there; give the folder"):
        read_saved_run(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ClassifierError, match="file is a file; give the folder"):
        read_saved_run(tmp_path / "file")


def test_a_run_without_save_model_says_so(tmp_path: Path) -> None:
    folder = train(tmp_path, save_model=False, max_steps=1)
    with pytest.raises(ClassifierError, match="--save_model"):
        read_saved_run(folder)


# ---- lines ----------------------------------------------------------------------------------------------------------


def test_lines_of_a_stream() -> None:
    content = b"\xef\xbb\xbfone\r\n\ntwo\xff\nthree \xe2\x82\xac\x00\x1b[2J\n" + b"a" * LONGEST_LINE + b"aa\nlast"
    lines = list(read_lines(io.BytesIO(content)))
    assert [line.number for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line.text for line in lines] == ["one", "", "", "three €\x00\x1b[2J", "", "last"]
    assert lines[2].problem == "not UTF-8 text (byte 4 of the line)"
    assert "more than 4,194,304 bytes" in lines[4].problem
    assert not any(line.problem for line in (lines[0], lines[1], lines[3], lines[5]))


def test_a_stream_is_read_as_it_is_asked_for() -> None:
    stream = io.BytesIO(b"one\ntwo\nthree\n")
    lines = read_lines(stream)
    assert next(lines).text == "one"
    assert stream.tell() == 4


def test_long_lines_are_held_a_few_at_a_time() -> None:
    lines = (InputLine(number, "a" * LONGEST_LINE) for number in range(1, 12))
    assert len(next(groups(lines, 512))) == 4
    assert next(lines).number == 5  # and nothing was read ahead
    assert [[line.number for line in group] for group in groups(lines, 5)] == [[6, 7, 8, 9], [10, 11]]
    short = [InputLine(number, "a") for number in range(7)]
    assert [len(group) for group in groups(short, 3)] == [3, 3, 1]


def test_a_panic_of_the_tokenizer_is_an_error_of_its_message() -> None:
    class PanicException(BaseException):
        """Like that of Rust code called from Python."""

    class Tokenizer:
        def __init__(self, error: type[BaseException]) -> None:
            self.error = error

        def encode_ordinary(self, text: str) -> list[int]:
            raise self.error

    with pytest.raises(MessageError, match="shorten it"):
        message_tokens(Tokenizer(PanicException), "hello", 5)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        message_tokens(Tokenizer(KeyboardInterrupt), "hello", 5)  # type: ignore[arg-type]


# ---- the command ----------------------------------------------------------------------------------------------------


def test_messages_on_the_command_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify.main(["--model", str(run), "see you at the pub", "you have won a prize\x1b[2J"]) == 0
    captured = capsys.readouterr()
    first, second = captured.out.splitlines()
    assert first.startswith(("ham ", "spam ")) and first.endswith("see you at the pub")
    assert "\\x1b[2J" in second and "\x1b" not in captured.out
    assert "not GPT-2" in captured.err


def test_a_file_with_bad_lines(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inbox = tmp_path / "inbox.txt"
    inbox.write_bytes(b"see you at the pub\n\nbad \xff\n" + b"so long " * 125_000 + b"\ncall me\x00 back, \"now\"\n")
    assert classify.main(["--model", str(run), "--file", str(inbox), "--format", "jsonl"]) == 1
    captured = capsys.readouterr()
    records = [json.loads(line) for line in captured.out.splitlines()]
    assert [r["line"] for r in records] == [1, 2, 3, 4, 5]
    assert [r["problem"] for r in records] == [
        None, "the message is empty", "not UTF-8 text (byte 5 of the line)", None, None,
    ]  # fmt: skip
    assert [r["cut"] for r in records] == [False, None, None, True, False]
    assert records[3]["tokens"] > 200_000 and records[3]["tokens_read"] == read_saved_run(run).padded_length
    assert records[4]["text"] == 'call me\x00 back, "now"'
    assert "line 2: the message is empty" in captured.err and "line 3: not UTF-8" in captured.err


def test_a_line_that_the_tokenizer_fails_at_leaves_the_others_their_answers(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inbox = tmp_path / "inbox.txt"
    inbox.write_text("one\na" + " " * 1_000_000 + "b\na" + " " * 400_000 + "b\n" + "\t" * 1_100_000 + "x\nlast\n")
    assert classify.main(["--model", str(run), "--file", str(inbox), "--format", "jsonl"]) == 1
    captured = capfd.readouterr()
    records = [json.loads(line) for line in captured.out.splitlines()]
    assert [bool(r["label"]) for r in records] == [True, False, True, False, True]
    assert "line 2: the message has 1,000,000 blanks in a row; shorten them" in captured.err
    (warning,) = (line for line in captured.err.splitlines() if line.startswith("warning: "))
    assert warning.startswith("warning: line 3: ") and " tokens, the longest that the model was trained on" in warning
    assert "panicked" not in captured.err and len(captured.err.splitlines()) == 3 + 1  # one is the disclaimer


def test_standard_input_of_any_length(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """More lines than are held at a time, in order."""
    monkeypatch.setattr("ablation.run.answers.AT_A_TIME", 3)
    content = "".join(f"message number {number}\n" for number in range(8)).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert classify.main(["--model", str(run), "--file", "-", "--format", "jsonl"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["text"] for record in records] == [f"message number {number}" for number in range(8)]


def test_csv_can_be_read_back(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inbox = tmp_path / "inbox.txt"
    inbox.write_text('one, "two"\nthree\n')
    assert classify.main(["--model", str(run), "--file", str(inbox), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["text"] for row in rows] == ['one, "two"', "three"]
    assert {row["label"] for row in rows} <= {"ham", "spam"}
    assert tuple(rows[0]) == columns_of(["ham", "spam"])


def test_a_spreadsheet_shows_what_it_would_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "a=b", "'quoted'"]
    inbox = tmp_path / "inbox.txt"
    inbox.write_bytes("\n".join(messages).encode())
    texts = {}
    for written in ("csv", "jsonl"):
        assert classify.main(["--model", str(run), "--file", str(inbox), "--format", written]) == 0
        texts[written] = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(texts["csv"], newline="")))
    assert [row["text"] for row in rows] == [f"'{message}" for message in messages[:6]] + messages[6:]
    assert [json.loads(line)["text"] for line in texts["jsonl"].splitlines()] == messages


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to do"),
        (["hello", "--file", "-"], "message and file"),
        (["--file", "."], "is a folder"),
        (["--file", "nowhere.txt"], "no such file"),
        (["--merge_lora", "model.txt"], "ends in .pth"),
        (["--merge", "nowhere/model.pth"], "a folder that is there"),
        (["--merge", "m.pth", "--model", "another"], "--merge with 2 models: it writes one; give one --model"),
        (["--show_positions", "--model", "another", "hello"], "--show_positions with 2 models: it shows one"),
        (["--threads", "0", "hello"], "at least 1"),
        (["--weights_path", "nowhere", "hello"], "no such file"),
        (["--threshold", "1.5", "hello"], "--threshold 1.5: is a probability; give 0 to 1"),
        (["--json", "--format", "csv", "hello"], "give one of the two"),
        (["--evaluate", "nowhere.csv"], "no such file"),
        (["--evaluate", "-", "--format", "csv"], "give text or jsonl"),
        (["--evaluate", "-", "--show_positions"], "give one of the two"),
        (["--text_column", "body", "hello"], "give --file or --evaluate"),
        (["--label_column", "kind", "--file", "-"], "only there labels are read"),
    ],
)
def test_wrong_commands(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify.main(["--model", "results/runs/any", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and message in captured.err


def test_bytes_on_the_command_line_that_are_no_text(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify.main(["--model", str(run), "bad \udcff", "good"]) == 1
    captured = capsys.readouterr()
    assert "line 1: the message is not UTF-8 text" in captured.err and captured.out.endswith("good\n")


def test_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify.main(["--model", str(tmp_path), "hello"]) == 1
    assert "run.json" in capsys.readouterr().err


MERGING: dict[str, dict[str, Any]] = {
    **{name: VARIANTS[name] for name in ("row 1", "lora", "all", "no mask")},
    **{name: {"method": name, "learning_rate": 0.01} for name in ("dora", "dylora", "ia3", "bitfit", "norms")},
    "lora of its own": {"method": "lora", "lora_targets": "query+ff_out+head", "lora_head": "frozen"},
    "lora_alternative": {"trainable_layers": "lora_alternative"},
    "last_two_blocks": {"trainable_layers": "last_two_blocks"},
    "last_layer": {"trainable_layers": "last_layer"},
}
OFTEN = ("row 1", "lora", "all", "no mask", "ia3")


@pytest.mark.parametrize("name", [n if n in OFTEN else pytest.param(n, marks=pytest.mark.slow) for n in MERGING])
def test_the_merged_checkpoint_is_the_books_model(name: str, tmp_path: Path, test_texts: list[str]) -> None:
    """Loaded by its names into a plain model, it gives the run's logits; its only extra entries are the masks."""
    from previous_chapters import GPTModel

    folder = train(tmp_path, **MERGING[name])
    target = tmp_path / "checkpoint.pth"
    assert classify.main(["--model", str(folder), "--merge" if name != "lora" else "--merge_lora", str(target)]) == 0
    state = torch.load(target, weights_only=True)
    saved = read_saved_run(folder)
    model = GPTModel(saved.config.shape, causal=name != "no mask")
    model.out_head = torch.nn.Linear(saved.config.shape.emb_dim, 2)
    missing, surplus = model.load_state_dict(state, strict=False)
    masks = [f"trf_blocks.{block}.att.mask" for block in range(3)]
    assert (missing, sorted(surplus)) == ([], [] if name == "no mask" else masks)
    if name != "no mask":
        assert torch.equal(state[masks[0]], torch.triu(torch.ones(256, 256), diagonal=1))
    tokenizer = load_demo_tokenizer()
    width = saved.padded_length or 0
    ids = [tokenizer.encode_ordinary(text) for text in test_texts[:20]]
    tokens = torch.tensor([row[:width] + [tokenizer.eot_token] * (width - len(row)) for row in ids])
    with torch.inference_mode():
        assert np.abs(model(tokens)[:, -1].numpy() - predicted(folder)[:20]).max() < 1e-5


# ---- which model ----------------------------------------------------------------------------------------------------


def placed(run: Path, results_dir: Path, when: str, **changed: Any) -> Path:
    """A copy of a run in a results folder, as if it had ended at another time."""
    folder = results_dir / "runs" / f"5-{when}"
    shutil.copytree(run, folder)
    record = json.loads((folder / "run.json").read_text())
    record |= {"run_id": folder.name, "timestamp_utc": when, "row": 5, **changed}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def shelf(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three models where runs go if nothing is said, newest first."""
    monkeypatch.chdir(tmp_path)
    real, demo = Path("results"), Path("results/demo")
    folders = [
        placed(run, real, "2026-03-01T10:00:00+00:00"),
        placed(run, demo, "2026-02-01T10:00:00+00:00", row=None, learning_rate=0.001),
        placed(run, demo, "2026-01-01T10:00:00+00:00"),
    ]
    without = placed(run, real, "2026-04-01T10:00:00+00:00")
    (without / TRAINED_PARAMETERS).unlink()
    return folders


def test_without_a_model_those_kept_are_listed(shelf: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert classify.main([]) == 0
    title, *lines, last = capsys.readouterr().out.splitlines()
    assert title == "saved models, newest first:"
    assert [Path(line) for line in lines if not line.startswith(" ")] == shelf
    record = json.loads((shelf[0] / "run.json").read_text())
    share = f"{record['test_acc']:.2%} ({record['test_correct']} of {record['test_total']})"
    assert lines[1] == f"    row 5, seed 123, demo, test {share}; 2026-03-01 10:00 UTC"
    assert "--learning_rate 0.001" in "".join(lines) and "row 5" not in lines[3]
    assert last == 'to use the first: python classify.py --model latest "a message"'
    assert classify.main(shlex.split(last.partition("classify.py ")[2])) == 0


def test_a_message_without_a_model_is_a_wrong_command(shelf: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert classify.main(["hello", "--results_dir", "results/demo"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: --model is missing: give a folder, or latest\n")
    assert str(shelf[0]) not in captured.err and str(shelf[1]) in captured.err
    assert "classify.py --model latest --results_dir results/demo" in captured.err


def test_the_latest_model_is_named(shelf: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert classify.main(["--model", "latest", "see you"]) == 0
    assert f"model: {shelf[0]}\n" in capsys.readouterr().err
    assert classify.main(["--model", "latest", "--results_dir", "results/demo", "see you"]) == 0
    assert f"model: {shelf[1]}\n" in capsys.readouterr().err


def test_where_there_is_no_model_the_way_to_one_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify.main(["--model", "latest", "--results_dir", str(tmp_path), "see you"]) == 1
    command = f"additional_experiments.py --demo --row 5 --save_model --results_dir {tmp_path}"
    assert capsys.readouterr().err.splitlines() == [
        f"error: no saved model in {tmp_path}; to make one: {python_command()} {command}"
    ]
    assert classify.main(["--results_dir", str(tmp_path)]) == 0
    assert command in capsys.readouterr().out


# ---- what is said of a message --------------------------------------------------------------------------------------


def test_the_probability_of_spam_is_always_there(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = ["see you at the pub", "you have won a prize, call now"]
    expected = open_classifier(run).classify(messages)
    assert classify.main(["--model", str(run), "--json", *messages]) == 0
    for line, answer in zip(capsys.readouterr().out.splitlines(), expected, strict=True):
        ham, spam = np.exp(answer.logits) / np.exp(answer.logits).sum()
        found = json.loads(line)
        assert found["spam_probability"] == pytest.approx(spam, abs=1e-12)
        assert found["probability"] == pytest.approx(max(ham, spam), abs=1e-12) and found["label"] == answer.label
    assert classify.main(["--model", str(run), *messages]) == 0
    for line, answer in zip(capsys.readouterr().out.splitlines(), expected, strict=True):
        assert f"{answer.label:4}  spam_probability {answer.probabilities[1]:8.4%}" in line


def test_a_threshold_moves_labels_and_nothing_else(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = ["see you at the pub", "you have won a prize, call now"]
    probabilities = sorted(answer.probabilities[1] for answer in open_classifier(run).classify(messages))
    assert probabilities[0] < probabilities[1]
    for threshold, spam in ((0.0, 2), (probabilities[1], 1), (1.0, 0)):
        command = ["--model", str(run), "--json", "--threshold", repr(threshold), *messages]
        assert classify.main(command) == 0
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert sum(one["label"] == "spam" for one in found) == spam
        assert sorted(one["spam_probability"] for one in found) == pytest.approx(probabilities, abs=1e-6)
        for one in found:
            own = one["spam_probability"] if one["label"] == "spam" else 1 - one["spam_probability"]
            assert one["probability"] == pytest.approx(own, abs=1e-12)


def test_other_labels_have_a_probability_each(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**record, "labels": ["news", "sport"]}))
    for written in ("jsonl", "csv"):
        assert classify.main(["--model", str(copy), "--format", written, "see you"]) == 0
        output = capsys.readouterr().out
        (found,) = [json.loads(output)] if written == "jsonl" else csv.DictReader(io.StringIO(output))
        assert "spam_probability" not in found and found["label"] in ("news", "sport")
        shares = {label: float(found[f"probability_{label}"]) for label in ("news", "sport")}
        assert sum(shares.values()) == pytest.approx(1)
        assert max(shares, key=lambda label: shares[label]) == found["label"]
    assert classify.main(["--model", str(copy), "see you"]) == 0
    assert f"{found['label']:4}  probability " in capsys.readouterr().out


def test_more_than_two_labels_have_no_threshold(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**record, "labels": ["news", "sport", "ads"]}))
    assert classify.main(["--model", str(copy), "--threshold", "0.5", "see you"]) == 2
    assert "--threshold 0.5: decides between two labels, this model has 3" in capsys.readouterr().err


def test_a_message_of_a_kind_never_seen_is_warned_of(
    run: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longest = read_saved_run(run).padded_length or 0
    messages = ["see you", "до встречи", "señor Müller, 123 €", "我在酒吧 ok", "see you " * longest]
    assert classify.main(["--model", str(run), "--json", *messages]) == 0
    captured = capsys.readouterr()
    warnings = [json.loads(line)["warning"] for line in captured.out.splitlines()]
    assert warnings[0] is warnings[2] is None
    assert warnings[1] == "Cyrillic letters, which no training message has"
    assert warnings[3] == "CJK letters, which no training message has"
    assert warnings[4].endswith(f" tokens, the longest that the model was trained on has {longest}")
    assert [line[:16] for line in captured.err.splitlines()[1:]] == [f"warning: line {n}:" for n in (2, 4, 5)]
    record = json.loads((copy / "run.json").read_text())  # trained on messages that are not at hand
    (copy / "run.json").write_text(json.dumps({**record, "data_digest": "0" * 64}))
    assert classify.main(["--model", str(copy), "--json", *messages]) == 0
    warnings = [json.loads(line)["warning"] for line in capsys.readouterr().out.splitlines()]
    assert warnings[:4] == [None] * 4 and "tokens" in warnings[4]


def test_of_many_warnings_a_few_are_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify.main(["--model", str(run), *["привет"] * 8]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert len(lines) == 6 and lines[-1] == "warning: 3 more messages of a kind that the model never saw"


def test_a_line_is_no_wider_than_the_terminal() -> None:
    fields = {"label": "ham", "spam_probability": 0.25, "tokens": 9, "tokens_read": 9, "cut": False, "problem": None}
    for text in ("see you at the pub " * 9, "我在酒吧等你" * 9):
        line = answers.as_text({**fields, "text": text}, 80).rstrip("\n")
        assert 78 <= sum(2 if "\u4e00" <= character <= "\u9fff" else 1 for character in line) <= 80
        assert line.endswith("...")
    assert "  (1 token)    hi" in answers.as_text({**fields, "tokens": 1, "text": "hi"})


# ---- messages as they come ------------------------------------------------------------------------------------------


class Screen(io.StringIO):
    """What somebody sees who reads along: nothing before it is flushed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.changed = 0, threading.Condition()

    def flush(self) -> None:
        with self.changed:
            self.seen = self.getvalue().count("\n")
            self.changed.notify_all()

    def waits_for(self, lines: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.seen >= lines, timeout=20)


def test_a_pipe_is_answered_as_it_comes_in_batches_of_what_is_there(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is sent only when the one before it has been answered; no flag says that there is a pipe."""
    screen, sizes, answered = Screen(), [], []
    reading, writing = os.pipe()
    parts = [(b"one\ntwo\nthree\n", 3), (b"four\n", 4), (b"fi", 4), (b"ve\nsix\nse", 6), (b"ven", 6)]

    def send() -> None:
        with open(writing, "wb", buffering=0) as pipe:  # noqa: PTH123 a descriptor
            for part, lines in parts:
                pipe.write(part)
                answered.append(screen.waits_for(lines))

    answer = TrainedClassifier.answer

    def noted(self: TrainedClassifier, tokens: Sequence[MessageTokens]) -> list[Answer]:
        sizes.append(len(tokens))
        return answer(self, tokens)

    monkeypatch.setattr(TrainedClassifier, "answer", noted)
    monkeypatch.setattr("sys.stdout", screen)
    sender = threading.Thread(target=send)
    with io.TextIOWrapper(open(reading, "rb")) as stdin:  # noqa: PTH123 a descriptor
        monkeypatch.setattr("sys.stdin", stdin)
        sender.start()
        assert classify.main(["--model", str(run), "--json"]) == 0
    sender.join()
    texts = [json.loads(line)["text"] for line in screen.getvalue().splitlines()]
    assert texts == ["one", "two", "three", "four", "five", "six", "seven"]
    assert answered == [True] * 5 and sizes == [3, 1, 2, 1]


def test_lines_of_a_pipe_are_those_of_a_file() -> None:
    content = b"one\r\n\n" + b"a" * LONGEST_LINE + b"aa\nlast"
    arriving = ArrivingLines(io.BytesIO(content))
    assert arriving.is_there()
    assert list(read_lines(arriving)) == list(read_lines(io.BytesIO(content)))
    assert arriving.is_there() and arriving.readline(5) == b""
    assert ArrivingLines(io.BytesIO(b"one two")).readline(3) == b"one"


# ---- tables ---------------------------------------------------------------------------------------------------------


def test_a_csv_has_its_text_column_asked_for(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inbox = tmp_path / "inbox.csv"
    inbox.write_text('id,body,from\n1,"see you,\nat the ""pub""",x\n2,bye,y\n')
    command = ["--model", str(run), "--file", str(inbox), "--json"]
    assert classify.main(command) == 2
    (error,) = capsys.readouterr().err.splitlines()[1:]
    assert error == (
        f"error: {inbox}: which column has the messages? it has id, body, from; name one with --text_column"
    )
    assert classify.main([*command, "--text_column", "body"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["line"], one["text"]) for one in found] == [(2, 'see you,\nat the "pub"'), (4, "bye")]


# ---- labelled messages ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's test messages with a column of labels, one of them unknown."""
    file = tmp_path_factory.mktemp("labelled") / "labelled.csv"
    split = split_messages(few_demo_messages())["test"]
    names = {number: name for name, number in LABELS.items()}
    table = pd.DataFrame({"Category": split["Label"].map(names), "Message": split["Text"]})
    pd.concat([table, pd.DataFrame({"Category": ["junk"], "Message": ["hello"]})]).to_csv(file, index=False)
    return file


def test_an_evaluation_is_what_counting_gives(
    run: Path, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with labelled.open(newline="") as file:
        rows = list(csv.DictReader(file))[:-1]
    truth = [row["Category"] for row in rows]
    given = open_classifier(run).classify([row["Message"] for row in rows])
    assert classify.main(["--model", str(run), "--evaluate", str(labelled), "--json", "--threshold", "0.5"]) == 1
    captured = capsys.readouterr()
    assert "label 'junk' is none of ham, spam" in captured.err
    found = json.loads(captured.out)
    pairs = [(label, answer.label) for label, answer in zip(truth, given, strict=True)]
    assert found["confusion"] == {a: {b: pairs.count((a, b)) for b in LABELS} for a in LABELS}
    right = sum(a == b for a, b in pairs)
    assert (found["messages"], found["correct"], found["accuracy"]) == (24, right, right / 24)
    for label, figures in found["per_label"].items():
        answered, has = [b for _, b in pairs].count(label), truth.count(label)
        precision, recall = (pairs.count((label, label)) / n if n else None for n in (answered, has))
        assert figures["messages"] == has and figures["recall"] == pytest.approx(recall)
        assert figures["precision"] == (precision if precision is None else pytest.approx(precision))
    scores = [(label, answer.logits[1] - answer.logits[0]) for label, answer in zip(truth, given, strict=True)]
    pairs_of_both = itertools.product(scores, scores)
    wins = [(x > y) + (x == y) / 2 for (a, x), (b, y) in pairs_of_both if (a, b) == ("spam", "ham")]
    assert found["roc_area"] == pytest.approx(sum(wins) / len(wins), abs=0.01)  # float32 may swap two that are near
    wrong = sorted((a.probability for t, a in zip(truth, given, strict=True) if a.label != t), reverse=True)
    assert wrong and [one["probability"] for one in found["worst"]] == pytest.approx(wrong[:10], abs=1e-5)
    assert all(one["label"] != one["answered"] and truth[one["line"] - 2] == one["label"] for one in found["worst"])


def test_an_evaluation_fits_the_terminal() -> None:
    mistakes = [Mistake(7, "ham", "spam", 0.99, "see you\x1b[2J at the pub " * 9)]
    figures = {"ham": OfLabel(3, None, 2 / 3, 0.8), "spam": OfLabel(0, 0.5, None, None)}
    confusion = {"ham": {"ham": 2, "spam": 1}, "spam": {"ham": 0, "spam": 0}}
    lines = describe_scores(Scores(3, 2, confusion, figures, None, mistakes), 80)
    assert max(map(len, lines)) == 80 and lines[0] == "3 messages, 2 right: 66.67%"
    assert "ROC area (spam against ham): none: it needs messages of every label" in lines
    assert lines[-1].startswith("     7  ham    spam       99.0000%  see you\\x1b[2J at") and lines[-1].endswith("...")


def test_an_evaluation_of_three_labels() -> None:
    labels = ("news", "sport", "ads")
    said = [  # label, probabilities
        ("news", (0.7, 0.2, 0.1)), ("news", (0.1, 0.8, 0.1)), ("sport", (0.2, 0.5, 0.3)), ("ads", (0.3, 0.3, 0.4)),
        ("ads", (0.6, 0.1, 0.3)),
    ]  # fmt: skip
    replies = [
        Reply(
            InputLine(number, "a message", label=label),
            Answer(labels[int(np.argmax(shares))], max(shares), shares, tuple(np.log(shares)), 2, 2),
        )
        for number, (label, shares) in enumerate(said, start=1)
    ]
    scores = evaluate([*replies, Reply(InputLine(6, "", "the message is empty"), None)], labels)
    assert scores is not None and (scores.messages, scores.correct) == (5, 3)
    assert scores.confusion["news"] == {"news": 1, "sport": 1, "ads": 0}
    ads = scores.per_label["ads"]
    assert (ads.messages, ads.precision, ads.recall, ads.f1) == (2, 1.0, 0.5, pytest.approx(2 / 3))
    areas = []
    for index, label in enumerate(labels):
        of, others = ([s[index] for name, s in said if (name == label) == own] for own in (True, False))
        areas.append(np.mean([(x > y) + (x == y) / 2 for x in of for y in others]))
    assert scores.roc_area == pytest.approx(np.mean(areas))
    assert [(one.line, one.answered, one.probability) for one in scores.worst] == [(2, "sport", 0.8), (5, "news", 0.6)]
    assert evaluate([], labels) is None
    lines = describe_scores(scores, 40)
    assert lines[2:6] == ["         1  2  3   <- answered", "1 news   1  1  0", "2 sport  0  1  0", "3 ads    1  0  1"]


def test_a_file_without_labels_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inbox = tmp_path / "inbox.txt"
    inbox.write_text("see you\n")
    assert classify.main(["--model", str(run), "--evaluate", str(inbox)]) == 2
    assert "no labels in it; give a CSV" in capsys.readouterr().err
    inbox.write_text("junk\tsee you\n")
    assert classify.main(["--model", str(run), "--evaluate", str(inbox)]) == 2
    inbox.write_text("ham\t\n")  # a label, and no message
    assert classify.main(["--model", str(run), "--evaluate", str(inbox)]) == 1
    assert "no labelled message in it" in capsys.readouterr().err


# ---- every position -------------------------------------------------------------------------------------------------

READS: dict[str, dict[str, Any]] = {
    "last": {},
    "first": {"trainable_token_pos": "first"},
    "real tokens": {"trainable_token_pos": "flexible"},
    "mean": {"average_embeddings": True},
    "mean of the real tokens": {"trainable_token_pos": "flexible", "average_embeddings": True},
    "no mask": {"disable_causal_mask": True},
    "no padding": {"no_padding": True, "batch_size": 1},
    "naive": {"execution": "naive"},
    "left": {"padding_side": "left"},
    "left, first": {"padding_side": "left", "mask_padding": True, "trainable_token_pos": "first"},
    "left, mean": {"padding_side": "left", "shift_positions": True, "average_embeddings": True},
    "left, mean of the real tokens": {
        "padding_side": "left", "mask_padding": True, "trainable_token_pos": "flexible", "average_embeddings": True,
    },
    "masked": {"mask_padding": True},
}  # fmt: skip


def untrained(**settings: Any) -> TrainedClassifier:
    """A classifier on the demo's weights whose head is as it was drawn."""
    config = ExperimentConfig(demo=True, **settings)
    weights, model = open_weights(config, Listener()), build_classifier(config, config.shape)
    trained = {
        name: weights.tensor(name) if parameter.is_meta else parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    saved = SavedRun(Path("run"), config, trained, weights.digest(), None if config.no_padding else 16, None)
    return TrainedClassifier(saved, join(saved, weights), open_tokenizer(config), CPU, saved.labels)


@pytest.mark.parametrize("name", READS)
def test_the_position_that_counts_has_the_answer(name: str) -> None:
    classifier = untrained(**READS[name])
    text = "see you at the pub"
    (answer,) = classifier.classify([text])
    found = positions.read_positions(classifier, text)
    real = load_demo_tokenizer().encode_ordinary(text)
    width = len(real) if name == "no padding" else 16
    assert [one.position for one in found] == list(range(1, width + 1))
    assert [one.token_id for one in found if not one.pad] == real and "".join(
        one.token for one in found if not one.pad
    ) == text
    counting = [one.position for one in found if one.counts]
    reads = {
        "first": [1], "real tokens": [len(real)], "mean": list(range(1, 17)), "no padding": [len(real)],
        "mean of the real tokens": list(range(1, len(real) + 1)),
        "left, first": [17 - len(real)], "left, mean": list(range(1, 17)),
        "left, mean of the real tokens": list(range(17 - len(real), 17)),
    }  # fmt: skip
    assert counting == reads.get(name, [16])
    for one in found:
        assert sum(one.probabilities) == pytest.approx(1)
    assert len({round(one.probabilities[1], 6) for one in found}) > 3
    first_pad = next((one.position for one in found if one.pad), 1)
    assert first_pad == (1 if name.startswith("left") or name == "no padding" else len(real) + 1)
    if len(counting) == 1:
        assert found[counting[0] - 1].probabilities == pytest.approx(answer.probabilities, abs=1e-6)


def test_a_long_message_is_read_at_the_end_that_training_kept() -> None:
    text = "see you at the pub when the game is over, " * 20
    tokens = load_demo_tokenizer().encode_ordinary(text)
    for side, kept in (("left", tokens[-16:]), ("right", tokens[:16])):
        classifier = untrained(truncation_side=side)
        (answer,) = classifier.classify([text])
        assert (answer.read, answer.tokens, answer.cut) == (16, len(tokens), True)
        assert [one.token_id for one in positions.read_positions(classifier, text)] == kept


def test_each_position_is_what_reading_there_gives() -> None:
    """With the mask, the answer at a token is that to the message which ends with it."""
    classifier = untrained(trainable_token_pos="flexible")
    tokens = classifier.tokens_of("you have won a prize, call now").kept
    found = positions.read_positions(classifier, "you have won a prize, call now")
    ended = classifier.answer([MessageTokens(tokens[:end], end) for end in range(1, len(tokens) + 1)])
    for one, answer in zip(found, ended, strict=False):
        assert one.probabilities == pytest.approx(answer.probabilities, abs=1e-6)


@pytest.mark.parametrize("written", answers.WRITERS)
def test_positions_are_shown(written: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--model", str(run), "--show_positions", "--format", written, "see you at the pub 酒"]
    assert classify.main(command) == 0
    output = capsys.readouterr().out
    expected = positions.read_positions(open_classifier(run), "see you at the pub 酒")
    width = len(expected)
    if written == "text":
        lines = output.splitlines()
        assert lines[0].startswith(("ham", "spam")) and lines[2].split()[:3] == ["1", "115", "'s'"]
        assert r"'\xe9'" in output and "more pads" in output and max(map(len, lines[1:])) <= 80
        (counts,) = (line for line in lines if line.endswith(" *"))
        assert counts.split()[0] == str(width)
        assert f"* the answer is read at position {width}, a pad behind the message's" in lines[-2]
        return
    if written == "csv":
        found: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(output)))
    else:
        found = json.loads(output)["positions"]
    assert [float(one["spam_probability"]) for one in found] == pytest.approx(
        [one.probabilities[1] for one in expected], abs=1e-6
    )
    assert [str(one["counts"]) for one in found] == ["False"] * (width - 1) + ["True"]


def test_of_many_labels_the_likeliest_are_shown() -> None:
    labels = [f"a long label {number}" for number in range(12)]
    shares = tuple((3 if number in (4, 9) else 1) / 16 for number in range(12))
    found = [positions.Position(1, 115, "see", pad=False, counts=True, probabilities=shares)]
    answer = Answer(labels[4], shares[4], shares, shares, 1, 1)
    lines = positions.as_text(Reply(InputLine(1, "see"), answer), found, labels, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(lines[1].split()) == "position id token a long label 4 a long label 9"
    assert lines[3] == "(the likeliest 2 of 12 labels; with --json all)"


def test_every_format_has_its_writers() -> None:
    assert tuple(answers.WRITERS) == tuple(positions.WRITERS) == classify.FORMATS


def test_a_model_of_many_labels_names_a_few_of_them(tmp_path: Path) -> None:
    labels = [f"label{number:03}" for number in range(200)]
    record = {"timestamp_utc": "2026-01-01T00:00:00", "row": "5", "labels": labels}
    described = saved_models.describe_model(saved_models.SavedModel(tmp_path, record), SPAM, 10_000)
    assert "label010/label011 and 188 more" in described and "label012" not in described
