"""The SMS Spam Collection as the published experiment sees it: read, check, balance, split.

The order of every random draw is part of the experiment; see :func:`split_messages`. This module does without torch,
so that the baselines and the report do; tokens and batches are in :mod:`ablation.data.encode`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ablation.config.own_data import SPLIT_SEED  # --seed never touches it
from ablation.data.demo import read_demo_messages
from ablation.data.labels import LABELS, DataError
from ablation.files.fetch import fetch_dataset
from ablation.files.published import DATASET_SHA256
from ablation.files.wanted import to_stderr

PUBLISHED_DATA_DIGEST = "fb558a506d791b5741c4aa118c8fbb9ea184c42219c0773ca56f7c74555428b1"
SPLITS = ("train", "validation", "test")
TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.1


def load_splits(
    data_dir: Path,
    *,
    demo: bool = False,
    offline: bool = False,
    trust_new_hash: bool = False,
    report: Callable[[str], None] = to_stderr,
) -> dict[str, pd.DataFrame]:
    """The three splits of the messages that a command means, as of :func:`split_messages`.

    Args:
        data_dir: folder of the data file, which is fetched if it is missing.
        demo: the embedded messages in their place.
        offline: open no connection.
        trust_new_hash: accept well-formed messages other than the published ones.
        report: where lines about the fetching go.

    Raises:
        DataError, DownloadError: they cannot be had or used.
    """
    if demo:
        return split_messages(read_demo_messages())
    path = fetch_dataset(data_dir, offline=offline, trust_new_hash=trust_new_hash, report=report)
    return split_messages(read_messages(path, trust_new_hash=trust_new_hash))


# ---- reading and checking --------------------------------------------------------------------------------------------


def read_messages(path: Path, *, trust_new_hash: bool = False) -> pd.DataFrame:
    """Read the data file: one message a line, label and text separated by a tab.

    A byte-order mark, Windows line ends and a missing last newline are accepted: they mean the same messages, so they
    are undone before the content is held against the recorded SHA-256. Everything else that differs is refused, by
    line where a line is at fault.

    Args:
        path: the file.
        trust_new_hash: accept well-formed messages other than the published ones.

    Returns:
        Columns ``Label`` ("ham" or "spam") and ``Text``, one record a row. pandas' default quoting merges a few quoted
        lines of the published file (5,574 lines, 5,572 records); the published split was made that way.

    Raises:
        DataError: the file is missing, malformed, or not the published one.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give its folder with --data_dir") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; fetch the file again") from None
    text = text.replace("\r\n", "\n")
    text += "" if text.endswith("\n") else "\n"
    _check_lines(text, path)
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != DATASET_SHA256 and not trust_new_hash:
        raise DataError(
            f"{path}: SHA-256 {found}, expected {DATASET_SHA256}, so the split would be another;"
            " delete it to have it fetched again, or add --trust_new_hash to experiment on messages of your own"
        )
    # Otherwise a message that reads "NA" would become a missing value, and a lone carriage return would end a message.
    try:
        columns = ["Label", "Text"]
        return pd.read_csv(
            io.StringIO(text), sep="\t", header=None, names=columns, keep_default_na=False, lineterminator="\n"
        )
    except pd.errors.ParserError as error:
        raise DataError(f"{path}: {error}; check its quotation marks") from None


def _check_lines(text: str, path: Path) -> None:
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        fields = line.split("\t")
        if len(fields) != 2:
            problem = f"{len(fields)} tab-separated columns, expected 2 (label, text)"
        elif fields[0] not in LABELS:
            problem = f"label {fields[0]!r}, expected ham or spam"
        elif fields[1].strip() in ("", '""'):  # the quotes would be read as such
            problem = "the text is empty"
        else:
            continue
        raise DataError(f"{path}, line {number}: {problem}; mend the line or fetch the file again")


# ---- balancing and splitting -----------------------------------------------------------------------------------------


def split_messages(messages: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Balance the classes and cut the messages into the published training, validation and test split.

    Ham is sampled down to the number of spam, ham and spam are put one after the other, shuffled twice with the same
    seed (as the book and then the script did), and cut at 70 % and 80 %.

    Returns:
        ``{"train": …, "validation": …, "test": …}`` with columns ``Label`` (0 ham, 1 spam) and ``Text``.

    Raises:
        DataError: there is more spam than ham, or a split would be empty.
    """
    spam = messages[messages["Label"] == "spam"]
    ham = messages[messages["Label"] == "ham"]
    if len(spam) > len(ham):
        raise DataError(
            f"{len(spam)} spam but only {len(ham)} ham: ham is sampled down to the spam; add ham or remove spam"
        )
    balanced = pd.concat([ham.sample(len(spam), random_state=SPLIT_SEED), spam])
    balanced["Label"] = balanced["Label"].map(LABELS).astype("int64")
    for _ in range(2):
        balanced = balanced.sample(frac=1, random_state=SPLIT_SEED).reset_index(drop=True)
    train_end = int(len(balanced) * TRAIN_SHARE)
    validation_end = train_end + int(len(balanced) * VALIDATION_SHARE)
    parts = (balanced[:train_end], balanced[train_end:validation_end], balanced[validation_end:])
    splits = {name: part.reset_index(drop=True) for name, part in zip(SPLITS, parts, strict=True)}
    empty = [name for name, part in splits.items() if part.empty]
    if empty:
        raise DataError(
            f"the {' and '.join(empty)} split is empty: {len(spam)} spam are too few for 70/10/20 %; give at least 5"
        )
    return splits


def split_csv(split: pd.DataFrame) -> str:
    """A split as the CSV text whose SHA-256 identifies it."""
    return split.to_csv(index=False, lineterminator="\n")


def data_digest(splits: dict[str, pd.DataFrame]) -> str:
    """SHA-256 (hex) over the three splits' CSV texts, in order: which messages, which labels, which order."""
    digest = hashlib.sha256()
    for name in SPLITS:
        digest.update(hashlib.sha256(split_csv(splits[name]).encode()).digest())
    return digest.hexdigest()
