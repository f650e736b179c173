"""A classifier with a prompt or a prefix at use: what counts, and is cut, are a message's own tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablation.config.experiment import ExperimentConfig
from ablation.data.demo import load_demo_tokenizer
from ablation.listener import Listener
from ablation.run.inputs import open_weights
from ablation.run.positions import read_positions
from ablation.run.trained_classifier import SavedRun, TrainedClassifier, join
from tests.support.tiny import CPU, make_execution, make_messages

LONG = "you have won a prize call now " * 60
ROOM = 256


def make_classifier(padded_length: int | None, **settings: Any) -> TrainedClassifier:
    """As a run that made no step would have kept it."""
    width: dict[str, Any] = {"context_length": padded_length}
    if padded_length is None:
        width = {"no_padding": True, "batch_size": 1}
    config = ExperimentConfig(demo=True, save_model=True, **width, **settings)
    weights = open_weights(config, Listener())
    execution = make_execution(config, make_messages(config), "naive", weights=weights)
    parameters = {name: tensor.float() for name, tensor in execution.trained_parameters(0).items()}
    saved = SavedRun(Path("run"), config, parameters, weights.digest(), padded_length, None)
    return TrainedClassifier(saved, join(saved, weights), load_demo_tokenizer(), CPU, ("ham", "spam"))


@pytest.mark.parametrize(
    ("settings", "room"),
    [
        ({"method": "soft_prompt", "prompt_length": 21}, ROOM - 21),
        ({"method": "prefix_tuning", "prefix_length": 21}, ROOM),
        ({"method": "soft_prompt", "prompt_length": 21, "average_embeddings": True}, ROOM - 21),
        ({"method": "soft_prompt", "trainable_token_pos": "flexible"}, 30),
    ],
    ids=["soft prompt", "prefix", "soft prompt, mean", "soft prompt, padded"],
)
def test_messages_are_cut_to_the_room_that_is_left_and_positions_are_theirs(
    settings: dict[str, Any], room: int
) -> None:
    classifier = make_classifier(None if room > 30 else room, **settings)
    (long, short) = classifier.classify([LONG, "hello"])
    assert long.cut and long.read == room and long.tokens > ROOM
    assert not short.cut and short.tokens == short.read
    for text, answer in ((LONG, long), ("hello", short)):
        positions = read_positions(classifier, text)
        assert [one.position for one in positions] == list(range(1, len(positions) + 1))
        assert sum(not one.pad for one in positions) == answer.read
        tokens = classifier.tokens_of(text).kept
        assert [one.token_id for one in positions if not one.pad] == tokens[: answer.read]
        counting = [one for one in positions if one.counts]
        assert counting[-1].position == answer.read
        if "average_embeddings" in settings:
            assert len(counting) == answer.read
        else:
            assert len(counting) == 1
            assert counting[0].probabilities == pytest.approx(answer.probabilities, abs=1e-5)
