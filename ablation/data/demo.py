"""The embedded miniature's files, and how they are read. Everything else about a demo run is as in any other run."""

from __future__ import annotations

import base64
import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.data.labels import LABELS, DataError
from ablation.environment import PROJECT, how_to_restore

if TYPE_CHECKING:
    import pandas as pd
    import tiktoken

FOLDER = PROJECT / "data" / "demo"
MESSAGES, VOCABULARY, WEIGHTS = (
    FOLDER / name for name in ("messages.csv", "vocabulary.tiktoken", "gpt2-nano.safetensors")
)
MESSAGE_COLUMNS = ["Label", "Text"]
END_OF_TEXT = "<|endoftext|>"
# How texts are cut into words before byte pairs are merged: much as GPT-2 does it, in terms that Python's `re` knows.
WORD_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
SHORT_DISCLAIMER = "demo: a miniature of its own; neither GPT-2 nor the SMS Spam Collection"
DISCLAIMER = (
    "demo: messages and weights are this project's own miniature, not GPT-2 and not the SMS Spam Collection;"
    " its figures stand beside no published ones"
)
SHORT_OWN_DISCLAIMER = "demo: a miniature of its own on messages of yours; not GPT-2"
OWN_DISCLAIMER = (
    "demo: the weights are this project's own miniature, not GPT-2, and the messages are yours;"
    " figures stand beside no published ones"
)


@dataclass(frozen=True)
class Disclaimer:
    """What must be said wherever the demo's figures stand; ``short`` has no comma."""

    long: str
    short: str


def disclaimer(own_data: bool) -> Disclaimer:
    """Of the demo's model on its own messages, or on the user's."""
    return Disclaimer(OWN_DISCLAIMER, SHORT_OWN_DISCLAIMER) if own_data else Disclaimer(DISCLAIMER, SHORT_DISCLAIMER)


def read_demo_messages(path: Path = MESSAGES) -> pd.DataFrame:
    """The demo's messages in the columns of ``ablation.data.spam.read_messages``.

    Raises:
        DataError: the file is missing or is not what the generator wrote.
    """
    import pandas as pd

    mend = how_to_restore("restore it, or make it anew: python -m demo.messages")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); {mend}") from None
    if header != MESSAGE_COLUMNS:
        raise DataError(f"{path}: columns {header}, expected {MESSAGE_COLUMNS}; {mend}")
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or row[0] not in LABELS:
            raise DataError(f"{path}, message {number}: {row}, expected ham or spam and a text; {mend}")
    return pd.DataFrame(rows, columns=MESSAGE_COLUMNS)


def vocabulary_digest(path: Path = VOCABULARY) -> str:
    """SHA-256 (hex) of the vocabulary: under another one a trained model would take tokens for other tokens.

    Raises:
        OSError: the file cannot be read.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_demo_tokenizer(path: Path = VOCABULARY) -> tiktoken.Encoding:
    """The demo's byte-pair encoding; its end-of-text token, which pads, comes behind all others.

    Raises:
        DataError: the file is missing or damaged.
    """
    import tiktoken

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}
        single_bytes = {bytes([byte]) for byte in range(256)}
        if sorted(ranks.values()) != list(range(len(lines))) or not single_bytes <= ranks.keys():
            raise ValueError("ranks or single bytes are missing")  # tiktoken would take neither for an error
        return tiktoken.Encoding(
            "demo",
            pat_str=WORD_PATTERN,
            mergeable_ranks=ranks,
            special_tokens={END_OF_TEXT: len(ranks)},
            explicit_n_vocab=len(ranks) + 1,
        )
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: no vocabulary ({error});"
            f" {how_to_restore('restore it, or make it anew: python -m demo.vocabulary')}"
        ) from None
