"""Words that several screens share."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """``1 run``, ``2 runs``, ``1,494 messages``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
