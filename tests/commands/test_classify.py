"""Trained classifiers at use: the same answers as the run's own, whatever the row, and every kind of bad input."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import classify
from ablation.config.experiment import ExperimentConfig
from ablation.data.demo import WEIGHTS, load_demo_tokenizer
from ablation.data.lines import LONGEST_LINE, InputLine, groups, read_lines
from ablation.data.message import MessageError, message_tokens
from ablation.data.spam import LABELS, split_messages
from ablation.listener import Listener
from ablation.results.run_folder import PREDICTIONS_CSV, TRAINED_PARAMETERS, save_result
from ablation.run.experiment import run_experiment
from ablation.run.inputs import open_tokenizer, open_weights
from ablation.run.trained_classifier import (
    ClassifierError,
    TrainedClassifier,
    join,
    needs_base,
    read_saved_run,
)
from ablation.tasks.spam import SPAM
from tests.support.tiny import few_demo_messages

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


@pytest.fixture(scope="module", autouse=True)
def few_messages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
        yield


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
    assert "panicked" not in captured.err and len(captured.err.splitlines()) == 3  # one is the disclaimer


def test_standard_input_of_any_length(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """More lines than are held at a time, in order."""
    monkeypatch.setattr(classify, "AT_A_TIME", 3)
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
    assert tuple(rows[0]) == classify.RECORD


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
        (["--merge_lora", "nowhere/model.pth"], "a folder that is there"),
        (["--threads", "0", "hello"], "at least 1"),
        (["--weights_path", "nowhere", "hello"], "no such file"),
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


@pytest.mark.parametrize("name", ["row 1", "lora", "all", "no mask"])
def test_the_merged_checkpoint_is_the_books_model(name: str, tmp_path: Path, test_texts: list[str]) -> None:
    """Loaded by its names into a plain model, it gives the run's logits; its only extra entries are the masks."""
    from previous_chapters import GPTModel

    folder = train(tmp_path, **VARIANTS[name])
    target = tmp_path / "checkpoint.pth"
    assert classify.main(["--model", str(folder), "--merge_lora", str(target)]) == 0
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
