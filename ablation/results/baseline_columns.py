"""What a line of the results says of a baseline alone: what makes it a variant of itself, and its seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

BASELINE_SETTINGS = "baseline_settings"  # the column of what makes a baseline a variant of itself, as a JSON object
AREAS = ("validation_auc", "test_auc")  # under the ROC curve
BASELINES_ALONE = (BASELINE_SETTINGS, *AREAS)  # columns that are empty in other rows
FEW = "n_train"  # the column and setting of how many training examples were used, the first ones


def baseline_settings(fields: Mapping[str, str]) -> dict[str, Any]:
    """What makes it a variant of itself, and to how many messages it was fitted if not to all; nothing in lines that
    are older than these columns.

    Raises:
        ValueError: one of them is garbled.
    """
    text = fields.get(BASELINE_SETTINGS) or "{}"
    try:
        settings = json.loads(text)
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"{BASELINE_SETTINGS} {text!r} is no JSON object")
    return {**_fitted_to(fields.get(FEW, "")), **settings}


def _fitted_to(count: str) -> dict[str, int]:
    try:
        return {FEW: int(count)} if count else {}
    except ValueError:
        raise ValueError(f"{FEW} {count!r} is no number of messages") from None


def baseline_seeds(fields: Mapping[str, str]) -> tuple[int | None, int | None]:
    """(seed, order seed or None), as of a run; of a baseline that draws nothing neither.

    Raises:
        ValueError: they are no numbers.
    """
    found = [fields.get(name, "") for name in ("seed", "order_seed")]
    try:
        seed, order = (int(text) if text else None for text in found)
    except ValueError:
        raise ValueError(f"seed {found[0]!r} or order_seed {found[1]!r} is no seed") from None
    return seed, None if order == seed else order
