"""Sentences of a language model: where they are from, what is kept of them, and what is said of files at fault."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiktoken

from ablation.data.demo import load_demo_tokenizer, read_demo_messages
from ablation.data.labels import DataError
from ablation.data.sentences import Corpus, load_sentences
from ablation.data.spam import split_messages
from ablation.files import published
from ablation.files.wanted import DownloadError

REAL = Path(os.environ.get("SMS_SPAM_DATA_DIR", "data"))


@dataclass(frozen=True)
class Settings:
    data: str = "captions"
    train_file: str | None = None
    validation_file: str | None = None
    test_file: str | None = None
    n_train: int | None = None
    n_validation: int | None = None
    n_test: int | None = None
    max_len: int = 35
    data_dir: str = "data"
    demo: bool = False
    offline: bool = True
    trust_new_hash: bool = False


@pytest.fixture(scope="module")
def tokenizer() -> tiktoken.Encoding:
    return load_demo_tokenizer()


def own(folder: Path, **contents: bytes) -> Settings:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = {f"{name}_file": str(folder / name) for name in contents}
    return dataclasses.replace(Settings(), **files)  # type: ignore[arg-type]


def three(folder: Path, train: bytes = b"A cat .\nA dog .\n") -> Settings:
    return own(folder, train=train, validation=b"A hen .\n", test=b"A dog . \nA cow .\nA dog .\n")


def texts(corpus: Corpus) -> list[tuple[str, ...]]:
    return [corpus.splits[name].texts for name in ("train", "validation", "test")]


def test_own_files_line_by_line(tmp_path: Path, tokenizer: tiktoken.Encoding) -> None:
    train = b"\xef\xbb\xbfA cat .  \r\n<|endoftext|> again\nA dog ."
    settings = three(tmp_path, train)
    corpus = load_sentences(settings, tokenizer)
    assert texts(corpus)[0] == ("A cat .", "<|endoftext|> again", "A dog .")
    assert texts(corpus)[2] == ("A dog .", "A cow .", "A dog .")
    ids = corpus.splits["train"].token_ids
    assert all(tokenizer.eot_token not in one for one in ids)
    assert [tokenizer.decode(one) for one in ids] == list(texts(corpus)[0])
    assert not corpus.published
    assert corpus.tests_in_training == 2
    assert corpus.describe() == (
        f"{tmp_path}/train, {tmp_path}/validation, {tmp_path}/test;"
        " 3 / 1 / 3 sentences to train on, to choose by, to test on; 2 of the last stand among the first"
    )


def test_long_sentences_are_cut_and_the_first_are_kept(tmp_path: Path, tokenizer: tiktoken.Encoding) -> None:
    settings = dataclasses.replace(three(tmp_path, b"one two three four five\nsix\nseven\n"), max_len=3, n_train=2)
    split = load_sentences(settings, tokenizer).splits["train"]
    assert len(split) == 2 and split.texts == ("one two three four five", "six")
    assert split.token_ids[0] == tokenizer.encode_ordinary(split.texts[0])[:3]


def test_the_digest_tells_texts_order_counts_and_cut_apart(tmp_path: Path, tokenizer: tiktoken.Encoding) -> None:
    settings = three(tmp_path)
    digests = {load_sentences(settings, tokenizer).digest}
    for other in ({"max_len": 34}, {"n_train": 1}, {"n_test": 2}):
        digests.add(load_sentences(dataclasses.replace(settings, **other), tokenizer).digest)  # type: ignore[arg-type]
    digests.add(load_sentences(three(tmp_path, b"A dog .\nA cat .\n"), tokenizer).digest)
    assert len(digests) == 5
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert load_sentences(three(elsewhere), tokenizer).digest == load_sentences(three(tmp_path), tokenizer).digest


def test_faults_of_all_files_are_told_together(tmp_path: Path, tokenizer: tiktoken.Encoding) -> None:
    settings = own(tmp_path, train=b"fine\n\n \nfine\n", validation=b"fine\n\xff\n\n")
    settings = dataclasses.replace(settings, test_file=str(tmp_path / "gone"))
    with pytest.raises(DataError) as failure:
        load_sentences(settings, tokenizer)
    assert str(failure.value) == (
        f"{tmp_path}/train, line 2 is empty; remove the line (1 more line to mend);"
        f" {tmp_path}/validation, line 2: not UTF-8 text (byte 1 of the line); mend the line (1 more line to mend);"
        f" {tmp_path}/gone: No such file or directory; give a file with one sentence a line"
    )


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (b"", "train: no sentence in it; give a file with one sentence a line"),
        (b"fine\nx" + b" " * 600_000 + b"y\n", "train, line 2: the message has 600,000 blanks in a row; shorten .*"),
        (b"x" * (2**22 + 1), "train, line 1: the line has more than 4,194,304 bytes; .*; mend the line"),
    ],
)
def test_what_is_no_sentence(train: bytes, message: str, tmp_path: Path, tokenizer: tiktoken.Encoding) -> None:
    with pytest.raises(DataError, match=message) as failure:
        load_sentences(three(tmp_path, train), tokenizer)
    assert "\n" not in str(failure.value)


def test_all_three_files_are_needed(tokenizer: tiktoken.Encoding) -> None:
    message = "^--train_file a.txt: own sentences need three files; add --validation_file FILE and --test_file FILE$"
    with pytest.raises(DataError, match=message):
        load_sentences(Settings(train_file="a.txt"), tokenizer)


def test_more_than_there_are(tmp_path: Path, tokenizer: tiktoken.Encoding) -> None:
    settings = dataclasses.replace(three(tmp_path), n_train=3, n_validation=2, n_test=3)
    with pytest.raises(DataError) as failure:
        load_sentences(settings, tokenizer)
    assert str(failure.value).endswith(
        "/test: --n_train 3, but there are 2 sentences; --n_validation 2, but there is 1 sentence;"
        " give fewer, or leave the flag out for all"
    )


def test_the_demos_messages_are_those_of_its_splits(tokenizer: tiktoken.Encoding) -> None:
    corpus = load_sentences(Settings(demo=True, n_train=7), tokenizer)
    splits = split_messages(read_demo_messages())
    assert texts(corpus)[0] == tuple(splits["train"]["Text"])[:7]
    assert texts(corpus)[1:] == [tuple(splits[name]["Text"]) for name in ("validation", "test")]
    assert not corpus.published and corpus.source.endswith("messages.csv")


@pytest.mark.skipif(not (REAL / "SMSSpamCollection.tsv").is_file(), reason="needs the data set")
def test_texts_of_the_spam_task_alone(tokenizer: tiktoken.Encoding) -> None:
    corpus = load_sentences(Settings(data="sms", data_dir=str(REAL)), tokenizer)
    assert list(map(len, texts(corpus))) == [1045, 149, 300]
    assert corpus.published


# ---- captions --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (REAL / "captions/train.txt").is_file(), reason="needs the captions")
def test_published_captions(tokenizer: tiktoken.Encoding) -> None:
    corpus = load_sentences(Settings(data_dir=str(REAL)), tokenizer)
    assert list(map(len, texts(corpus))) == [15_000, 5_000, 5_000]
    assert corpus.published and all(text == text.strip() for split in texts(corpus) for text in split)
    assert max(map(len, corpus.splits["train"].token_ids)) == 35
    sizes = [(REAL / "captions" / file.name).stat().st_size for file in published.CAPTIONS]
    assert sizes == [file.size for file in published.CAPTIONS]


def test_other_captions_need_trust(tmp_path: Path, tokenizer: tiktoken.Encoding) -> None:
    folder = tmp_path / "captions"
    folder.mkdir()
    for name in ("train", "dev", "test"):
        (folder / f"{name}.txt").write_text(f"A {name} .\n")
    settings, lines = Settings(data_dir=str(tmp_path)), list[str]()
    with pytest.raises(DataError, match=r"train.txt, .*dev.txt, .*test.txt: not the published captions.*--trust_new"):
        load_sentences(settings, tokenizer, lines.append)
    assert [line.partition(" (")[0] for line in lines] == [
        f"{folder}/{name}.txt is not the published file" for name in ("train", "dev", "test")
    ]
    corpus = load_sentences(dataclasses.replace(settings, trust_new_hash=True), tokenizer, lines.append)
    assert texts(corpus) == [("A train .",), ("A dev .",), ("A test .",)] and not corpus.published


def test_offline_without_captions(tmp_path: Path, tokenizer: tiktoken.Encoding) -> None:
    with pytest.raises(DownloadError, match=r"train.txt.*python gpt_download.py --captions --data_dir"):
        load_sentences(Settings(data_dir=str(tmp_path)), tokenizer)
    assert not list(tmp_path.iterdir())
