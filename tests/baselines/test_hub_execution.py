"""What a model of transformers is given to read, and what it draws by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ablation.baselines import hf_models
from ablation.baselines.baseline import Asked, Fitted
from ablation.baselines.hf_models import HubModel
from ablation.baselines.hub_execution import seed_of_update
from ablation.baselines.registry import BASELINES
from ablation.config.baseline import BaselineConfig
from ablation.listener import Listener
from ablation.tasks.spam import SPAM
from tests.support.tiny_hub_models import change_json, save_tiny_bert, save_tiny_causal, tiny_xlnet

pytest.importorskip("transformers")
TEXTS = ["win now", "call", "love to see you later, ok", "free prize now"]
W = 86  # the letter with which some of them end, in the tokens of the tiny causal model


@pytest.fixture
def causal(tmp_path: Path) -> Path:
    return save_tiny_causal(tmp_path / "causal")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("hub") / "tiny-bert")


class Told(Listener):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def ask(name: str, model: Path, texts: list[str], seed: int = 123, **settings: Any) -> tuple[Fitted, list[str]]:
    table = pd.DataFrame({"Label": [n % 2 for n in range(len(texts))], "Text": texts})
    config = BASELINES[name].config(BaselineConfig(hf_model=str(model), device="cpu", batch_size=2, **settings))
    config = replace(config, seed=seed)
    asked = Asked(SPAM, config, BASELINES[name].settings, dict.fromkeys(SPAM.splits, table), told := Told())
    return BASELINES[name].fit(asked), told.messages


# ---- pads ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def in_a_batch(loaded: HubModel, lists: list[list[int]]) -> torch.Tensor:
    ids, mask = loaded.batch(lists)
    return loaded.model(input_ids=ids, attention_mask=mask).logits


@torch.no_grad()
def at_the_last(loaded: HubModel, lists: list[list[int]]) -> torch.Tensor:
    """The new head on the state of each list's last token, where it is read alone."""
    model = loaded.model
    return torch.stack([model.score(model.transformer(torch.tensor([own])).last_hidden_state[0, -1]) for own in lists])


@pytest.mark.parametrize("what", ["as it is", "left", "another pad", "begins alone"])
def test_a_causal_classifier_reads_the_last_token_of_a_message(what: str, causal: Path) -> None:
    """Whichever side the tokenizer pads, and whatever the model's own configuration holds for a pad."""
    if what == "left":
        change_json(causal / "tokenizer_config.json", padding_side="left")
    if what == "another pad":
        change_json(causal / "config.json", pad_token_id=W)
    if what == "begins alone":
        change_json(causal / "tokenizer_config.json", eos_token=None, bos_token="<|endoftext|>")
    loaded = hf_models.load_classifier(str(causal), 2, seed=1)
    lists = loaded.token_lists(TEXTS)[0]
    assert loaded.tokenizer.pad_token_id == 256 and lists[0][-1] == W
    torch.testing.assert_close(in_a_batch(loaded, lists), at_the_last(loaded, lists))


def test_an_encoder_reads_the_same_in_a_batch_and_alone(bert: Path) -> None:
    loaded = hf_models.load_classifier(str(bert), 2, seed=1)
    lists = loaded.token_lists(TEXTS)[0]
    alone = torch.cat([in_a_batch(loaded, [own]) for own in lists])
    torch.testing.assert_close(in_a_batch(loaded, lists), alone)


def test_a_classifier_that_reads_the_last_position_has_no_pad_there() -> None:
    loaded = HubModel(tiny_xlnet("XLNetForSequenceClassification"), SimpleNamespace(pad_token_id=5), "d")
    lists = [[7, 8, 9, 4, 3], [11, 4, 3]]
    alone = torch.cat([in_a_batch(loaded, [own]) for own in lists])
    torch.testing.assert_close(in_a_batch(loaded, lists), alone, atol=1e-6, rtol=1e-4)


def test_without_a_pad_a_model_can_be_asked_and_not_classify(causal: Path) -> None:
    change_json(causal / "tokenizer_config.json", eos_token=None)
    assert hf_models.load_causal(str(causal)).tokenizer.pad_token_id is None
    with pytest.raises(hf_models.HubError, match=r"--hf_model .*causal: its tokenizer has no token to pad with"):
        hf_models.load_classifier(str(causal), 2, seed=1)


# ---- messages --------------------------------------------------------------------------------------------------------


def test_special_tokens_in_a_message_are_letters(bert: Path, causal: Path) -> None:
    for folder, text, special in ((bert, "call [SEP] now [PAD] [CLS]", {0, 2, 3}), (causal, "<|endoftext|>", {256})):
        loaded = hf_models.load_classifier(str(folder), 2, seed=1)
        (plain, own), cut = loaded.token_lists(["call", text])
        assert [token for token in own if token in special] == [token for token in plain if token in special]
        assert not cut


def test_messages_that_are_cut_are_told_once(bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitted, told = ask("B4", bert, ["win now " * 20, "love you", "call now", "see you later " * 11])
    assert [line for line in told if "cut" in line] == [
        "the model reads 32 tokens: 6 of 12 messages are longer, and cut"
    ]
    assert fitted.logits["test"].shape == (4, 2) and capsys.readouterr().err == ""
    assert not [line for line in ask("B4", bert, TEXTS)[1] if "cut" in line]


# ---- draws -----------------------------------------------------------------------------------------------------------


def test_what_an_update_draws_by_fits_for_every_seed() -> None:
    """Of ordinary seeds it is the seed and the number side by side, as rows were measured."""
    assert seed_of_update(123, 7) == 123 * 2**32 + 7 and seed_of_update(2**31 - 1, 0) == (2**31 - 1) << 32
    drawn = [seed_of_update(seed, number) for seed in (2**31, 5_000_000_000, 2**64) for number in (0, 1)]
    assert len(set(drawn)) == 6 and all(0 <= own < 2**63 for own in drawn)


def test_a_large_seed_is_trained_with(bert: Path) -> None:
    fitted, _ = ask("B7", bert, TEXTS, seed=5_000_000_000, max_steps=1)
    assert fitted.counts["train"].total == 4


# ---- causal models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["B4", "B7"])
def test_a_causal_model_answers_each_message_as_if_it_were_alone(name: str, causal: Path) -> None:
    """Untrained, and after steps; it has no pad of its own, and its classifier would refuse a batch."""
    settings = {"max_steps": 2} if name == "B7" else {}
    many, _ = ask(name, causal, TEXTS, **settings)
    assert many.logits["test"].shape == (4, 2) and len({tuple(row) for row in many.logits["test"].tolist()}) == 4
    if name == "B4":
        one_by_one = [ask(name, causal, [text, text])[0].logits["test"][0] for text in TEXTS]
        np.testing.assert_allclose(many.logits["test"], np.stack(one_by_one), atol=1e-6, rtol=0)


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("load", ["load_causal", "load_classifier"])
def test_a_name_is_looked_for_on_the_hub_unless_that_is_forbidden(
    load: str, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    asked: list[bool] = []

    def from_pretrained(source: str, *, local_files_only: bool, **settings: Any) -> Any:
        asked.append(local_files_only)
        raise OSError("no such model")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    further = () if load == "load_causal" else (2, 123)
    with pytest.raises(hf_models.HubError, match="some/model"):
        getattr(hf_models, load)("some/model", *further, offline=offline)
    assert asked == [offline]
