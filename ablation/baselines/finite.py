"""A model that says what is no number is found out before anything is fitted to it, or counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from ablation.config.baseline import BaselineConfig
from ablation.run.finite import NotFiniteError


def check_finite(what: str, numbers: Any, config: BaselineConfig) -> None:
    """Look at what a model makes of messages.

    Args:
        what: they are.
        numbers: of any shape, an array or lists.

    Raises:
        RunError: one of them is not finite.
    """
    finite = np.isfinite(np.asarray(numbers))
    if finite.all():
        return
    model = f"--model_size {config.model_in_use}" if config.hf_model is None else f"--hf_model {config.hf_model}"
    other = "" if config.precision == "fp32" else f", or --precision fp32 in place of {config.precision}"
    raise NotFiniteError(
        f"{model}: {finite.size - finite.sum():,} of the {finite.size:,} {what} are not finite; the baseline has failed"
        f" and appends nothing to the results; look at the model's weights{other}"
    )
