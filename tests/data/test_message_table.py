"""Files of messages: what is a table and what is not, which column is meant, and records that are none."""

from __future__ import annotations

import io

import pytest

from ablation.data.lines import InputLine
from ablation.data.message_table import Columns, TableError, read_messages

LABELS = ("ham", "spam")


def read(content: str | bytes, name: str, **columns: object) -> list[tuple[int, str, str]]:
    """(line, label, text or problem) of each message."""
    stream = io.BytesIO(content if isinstance(content, bytes) else content.encode())
    lines = read_messages(stream, name, Columns(LABELS, **columns))  # type: ignore[arg-type]
    return [(line.number, line.label, line.problem or line.text) for line in lines]


TABLES = {
    "by its name": ("Message\nsee you\n", "a.csv", [(2, "see you")]),
    "upper case, a space": ("ID, SMS\n1, see you\n", "A.CSV", [(2, " see you")]),
    "semicolons": ("id;text\n1;see you, bye\n", "a.csv", [(2, "see you, bye")]),
    "tabs": ("id\ttext\n1\tsee you, bye\n", "a.tsv", [(2, "see you, bye")]),
    "tabs, quotes stay": ('id\ttext\n1\t"see you\n2\tbye\n', "a.tsv", [(2, '"see you'), (3, "bye")]),
    "sniffed": ("v1,text\n1,see you\n", "inbox", [(2, "see you")]),
    "byte-order mark, Windows line ends": ("\ufefftext,id\r\nsee you,1\r\n", "inbox", [(2, "see you")]),
    "quoted": ('text,id\n"a ""b"",\nc",1\n\nbye,2\n', "a.csv", [(2, 'a "b",\nc'), (5, "bye")]),
    "no header": ("ham\tsee you, bye\nspam\tyou won\n", "SMSSpamCollection", [(1, "see you, bye"), (2, "you won")]),
    "no header, commas": ("spam,you won\n", "a.csv", [(1, "you won")]),
    "no table": ("text me, or call me\nbye\n", "inbox.txt", [(1, "text me, or call me"), (2, "bye")]),
    "no table: quotes stay": ('"see you", he said\n', "inbox.txt", [(1, '"see you", he said')]),
    "no table: one word": ("text\nsee you\n", "inbox", [(1, "text"), (2, "see you")]),
    "nothing": ("", "a.csv", []),
}


@pytest.mark.parametrize("name", TABLES)
def test_messages_of_a_file(name: str) -> None:
    content, file, expected = TABLES[name]
    assert [(number, text) for number, _, text in read(content, file)] == expected


def test_a_column_is_named() -> None:
    content = "body;kind\nsee you;spam\nbye;Ham\n"
    assert read(content, "inbox", text="body") == [(2, "", "see you"), (3, "", "bye")]
    expected = [(2, "spam", "see you"), (3, "ham", "bye")]
    assert read(content, "inbox", text="body", label="kind", labelled=True) == expected
    assert read("category,sms\nspam,see you\n", "inbox", labelled=True) == [(2, "spam", "see you")]
    assert read("ham\tbye\n", "inbox", labelled=True) == [(1, "ham", "bye")]


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("id,body\n", {}, r"a.csv: which column has the messages\? it has id, body; name one with --text_column"),
        ("text,sms\n", {}, "it has text, sms; name one with --text_column"),
        ("id,body\n", {"text": "x"}, "--text_column x: no such column in a.csv; it has id, body"),
        ("text,kind\n", {"labelled": True}, "which column has the labels.* text, kind; name one with --label_column"),
        ("text,kind\n", {"labelled": True, "label": "x"}, "--label_column x: no such column in a.csv"),
    ],
)
def test_a_column_that_is_not_clear_is_asked_for(content: str, columns: dict[str, object], message: str) -> None:
    with pytest.raises(TableError, match=message):
        read(content, "a.csv", **columns)


def test_a_bad_record_does_not_stand_in_the_way_of_the_next() -> None:
    content = b"id,text,label\n1\n2,bad \xff,ham\n3,good,ham\n4,odd,junk\n5," + b"x" * 200_000 + b",ham\n6,last,spam\n"
    found = read(content, "a.csv", labelled=True)
    assert [number for number, *_ in found] == [2, 3, 4, 5, 6, 7]
    assert found[0][2] == "the record ends after column 1, column 3 is needed"
    assert "not UTF-8 text" in found[1][2]
    assert found[2][1:] == ("ham", "good") and found[5][1:] == ("spam", "last")
    assert found[3][2] == "label 'junk' is none of ham, spam"
    assert found[4][2].startswith("no record of the table (field larger than field limit")


def test_a_table_is_read_as_it_is_asked_for() -> None:
    stream = io.BytesIO(b"text,id\none,1\ntwo,2\n")
    lines = read_messages(stream, "a.csv", Columns(LABELS))
    assert stream.tell() == len(b"text,id\n")  # so that a wrong column is known before a model is loaded
    assert next(lines) == InputLine(2, "one")
    assert stream.tell() == len(b"text,id\none,1\n")


def test_a_quotation_mark_left_open_swallows_no_message_unsaid() -> None:
    """Whatever follows it would else be answered as one message, as if all were well."""
    stream = io.BytesIO(b'text,label\nfine,ham\n"left open,ham\nsecond,ham\nthird,spam\n')
    told = list(read_messages(stream, "x.csv", Columns(("ham", "spam"))))
    assert [(line.number, line.text) for line in told] == [(2, "fine"), (3, "")]
    assert "look for a quotation mark left open" in told[1].problem


def test_empty_lines_before_a_table_are_none_of_it() -> None:
    for text in (b"\n\nlabel,text\nspam,win\n", b"\xef\xbb\xbf\r\nlabel,text\r\nspam,win\r\n"):
        (line,) = read_messages(io.BytesIO(text), "x.csv", Columns(("ham", "spam"), labelled=True))
        assert (line.text, line.label) == ("win", "spam")
    plain = list(read_messages(io.BytesIO(b"\nhello\n\n"), "x.txt", Columns(("ham", "spam"))))
    assert [(line.number, line.text) for line in plain] == [(1, ""), (2, "hello"), (3, "")]


def test_a_table_whose_first_line_is_no_utf8_is_named_so() -> None:
    with pytest.raises(TableError, match=r"x.csv, line 1: not UTF-8 text .*; save the table as UTF-8"):
        list(read_messages(io.BytesIO("text,label\nhi,ham\n".encode("utf-16")), "x.csv", Columns(("ham", "spam"))))
