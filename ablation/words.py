"""Words that several screens share."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """``1 run``, ``2 runs``, ``1,494 messages``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
