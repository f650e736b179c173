"""Messages of a kind that a classifier never saw in training: its answer to them means little."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

    from ablation.data.encode import EncodedMessages

FAR_LONGER = 2  # times as long as the longest one
MOSTLY = 0.3  # share of a message's letters
LETTERS_LOOKED_AT = 10_000  # of a message; what follows is written alike


@cache
def script(letter: str) -> str:
    """The script of a letter, by the first word of its Unicode name: ``Latin``, ``Cyrillic``, ``CJK``."""
    name = unicodedata.name(letter, "unnamed").split()[0]
    return name if name == "CJK" else name.capitalize()


def scripts(text: str) -> Counter[str]:
    """How many letters of each script."""
    return Counter(script(character) for character in text[:LETTERS_LOOKED_AT] if character.isalpha())


@dataclass(frozen=True)
class Familiar:
    """What a classifier saw in training, as far as it is known.

    Attributes:
        longest: tokens of the longest message as the model read it; None if unknown.
        scripts: those of the letters; None if the training messages are not at hand.
    """

    longest: int | None
    scripts: frozenset[str] | None = None

    def warning(self, text: str, tokens: int) -> str:
        """Why the model can hardly know this kind of message; empty if it may."""
        found = []
        letters = scripts(text) if self.scripts is not None else Counter()
        strange = {name: count for name, count in letters.items() if name not in (self.scripts or ())}
        if sum(strange.values()) > MOSTLY * letters.total():
            names = "/".join(sorted(strange, key=lambda name: -strange[name])[:2])
            found.append(f"{names} letters, which no training message has")
        if self.longest is not None and tokens > FAR_LONGER * self.longest:
            found.append(f"{tokens:,} tokens, the longest that the model was trained on has {self.longest:,}")
        return "; ".join(found)


def familiar(training: EncodedMessages, tokenizer: tiktoken.Encoding) -> Familiar:
    """What a training split shows."""
    texts = tokenizer.decode_batch(training.real_tokens())
    return Familiar(int(training.lengths.max()), frozenset(_scripts_of(texts)))


def _scripts_of(texts: Iterable[str]) -> set[str]:
    return {name for text in texts for name in scripts(text)}
