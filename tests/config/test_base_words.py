"""What a reader is told of a language model that others are built on."""

from __future__ import annotations

from typing import Any

import pytest

from ablation.config.base_words import base_words
from ablation.config.experiment import identity
from ablation.config.generation import LanguageModelConfig

DIGEST = "0123456789abcdef" * 4
WORDS: dict[str, dict[str, Any]] = {
    "trained on captions": {},
    "trained on the SMS training texts": {"data": "sms"},
    "trained on captions with --num_epochs 3 --seed 124": {"num_epochs": 3, "seed": 124},
    "trained on the demo's sentences": {"demo": True},
    "trained on texts 01234567": {"data_digest": DIGEST},
    "trained on captions with --weights pretrained": {"weights": "pretrained"},
    "trained on captions with --weights pretrained from weights 01234567": {
        "weights": "pretrained", "weights_digest": DIGEST
    },
}  # fmt: skip


@pytest.mark.parametrize(("words", "settings"), WORDS.items())
def test_a_base_is_said_in_words(words: str, settings: dict[str, Any]) -> None:
    assert base_words(settings) == words
    own = {name: value for name, value in settings.items() if not name.endswith("_digest")}
    assert identity(LanguageModelConfig(**own)) == own  # what runs record


def test_a_garbled_record_is_shown_as_it_is() -> None:
    assert base_words({"data": [1], "seed": None}) == "trained on [1] with seed=None"
    assert base_words({"data_digest": 7, "weights_digest": [1]}) == "trained on texts 7 from weights [1]"
