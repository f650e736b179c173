"""What every reader of messages shares: the two labels, and the error that says what is wrong with a file."""

from __future__ import annotations

LABELS = {"ham": 0, "spam": 1}


class DataError(Exception):
    """The data cannot be used; the message names the file, the line where there is one, and the way out."""
