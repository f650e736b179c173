"""What every reader of messages shares: the published labels, and the error that says what is wrong with a file."""

from __future__ import annotations

from ablation.config.own_data import PUBLISHED_LABELS

LABELS = {name: number for number, name in enumerate(PUBLISHED_LABELS)}


class DataError(Exception):
    """The data cannot be used; the message names the file, the line where there is one, and the way out."""
