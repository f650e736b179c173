"""The data: what is accepted, the published split, tokens, batches."""

from __future__ import annotations

import hashlib
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiktoken
import torch

from ablation.config.experiment import ExperimentConfig
from ablation.data.demo import MESSAGES, load_demo_tokenizer
from ablation.data.encode import encode_messages, encode_splits, load_tokenizer, make_loaders
from ablation.data.labels import DataError
from ablation.data.spam import (
    PUBLISHED_DATA_DIGEST,
    data_digest,
    load_splits,
    read_messages,
    split_csv,
    split_messages,
)
from ablation.files.download import DownloadError
from ablation.files.published import DATASET_NAME
from tests.support.tiny import make_messages, tiny_config

SPLIT_SHA256 = {
    "train": "ec2895b026553ce06475815818c52cf44828af0605b07b257935a194e611195a",
    "validation": "f92996ef2ae2ed6d6937e96bc7a3f739f2bae59b07d1babd7f3725e473f2d2bd",
    "test": "f82216f37a6d785b52f99a84a3552dcc9835316018758c2117b2ca133e6c1409",
}


@pytest.fixture(scope="module")
def real_splits(real_data_dir: Path) -> dict[str, pd.DataFrame]:
    return split_messages(read_messages(real_data_dir / DATASET_NAME))


def test_published_split(real_splits: dict[str, pd.DataFrame]) -> None:
    assert {name: len(split) for name, split in real_splits.items()} == {"train": 1045, "validation": 149, "test": 300}
    for name, expected in SPLIT_SHA256.items():
        assert hashlib.sha256(split_csv(real_splits[name]).encode()).hexdigest() == expected


def test_published_records_are_5572(real_data_dir: Path) -> None:
    assert len(read_messages(real_data_dir / DATASET_NAME)) == 5572


def test_lengths_of_the_real_messages(real_splits: dict[str, pd.DataFrame], real_vocabulary: Path) -> None:
    tokenizer = load_tokenizer(real_vocabulary)
    messages = encode_splits(real_splits, tokenizer, ExperimentConfig(no_padding=True, batch_size=1))
    longest = {name: int(split.lengths.max()) for name, split in messages.items()}
    assert longest == {"train": 120, "validation": 90, "test": 97}
    padded = encode_splits(real_splits, tokenizer, ExperimentConfig())
    assert {split.tokens.shape[1] for split in padded.values()} == {120}


def test_the_digest_of_the_published_messages(real_splits: dict[str, pd.DataFrame]) -> None:
    assert data_digest(real_splits) == PUBLISHED_DATA_DIGEST


@pytest.mark.parametrize("change", ["a word", "a label", "the order", "one message less"])
def test_any_other_message_label_or_order_is_another_digest(change: str, real_splits: dict[str, pd.DataFrame]) -> None:
    train = real_splits["train"].copy()
    first = train.index == 0
    if change == "a word":
        train["Text"] = train["Text"].mask(first, train["Text"] + " x")
    elif change == "a label":
        train["Label"] = train["Label"].mask(first, 1 - train["Label"])
    else:
        train = train[::-1] if change == "the order" else train[1:]
    assert data_digest({**real_splits, "train": train}) != PUBLISHED_DATA_DIGEST


# ---- the messages that a command means -------------------------------------------------------------------------------


def test_the_splits_of_a_folder(tmp_path: Path) -> None:
    """What is there is taken, and what it differs in is reported and needs consent; offline nothing is fetched."""
    said: list[str] = []
    with pytest.raises(DownloadError, match=f"{DATASET_NAME} is missing .*--offline"):
        load_splits(tmp_path, offline=True)
    write(tmp_path / DATASET_NAME, LINES)
    with pytest.raises(DataError, match="--trust_new_hash"):
        load_splits(tmp_path, report=said.append)
    assert "left as it is" in said[0]
    splits = load_splits(tmp_path, trust_new_hash=True, report=said.append)
    assert {name: len(split) for name, split in splits.items()} == {"train": 14, "validation": 2, "test": 4}
    assert data_digest(splits) != PUBLISHED_DATA_DIGEST


def test_the_splits_of_the_demo(tmp_path: Path) -> None:
    splits = load_splits(tmp_path / "nowhere", demo=True, offline=True)
    assert len(splits["train"]) == 1045
    assert splits["train"]["Text"].isin(pd.read_csv(MESSAGES, keep_default_na=False)["Text"]).all()
    assert data_digest(splits) != PUBLISHED_DATA_DIGEST


# ---- files that differ from the published one ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.removesuffix(b"\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: b"\xef\xbb\xbf" + data.removesuffix(b"\n").replace(b"\n", b"\r\n"),
    ],
    ids=["Windows line ends", "no last newline", "byte-order mark", "all three"],
)
def test_harmless_differences_give_the_published_split(change: Any, real_data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / DATASET_NAME
    file.write_bytes(change((real_data_dir / DATASET_NAME).read_bytes()))
    splits = split_messages(read_messages(file))
    published = split_messages(read_messages(real_data_dir / DATASET_NAME))
    assert data_digest(splits) == data_digest(published)


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


LINES = [f"{'spam' if i % 3 == 0 else 'ham'}\tmessage {i}" for i in range(30)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("eggs\tmessage", "line 8: label 'eggs', expected ham or spam"),
        ("ham\t", "line 8: the text is empty"),
        ("ham\t  ", "line 8: the text is empty"),
        ('ham\t""', "line 8: the text is empty"),
        ("ham message", "line 8: 1 tab-separated columns, expected 2"),
        ("ham\tmessage\textra", "line 8: 3 tab-separated columns, expected 2"),
        ("", "line 8: 1 tab-separated columns"),
        ("<html>Not found</html>", "line 8: 1 tab-separated columns"),
    ],
)
def test_malformed_lines_are_refused_by_number(line: str, message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "data.tsv", [*LINES[:7], line, *LINES[7:]])
    with pytest.raises(DataError, match=message):
        read_messages(file, trust_new_hash=True)


def test_bytes_that_are_not_utf8_are_refused_by_line(tmp_path: Path) -> None:
    file = tmp_path / "data.tsv"
    file.write_bytes("\n".join(LINES[:4]).encode() + b"\nham\t\xff\xfe\n")
    with pytest.raises(DataError, match="line 5: not UTF-8"):
        read_messages(file, trust_new_hash=True)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read .*--data_dir"):
        read_messages(tmp_path / "data.tsv")


def test_other_messages_need_consent(tmp_path: Path) -> None:
    """A well-formed file with other content would be another split: both hashes are shown, one flag accepts."""
    file = write(tmp_path / "data.tsv", LINES)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=f"SHA-256 {found}, expected 7d039a24.*--trust_new_hash"):
        read_messages(file)
    assert len(read_messages(file, trust_new_hash=True)) == 30


def test_a_carriage_return_within_a_line_ends_no_message(tmp_path: Path) -> None:
    file = tmp_path / "data.tsv"
    file.write_bytes(b"ham\tone\rtwo\r\nspam\tthree\n")
    assert read_messages(file, trust_new_hash=True).to_numpy().tolist() == [["ham", "one\rtwo"], ["spam", "three"]]


def test_words_that_look_like_missing_values_stay_text(tmp_path: Path) -> None:
    messages = read_messages(write(tmp_path / "data.tsv", ["ham\tNA", "spam\tnull"]), trust_new_hash=True)
    assert messages["Text"].tolist() == ["NA", "null"]


def test_an_open_quotation_mark_is_a_clear_error(tmp_path: Path) -> None:
    file = write(tmp_path / "data.tsv", [*LINES, 'ham\t"never closed'])
    with pytest.raises(DataError, match="quotation marks"):
        read_messages(file, trust_new_hash=True)


@pytest.mark.parametrize(("spam", "ham", "message"), [(4, 9, "split is empty"), (9, 4, "9 spam but only 4 ham")])
def test_too_few_messages(spam: int, ham: int, message: str) -> None:
    messages = pd.DataFrame({"Label": ["spam"] * spam + ["ham"] * ham, "Text": ["text"] * (spam + ham)})
    with pytest.raises(DataError, match=message):
        split_messages(messages)


def test_five_spam_are_enough() -> None:
    messages = pd.DataFrame({"Label": ["spam"] * 5 + ["ham"] * 6, "Text": [f"text {i}" for i in range(11)]})
    assert [len(split) for split in split_messages(messages).values()] == [7, 1, 2]


# ---- tokens ----------------------------------------------------------------------------------------------------------


def byte_tokenizer() -> tiktoken.Encoding:
    ranks = {bytes([byte]): byte for byte in range(256)}
    return tiktoken.Encoding("bytes", pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 256})


def one_split(*texts: str) -> dict[str, pd.DataFrame]:
    frame = pd.DataFrame({"Label": [i % 2 for i in range(len(texts))], "Text": list(texts)})
    return {"train": frame, "validation": frame[:1], "test": frame[:1]}


@pytest.mark.parametrize("before", [None, "elsewhere"])
@pytest.mark.parametrize("damaged", [False, True])
def test_the_environment_is_left_as_it_was(
    before: str | None, damaged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tiktoken is told its folder by a variable, which must not outlive the call, whatever comes of it."""
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    if before is not None:
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", before)

    def get_encoding(name: str) -> str:
        assert os.environ["TIKTOKEN_CACHE_DIR"] == str(tmp_path)
        if damaged:
            raise ValueError("no vocabulary")
        return name

    monkeypatch.setattr(tiktoken, "get_encoding", get_encoding)
    environment = dict(os.environ)
    with pytest.raises(ValueError, match="no vocabulary") if damaged else nullcontext():
        load_tokenizer(tmp_path)
    assert dict(os.environ) == environment


def test_a_literal_end_of_text_is_ordinary_text() -> None:
    messages = encode_splits(one_split("<|endoftext|>"), byte_tokenizer(), ExperimentConfig())
    assert messages["train"].tokens[0].tolist() == list(b"<|endoftext|>")


def test_a_message_that_the_tokenizer_would_fail_at_is_named() -> None:
    """tiktoken panics at a million blanks in a row, with what is no Exception."""
    with pytest.raises(DataError, match=r"message 1 of the train split: the message has 1,000,100 blanks in a row"):
        encode_splits(one_split(f"a{' ' * 1_000_100}b"), load_demo_tokenizer(), ExperimentConfig(demo=True))


def test_a_literal_end_of_text_with_the_real_vocabulary(real_vocabulary: Path) -> None:
    messages = encode_splits(one_split("a <|endoftext|>"), load_tokenizer(real_vocabulary), ExperimentConfig())
    assert 50256 not in messages["train"].tokens
    assert messages["train"].lengths[0] > 3


def test_padding_to_the_longest_training_message_and_cutting_the_rest() -> None:
    splits = one_split("ab", "abcd")
    splits["test"] = pd.DataFrame({"Label": [0], "Text": ["abcdefgh"]})
    messages = encode_splits(splits, byte_tokenizer(), ExperimentConfig())
    assert messages["train"].tokens.tolist() == [[97, 98, 256, 256], [97, 98, 99, 100]]
    assert messages["train"].lengths.tolist() == [2, 4]
    assert messages["test"].tokens.tolist() == [[97, 98, 99, 100]]
    assert messages["test"].lengths.tolist() == [4]


def test_context_length_pads_and_cuts_to_a_number() -> None:
    messages = encode_splits(one_split("ab", "abcd"), byte_tokenizer(), ExperimentConfig(context_length=3))
    assert messages["train"].tokens.tolist() == [[97, 98, 256], [97, 98, 99]]
    full = encode_splits(one_split("ab"), byte_tokenizer(), ExperimentConfig(context_length="model_context_length"))
    assert full["train"].tokens.shape == (1, 1024)


def test_without_padding_nothing_is_padded_or_cut() -> None:
    config = ExperimentConfig(no_padding=True, batch_size=1, context_length=3)
    messages = encode_splits(one_split("ab", "abcd"), byte_tokenizer(), config)
    assert [messages["train"].batch(torch.tensor([i])).tolist() for i in (0, 1)] == [[[97, 98]], [[97, 98, 99, 100]]]
    assert messages["train"].widths().tolist() == [2, 4]


def test_without_padding_a_message_beyond_the_context_is_refused() -> None:
    config = ExperimentConfig(no_padding=True, batch_size=1)
    with pytest.raises(DataError, match="1500 tokens, the model reads 1024"):
        encode_splits(one_split("a" * 1500), byte_tokenizer(), config)


def test_a_message_that_holds_the_pad_token_keeps_its_length() -> None:
    messages = encode_messages([[5, 60, 60], [60], [1, 2, 3, 4]], [0, 1, 0], 4, pad_token=60, padded=True)
    assert messages.lengths.tolist() == [3, 1, 4]


# ---- batches ---------------------------------------------------------------------------------------------------------


def test_loaders_draw_from_the_global_generator_as_the_published_script_did() -> None:
    """Any pass draws once, a shuffled one twice: what the next shuffled pass holds depends on all passes before."""
    config = tiny_config(batch_size=4)
    loaders = make_loaders(make_messages(config), 4)

    def first_batch(*passes_before: str) -> list[int]:
        torch.manual_seed(1)
        for name in passes_before:
            next(iter(loaders[name]))
        return next(iter(loaders["train"])).tolist()

    plain, after_validation, after_train = first_batch(), first_batch("validation"), first_batch("train")
    assert plain == first_batch()
    assert len({tuple(plain), tuple(after_validation), tuple(after_train)}) == 3
    assert first_batch("validation", "test") == after_train


def test_training_batches_are_shuffled_and_whole_others_in_order_and_complete() -> None:
    config = tiny_config(batch_size=4)
    loaders = make_loaders(make_messages(config, counts=(42, 10, 3)), 4)
    assert [len(batch) for batch in loaders["train"]] == [4] * 10
    assert torch.cat(list(loaders["validation"])).tolist() == list(range(10))
    assert [len(batch) for batch in loaders["test"]] == [3]


def test_a_batch_larger_than_the_training_split_is_refused() -> None:
    config = tiny_config()
    with pytest.raises(DataError, match="--batch_size 50: the training split has 40"):
        make_loaders(make_messages(config), 50)
