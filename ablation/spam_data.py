"""The SMS Spam Collection as the published experiment sees it: read, check, balance, split, tokenise, batch.

The order of every random draw is part of the experiment; see :func:`split_messages` and :func:`make_loaders`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ablation.config import LONGEST_TRAINING_EXAMPLE, MODEL_CONTEXT_LENGTH, ExperimentConfig

if TYPE_CHECKING:
    import tiktoken

DATA_FILE = "SMSSpamCollection.tsv"
DATA_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
LABELS = {"ham": 0, "spam": 1}
SPLITS = ("train", "validation", "test")
SPLIT_SEED = 123  # the published split; --seed never touches it
TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.1


class DataError(Exception):
    """The data cannot be used; the message names the file, the line where there is one, and the way out."""


# ---- reading and checking -------------------------------------------------------------------------------------------


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
    if found != DATA_SHA256 and not trust_new_hash:
        raise DataError(
            f"{path}: SHA-256 {found}, expected {DATA_SHA256}, so the split would be another;"
            " fetch the file again, or add --trust_new_hash to experiment on messages of your own"
        )
    # Without keep_default_na=False a message that reads "NA" or "null" would become a missing value.
    try:
        return pd.read_csv(io.StringIO(text), sep="\t", header=None, names=["Label", "Text"], keep_default_na=False)
    except pd.errors.ParserError as error:
        raise DataError(f"{path}: {error}; check its quotation marks") from None


def _check_lines(text: str, path: Path) -> None:
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        fields = line.split("\t")
        if len(fields) != 2:
            problem = f"{len(fields)} tab-separated columns, expected 2 (label, text)"
        elif fields[0] not in LABELS:
            problem = f"label {fields[0]!r}, expected ham or spam"
        elif not fields[1].strip():
            problem = "the text is empty"
        else:
            continue
        raise DataError(f"{path}, line {number}: {problem}; mend the line or fetch the file again")


# ---- balancing and splitting ----------------------------------------------------------------------------------------


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


# ---- tokens ---------------------------------------------------------------------------------------------------------


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = environ.get(name)
    environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del environ[name]
        else:
            environ[name] = before


def load_tokenizer(vocabulary_dir: Path) -> tiktoken.Encoding:
    """GPT-2's byte-pair encoding from a folder in tiktoken's cache layout; opens no connection if it is complete."""
    import tiktoken

    with _environment("TIKTOKEN_CACHE_DIR", str(vocabulary_dir)):
        return tiktoken.get_encoding("gpt2")


@dataclass(frozen=True)
class EncodedMessages:
    """The messages of one split as token ids.

    Attributes:
        tokens: (N, W) ids, real tokens first, pads behind them.
        lengths: (N,) number of real tokens; a token that happens to be the pad token counts as real.
        labels: (N,) 0 ham, 1 spam.
        padded: whether a message is seen at the full width W, or, without padding, at its own length.
    """

    tokens: Tensor
    lengths: Tensor
    labels: Tensor
    padded: bool

    def widths(self) -> Tensor:
        """(N,) number of positions at which each message enters the model."""
        return torch.full_like(self.lengths, self.tokens.shape[1]) if self.padded else self.lengths

    def batch(self, indices: Tensor) -> Tensor:
        """The token ids (B, T) of some messages; without padding T is the length of the longest among them."""
        tokens = self.tokens[indices]
        return tokens if self.padded else tokens[:, : int(self.lengths[indices].max())]

    def __len__(self) -> int:
        return len(self.labels)


def encode_splits(
    splits: dict[str, pd.DataFrame], tokenizer: tiktoken.Encoding, config: ExperimentConfig
) -> dict[str, EncodedMessages]:
    """Tokenise the splits and pad or cut them as the configuration says.

    Special tokens are not interpreted: a message that contains ``<|endoftext|>`` contains those thirteen characters.

    Raises:
        DataError: without padding, a message is longer than the model's context.
    """
    token_lists = {name: tokenizer.encode_ordinary_batch(list(split["Text"])) for name, split in splits.items()}
    if config.no_padding:
        width = max(len(tokens) for lists in token_lists.values() for tokens in lists)
        if width > config.shape.context_length:
            raise DataError(
                f"a message has {width} tokens, the model reads {config.shape.context_length};"
                " --no_padding cuts nothing, so leave it out"
            )
    elif config.context_length == LONGEST_TRAINING_EXAMPLE:
        width = min(max(map(len, token_lists["train"])), config.shape.context_length)
    elif config.context_length == MODEL_CONTEXT_LENGTH:
        width = config.shape.context_length
    else:
        width = int(config.context_length)
    return {
        name: encode_messages(
            token_lists[name], split["Label"].tolist(), width, tokenizer.eot_token, padded=not config.no_padding
        )
        for name, split in splits.items()
    }


def encode_messages(
    token_lists: list[list[int]], labels: list[int], width: int, pad_token: int, *, padded: bool
) -> EncodedMessages:
    """Put token lists into one matrix of the given width, longer ones cut, shorter ones padded on the right."""
    tokens = torch.full((len(token_lists), width), pad_token)
    for row, ids in zip(tokens, token_lists, strict=True):
        kept = ids[:width]
        row[: len(kept)] = torch.tensor(kept)
    lengths = torch.tensor([min(len(ids), width) for ids in token_lists])
    return EncodedMessages(tokens, lengths, torch.tensor(labels), padded)


# ---- batches --------------------------------------------------------------------------------------------------------


def make_loaders(messages: dict[str, EncodedMessages], batch_size: int) -> dict[str, DataLoader]:
    """Loaders over the *indices* of each split's messages.

    They are real ``DataLoader``s, because every pass over one draws from PyTorch's global generator, also a pass over
    an unshuffled one: only so do the batches hold the same messages as in the published script. The training loader
    shuffles and drops a last partial batch; the others keep order and rest.

    Raises:
        DataError: the training split has less than one batch.
    """
    if batch_size > len(messages["train"]):
        raise DataError(
            f"--batch_size {batch_size}: the training split has {len(messages['train'])} messages; give that or less"
        )
    return {
        name: DataLoader(
            range(len(split)),  # type: ignore[arg-type]  # a range is a map-style data set
            batch_size=batch_size,
            shuffle=name == "train",
            drop_last=name == "train",
        )
        for name, split in messages.items()
    }
