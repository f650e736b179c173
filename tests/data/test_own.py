"""Own data: which files are read how, what is refused with which line, and how one file is split."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.own_data import OwnDataSettings, joined_labels, split_labels
from ablation.data.labels import DataError
from ablation.data.message_table import Columns, read_messages
from ablation.data.own import load_own_examples, read_file
from ablation.data.spam import SPLITS

ROWS = [(label, f"{label} message {i}") for i in range(20) for label in ("praise", "billing", "question")]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def mail(path: Path, rows: list[tuple[str, str]] = ROWS) -> str:
    return str(write(path, ["label,text", *(",".join(row) for row in rows)]))


# ---- reading ---------------------------------------------------------------------------------------------------------

WANTED = [("ham", 'say "hi", you'), ("spam", "win")]
FILES: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "header": ("a.csv", b'label,text\nham,"say ""hi"", you"\nspam,win\n', {}),
    "no header": ("a.csv", b'ham,"say ""hi"", you"\nspam,win\n', {}),
    "named columns": (
        "a.csv",
        b'id,body,kind\n1,"say ""hi"", you",ham\n2,win,spam\n',
        {"label_column": "kind", "text_column": "body"},
    ),
    "one named column": ("a.csv", b'Label,body\nham,"say ""hi"", you"\nspam,win\n', {"text_column": "body"}),
    "other case, byte-order mark": ("a.csv", b'\xef\xbb\xbfText,Label\n"say ""hi"", you",ham\nwin,spam\n', {}),
    "semicolons": ("a.csv", b'label;text\nham;"say ""hi"", you"\nspam;win\n', {}),
    "tabs": ("a.tsv", b'label\ttext\nham\tsay "hi", you\nspam\twin\n', {}),
    "tabs, no header": ("a.tsv", b'ham\tsay "hi", you\nspam\twin\n', {}),
    "tabs in another file": ("SMSSpamCollection", b'ham\tsay "hi", you\nspam\twin\n', {}),
    "Windows, blank lines": ("a.csv", b'label,text\r\n\r\nham,"say ""hi"", you"\r\n \r\nspam,win\r\n\r\n', {}),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_every_kind_mean_the_same(name: str, tmp_path: Path) -> None:
    file, content, columns = FILES[name]
    (tmp_path / file).write_bytes(content)
    assert [(label, text) for _, label, text in read_file(tmp_path / file, **columns)] == WANTED


def test_an_example_has_the_line_that_it_begins_in(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", ["label,text", 'ham,"two', 'lines"', "", "spam,one"])
    assert read_file(file) == [(2, "ham", "two\nlines"), (5, "spam", "one")]


REFUSED: dict[str, tuple[str, str, dict[str, str], str]] = {
    "empty text": ("a.csv", "label,text\nham,hi\nspam, \n", {}, r"a\.csv, line 3: the message is empty; mend"),
    "empty label": ("a.csv", "label,text\n ,hi\n", {}, "line 2: the label is empty; mend"),
    "a text as label": ("a.csv", f"{'so ' * 30},ham\n", {}, "line 1: .* is no label: 60 printable"),
    "another column": ("a.csv", "label,text\nham,hi, you\n", {}, "line 2: 3 columns, the first line has 2; .*quot"),
    "a tab too many": ("a.tsv", "ham\thi\nham\thi\tyou\n", {}, "line 2: 3 columns, the first line has 2"),
    "one column": ("a.csv", "hello\nyou\n", {}, "line 1: has one column; separate"),
    "no names": ("a.csv", "id,kind,body\n1,ham,hi\n", {}, r"3 columns \(id, kind, body\), and no header .*--label_c"),
    "missing column": (
        "a.csv", "id,kind,body\n1,ham,hi\n", {"text_column": "message"},
        "line 1: no column 'label'; it has id, kind, body; name one with --label_column",
    ),
    "misspelt column": (
        "a.csv", "id,label,body\n1,ham,hi\n", {"text_column": "bodi"},
        "line 1: no column 'bodi'; it has id, label, body; name one with --text_column",
    ),
    "a column twice": ("a.csv", "label,text,text\nham,hi,you\n", {}, "column 'text' stands 2 times"),
    "open quotation": ("a.csv", 'label,text\nham,hi\nham,"hi\nspam,win\n', {}, "line 3: unexpected end of data; check"),
    "odd quotation": ("a.csv", 'label,text\nham,"hi" you\n', {}, "line 2: .*; check its quotation marks"),
    "nothing": ("a.csv", "\n", {}, "has one column|has no line"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_malformed_is_refused_with_its_line_and_a_remedy(name: str, tmp_path: Path) -> None:
    file, content, columns, message = REFUSED[name]
    (tmp_path / file).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_file(tmp_path / file, **columns)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("label,text\nham,hi\nham,café\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.csv, line 3: not UTF-8 text; save the file as UTF-8"):
        read_file(tmp_path / "a.csv")


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file.*check the path"):
        load_own_examples(OwnDataSettings(data_file=str(tmp_path / "a.csv")))


# ---- classes ---------------------------------------------------------------------------------------------------------


def test_classes_are_sorted_or_in_the_order_given_and_the_digest_tells(tmp_path: Path) -> None:
    file = mail(tmp_path / "mail.csv")
    found = load_own_examples(OwnDataSettings(data_file=file))
    assert found.labels == ("billing", "praise", "question")
    given = load_own_examples(OwnDataSettings(data_file=file, labels="question,praise,billing"))
    assert given.labels == ("question", "praise", "billing")
    for examples in (found, given):
        for split in examples.splits.values():
            names = split["Label"].map(dict(enumerate(examples.labels)))
            assert (split["Text"].str.split().str[0] == names).all()
    renamed = dataclasses.replace(found, labels=("bills", "praise", "question"))
    other_seed = load_own_examples(OwnDataSettings(data_file=file, split_seed=7))
    assert len({examples.digest for examples in (found, given, renamed, other_seed)}) == 4
    assert load_own_examples(OwnDataSettings(data_file=file)).digest == found.digest


LABELS_REFUSED: dict[str, tuple[list[tuple[str, str]], dict[str, Any], str]] = {
    "unknown": (ROWS, {"labels": "billing,praise"}, "line 4: label 'question' is not one of billing, praise; add"),
    "never seen": (ROWS, {"labels": "billing,praise,question,other"}, "0 messages to learn the label 'other' from"),
    "too few": ([*ROWS, *[("rare", "x")] * 9], {}, "9 messages to learn the label 'rare' from; give at least 10"),
    "one label": ([("ham", "hi")] * 30, {}, "all messages have the label 'ham'; give at least two"),
}


@pytest.mark.parametrize("name", LABELS_REFUSED)
def test_labels_that_cannot_be_learnt_are_refused(name: str, tmp_path: Path) -> None:
    rows, settings, message = LABELS_REFUSED[name]
    with pytest.raises(DataError, match=message):
        load_own_examples(OwnDataSettings(data_file=mail(tmp_path / "mail.csv", rows), **settings))


def test_a_header_of_other_names_becomes_no_example(tmp_path: Path) -> None:
    file = write(tmp_path / "mail.csv", ["Category,Message", *(",".join(row) for row in ROWS)])
    with pytest.raises(DataError, match=r"line 1: .*'Category'; if it is a header \(Category, Message\), name its col"):
        load_own_examples(OwnDataSettings(data_file=str(file)))


def test_labels_read_back_as_they_were_joined() -> None:
    assert split_labels(" a , b") == ("a", "b")
    names = ("yes, please", 'a "b"', "c")
    assert split_labels(joined_labels(names)) == names


@pytest.mark.parametrize("text", ["", "a", "a,", "a,b,a", "a,\tb\x00"])
def test_fewer_than_two_labels_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="two or more different labels"):
        split_labels(text)


# ---- splits ----------------------------------------------------------------------------------------------------------


def test_each_label_is_cut_at_seventy_and_eighty_percent(tmp_path: Path) -> None:
    """Also where it would not be by floating-point numbers: 0.7 × 90 is less than 63."""
    rows = [(label, f"{label} {i}") for label, count in (("a", 90), ("b", 10), ("c", 57)) for i in range(count)]
    splits = load_own_examples(OwnDataSettings(data_file=mail(tmp_path / "mail.csv", rows))).splits
    counts = {name: split["Label"].value_counts().sort_index().tolist() for name, split in splits.items()}
    assert counts == {"train": [63, 7, 39], "validation": [9, 1, 5], "test": [18, 2, 13]}
    texts = pd.concat(list(splits.values()))["Text"]
    assert sorted(texts) == sorted(text for _, text in rows)
    assert splits["train"]["Label"].ne(splits["train"]["Label"].shift()).sum() > 10  # classes are mixed


def test_three_files_are_taken_as_they_are(tmp_path: Path) -> None:
    parts = {"train": ROWS[:9], "validation": ROWS[9:12], "test": ROWS[12:18]}
    files: dict[str, Any] = {f"{name}_file": mail(tmp_path / f"{name}.csv", rows) for name, rows in parts.items()}
    examples = load_own_examples(OwnDataSettings(**files))
    assert tuple(examples.splits) == SPLITS
    assert {name: split["Text"].tolist() for name, split in examples.splits.items()} == {
        name: [text for _, text in rows] for name, rows in parts.items()
    }
    mail(tmp_path / "test.csv", [*ROWS[:3], ("other", "x")])
    with pytest.raises(DataError, match=r"test\.csv, line 5: label 'other' .* no training message has it"):
        load_own_examples(OwnDataSettings(**files))
    mail(tmp_path / "validation.csv", [])
    with pytest.raises(DataError, match=r"validation\.csv: has no message; give at least one"):
        load_own_examples(OwnDataSettings(**files))


# ---- settings that contradict one another ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data_file": "a.csv", "test_file": "b.csv"}, "--data_file with --test_file: give one file"),
        ({"train_file": "a.csv"}, "--train_file a.csv: give --validation_file and --test_file, too"),
        ({"labels": "a,b"}, "--labels a,b: is about messages of your own; add --data_file FILE"),
        ({"text_column": "x"}, "--text_column x: is about messages of your own"),
        ({"data_file": "a.csv", "text_column": "x", "label_column": "x"}, "--text_column x: is --label_column, too"),
        ({"data_file": "a.csv", "labels": "a,b,c", "ignore_index": 2}, "--ignore_index 2: is the label c, which must"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        ExperimentConfig(**settings)
    assert len(caught.value.problems) == 1


def test_a_message_of_several_lines_is_the_same_to_training_and_to_classify(tmp_path: Path) -> None:
    """With Windows line ends the model would else be asked about other tokens than it was trained on."""
    file = tmp_path / "a.csv"
    file.write_bytes(b'label,text\r\nham,"two\r\nlines"\r\nspam,one\r\n')
    with file.open("rb") as stream:
        asked = [line.text for line in read_messages(stream, file.name, Columns(("ham", "spam")))]
    assert asked == [text for _, _, text in read_file(file)] == ["two\nlines", "one"]
