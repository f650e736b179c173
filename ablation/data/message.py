"""One message as token ids: what is none, or cannot be cut into tokens, is refused by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablation.config.padding import LEFT, RIGHT

if TYPE_CHECKING:
    import tiktoken

LONGEST_BLANK = 500_000  # characters; at a million the tokenizer's search for the end of a gap panics
BLANK = re.compile(r"\s+")


class MessageError(Exception):
    """One message cannot be classified; the message says why."""


@dataclass(frozen=True)
class MessageTokens:
    """The token ids of a message that are kept, and how many it has."""

    kept: list[int]
    count: int


def cut(tokens: list[int], most: int, side: str) -> list[int]:
    """A message of at most so many tokens, cut at one of its sides."""
    return tokens[-most:] if side == LEFT else tokens[:most]


def message_tokens(tokenizer: tiktoken.Encoding, text: str, most: int, side: str = RIGHT) -> MessageTokens:
    """A message as tokens, of which ``most`` are kept, the others cut off at ``side``. Special tokens are not
    interpreted.

    Raises:
        MessageError: it is no message, or the tokenizer fails at it.
    """
    check_message(text)
    try:
        tokens = tokenizer.encode_ordinary(text)
    except BaseException as error:  # a panic of the tokenizer's Rust code is no Exception, and has no importable name
        if type(error).__name__ != "PanicException":
            raise
        raise MessageError("the tokenizer cannot read the message; shorten it") from None
    return MessageTokens(cut(tokens, most, side), len(tokens))


def check_message(text: str) -> None:
    """Refuse what is no message.

    Raises:
        MessageError: it is empty, not text (bytes that are not UTF-8), or has a gap that the tokenizer fails at.
    """
    if not text.strip():
        raise MessageError("the message is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MessageError("the message is not UTF-8 text") from None
    if len(text) > LONGEST_BLANK and (gap := max(map(len, BLANK.findall(text)), default=0)) > LONGEST_BLANK:
        raise MessageError(f"the message has {gap:,} blanks in a row; shorten them to {LONGEST_BLANK:,} at most")
