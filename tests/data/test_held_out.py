"""Text that no training has seen: where it is from, how much of it counts, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.config.experiment import ExperimentConfig
from ablation.data.demo import load_demo_tokenizer, read_demo_messages
from ablation.data.held_out import HeldOutText, digest_of, first_sequences, load_held_out_text
from ablation.data.labels import DataError
from ablation.data.spam import split_messages


def read(path: Path, **settings: object) -> HeldOutText | None:
    return load_held_out_text(ExperimentConfig(measure_forgetting=True, held_out_text=str(path), **settings))  # type: ignore[arg-type]


def test_nothing_is_read_where_nothing_is_measured() -> None:
    assert load_held_out_text(ExperimentConfig(data_dir="nowhere")) is None


def test_the_demos_are_messages_that_nothing_was_trained_on() -> None:
    text = load_held_out_text(ExperimentConfig(demo=True, measure_forgetting=True))
    assert text is not None and len(text.texts) == 300
    splits = split_messages(read_demo_messages())
    assert text.texts == tuple(splits["test"]["Text"])
    assert not set(text.texts) & set(splits["train"]["Text"])
    tokenizer = load_demo_tokenizer()
    sequences = first_sequences(text, tokenizer)
    assert len(sequences) == 300
    assert all(ids[0] == ids[-1] == tokenizer.eot_token == 1999 for ids in sequences)
    assert tokenizer.decode(sequences[7][1:-1]) == text.texts[7]


def test_sentences_are_lines_without_blanks_around_them(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_bytes(b"\xef\xbb\xbfA cat .   \r\n\r\n  <|endoftext|>\nlast")
    text = read(file)
    assert text == HeldOutText(str(file), ("A cat .", "<|endoftext|>", "last"))
    assert text == read(file, demo=True)
    captions = tmp_path / "captions" / "test.txt"
    captions.parent.mkdir()
    captions.write_text("A dog .\n")
    found = load_held_out_text(ExperimentConfig(measure_forgetting=True, data_dir=str(tmp_path)))
    assert found == HeldOutText(str(captions), ("A dog .",))


def test_of_a_long_file_the_first_sentences_count() -> None:
    tokenizer = load_demo_tokenizer()
    size = len(tokenizer.encode_ordinary("hello there")) + 1  # and its end
    text = HeldOutText("a file", ("hello there",) * 9, most_tokens=4 * size)
    assert len(first_sequences(text, tokenizer)) == 4
    assert len(first_sequences(HeldOutText("a file", text.texts, most_tokens=1), tokenizer)) == 1
    (ids,) = first_sequences(HeldOutText("a file", ("<|endoftext|>",)), tokenizer)
    assert ids.count(tokenizer.eot_token) == 2  # special tokens are not interpreted
    assert digest_of([[1, 2], [3]]) != digest_of([[1], [2, 3]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\n\xff\n", r"own.txt, line 2: not UTF-8 text \(byte 1 of the line\); mend the line"),
        (b"fine\nx" + b" " * 600_000 + b"y\n", "own.txt, line 2: the message has 600,000 blanks in a row; shorten .*"),
        (b" \n\n", "own.txt: no sentence in it; give another file"),
        (None, "own.txt: No such file or directory; give another file"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(content: bytes | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=message) as failure:
        read(file)
    assert "\n" not in str(failure.value)


def test_where_captions_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError) as failure:
        load_held_out_text(ExperimentConfig(measure_forgetting=True, data_dir=str(tmp_path)))
    assert str(failure.value) == (
        f"{tmp_path}/captions/test.txt: No such file or directory;"
        f" --measure_forgetting needs text: run python gpt_download.py --captions --data_dir {tmp_path},"
        " or give --held_out_text FILE"
    )
