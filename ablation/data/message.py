"""One message as token ids: what is none, or cannot be cut into tokens, is refused by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

LONGEST_BLANK = 500_000  # characters; at a million the tokenizer's search for the end of a gap panics
BLANK = re.compile(r"\s+")


class MessageError(Exception):
    """One message cannot be classified; the message says why."""


@dataclass(frozen=True)
class MessageTokens:
    """A message's first token ids, and how many it has."""

    first: list[int]
    count: int


def message_tokens(tokenizer: tiktoken.Encoding, text: str, most: int) -> MessageTokens:
    """A message as tokens, of which ``most`` are kept. Special tokens are not interpreted.

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
    return MessageTokens(tokens[:most], len(tokens))


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
