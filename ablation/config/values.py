"""Readers of what was typed behind a flag. Each gives the value, or a ValueError that says what to give instead."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping


def letters(text: str) -> str:
    """What is compared of names that people write in several ways."""
    return re.sub(r"[^0-9a-z]", "", text.lower())


def one_of(choices: Iterable[str], meanings: Mapping[str, str] = {}) -> Callable[[str], str]:
    """A reader of one of some names, which may be typed in capitals (LoRA); what means one, or is close to one, is
    asked about.

    Args:
        meanings: what to give -> words that mean it elsewhere, with blanks between.
    """
    names = tuple(choices)

    def parse(text: str) -> str:
        lower = text.lower()
        if text in names or lower in names:
            return text if text in names else lower
        meant = [what for what, words in meanings.items() if letters(text) in map(letters, words.split())]
        same = [name for name in names if letters(name) == letters(text)]
        close = [*same, *meant] or difflib.get_close_matches(lower, names, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(f"{hint}choose one of {', '.join(names)}")

    return parse


def some_of(choices: Iterable[str]) -> Callable[[str], str]:
    """A reader of some of several names, with + or a comma between; gives them in their own order, joined by +."""
    names = tuple(choices)
    one = one_of(names)

    def parse(text: str) -> str:
        given = {one(part.strip()) for part in text.replace("+", ",").split(",")}
        return "+".join(name for name in names if name in given)

    return parse


DEVICES = ("auto", "cpu", "gpu", "cuda", "mps")


def device(text: str) -> str:
    """A reader of where to compute: one of DEVICES, or one CUDA device of several by its number, ``cuda:0``."""
    name, colon, index = text.lower().partition(":")
    if not colon:
        return one_of(DEVICES)(name)
    if name != "cuda" or not index.isdecimal():
        raise ValueError(f"give cuda:0 for the first CUDA device, or one of {', '.join(DEVICES)}")
    return f"cuda:{int(index)}"


def integer(minimum: int, maximum: int = 2**63 - 1) -> Callable[[str], int]:
    """A reader of a whole number within bounds."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError("give a whole number") from None
        if value < minimum:
            raise ValueError(f"give a whole number of at least {minimum}")
        if value > maximum:
            raise ValueError(f"give a whole number of at most {maximum}")
        return value

    return parse


def number(*, positive: bool) -> Callable[[str], float]:
    """A reader of a finite number, above zero or from zero on."""
    needed = "a positive number" if positive else "a number that is not negative"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"give {needed}") from None
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            raise ValueError(f"give {needed}")
        return value

    return parse
