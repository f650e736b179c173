"""A language model that others are built on, in words: what it was trained on, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablation.config.flags import typed
from ablation.config.generation import SMS
from ablation.config.settings import CAPTIONS

NAMES = {CAPTIONS: "captions", SMS: "the SMS training texts"}
IN_THE_DEMO = {CAPTIONS: "the demo's sentences", SMS: "the demo's messages"}


def base_words(settings: Mapping[str, Any]) -> str:
    """``trained on captions``, and in what else its training differs from row 1 of the language models.

    Args:
        settings: those that differ, by name, with the digests of data and weights other than the published ones.
    """
    others = dict(settings)
    data, demo = str(others.pop("data", CAPTIONS)), others.pop("demo", False)
    digest, weights = others.pop("data_digest", None), others.pop("weights_digest", None)
    texts = f"texts {str(digest)[:8]}" if digest else (IN_THE_DEMO if demo else NAMES).get(data, data)
    further = [typed(others), f"from weights {str(weights)[:8]}" if weights else ""]
    return " ".join([f"trained on {texts}", *(["with"] if others else []), *filter(None, further)])
