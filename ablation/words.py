"""Words that several screens share."""

from __future__ import annotations

from collections.abc import Iterable


def plural(count: int, noun: str) -> str:
    """``1 run``, ``2 runs``, ``1,494 messages``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def messages_cut(room: int, cut: int, messages: int) -> str:
    """What is said where messages are longer than a model reads."""
    return f"the model reads {room:,} tokens: {cut:,} of {plural(messages, 'message')} are longer, and cut"


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def in_ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers as people write them: ``1,2,4,5,6,9`` is ``1,2,4-6,9``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 2 else ",".join(map(str, p)) for p in parts)
