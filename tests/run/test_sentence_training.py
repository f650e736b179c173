"""The independent reference runs of the language model, repeated: every epoch, the stop, the best epoch, its texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ablation.config.decoding import GREEDY, Decoding
from ablation.config.generation import LanguageModelConfig
from ablation.config.shapes import ModelShape
from ablation.data.encode import load_tokenizer
from ablation.execution.sentence_losses import packed_losses, padded_losses
from ablation.listener import Listener
from ablation.model.decoding import sample_sentences
from ablation.model.normal_weights import normal_weights
from ablation.results.language_model import Epoch, Fit, SentenceHistory, SpokenBleu
from ablation.run.sentence_checkpoint import SentenceState
from ablation.run.sentence_training import (
    SentenceTraining,
    by_bleu,
    by_perplexity,
    fit_to,
    make_adam,
    order_of_epoch,
)
from previous_chapters import GPTModel

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parents[1] / "fixtures" / "lm_runs.json").read_text())
SETTINGS = ("num_epochs", "batch_size", "learning_rate", "max_len", "patience", "shuffle", "seed")
END = 30
SHAPE = ModelShape(vocab_size=31, context_length=8, emb_dim=8, n_layers=1, n_heads=2)


def made_up(count: int, seed: int) -> list[list[int]]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(30, (int(torch.randint(7, (1,), generator=draw)),), generator=draw).tolist()
            for _ in range(count)]  # fmt: skip


def train(
    model: GPTModel, train: list[list[int]], validation: list[list[int]], config: LanguageModelConfig, end: int = END
) -> SentenceHistory:
    parameters = list(model.parameters())
    state = SentenceState(parameters, make_adam(parameters, config))
    silent = SpokenBleu(0.0, 0.0, 0.0)
    return SentenceTraining(
        config, model, train, validation, end, packed_losses, lambda epoch: silent, Listener(), state
    ).run()


def test_training_stops_after_patience_and_leaves_the_best_epochs_parameters() -> None:
    training = LanguageModelConfig(num_epochs=60, batch_size=4, learning_rate=0.02, max_len=6, patience=2)
    sentences, validation, model = made_up(10, 1), made_up(6, 2), GPTModel(SHAPE)
    model.load_state_dict(normal_weights(SHAPE, 1))
    history = train(model, sentences, validation, training)
    losses = [epoch.validation.loss for epoch in history.epochs]
    assert history.stopped and len(losses) < 60 and history.best_epoch == len(losses) - 2
    assert min(losses) == losses[history.best_epoch - 1]
    assert [len(epoch.losses) for epoch in history.epochs] == [3] * len(losses)  # the last, short one counts
    assert fit_to(model, validation, packed_losses, 6, END).loss == pytest.approx(min(losses), abs=1e-6)


def test_every_sentence_counts_alike_in_a_fit_whatever_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablation.run.sentence_training.SENTENCES_AT_ONCE", 4)
    model, sentences = GPTModel(SHAPE).double(), made_up(9, 3)
    fit = fit_to(model, sentences, packed_losses, 6, END)
    whole = padded_losses(model, sentences, 6, END)
    assert fit.loss == pytest.approx(float((whole.sums / whole.counts).mean()), rel=1e-12)
    assert fit.token_loss == pytest.approx(float(whole.sums.sum() / whole.counts.sum()), rel=1e-12)


def test_an_epoch_has_an_order_of_its_own() -> None:
    shuffled, never = LanguageModelConfig(seed=5), LanguageModelConfig(seed=5, shuffle="never")
    first, second = (order_of_epoch(20, epoch, shuffled).tolist() for epoch in (1, 2))
    assert first != second and sorted(first) == list(range(20)) == order_of_epoch(20, 2, never).tolist()


def history_of(losses: list[float], bleu: list[float]) -> SentenceHistory:
    pairs = zip(losses, bleu, strict=True)
    return SentenceHistory([Epoch((1.0,), Fit(loss, loss), SpokenBleu(0.5, 0.5, value)) for loss, value in pairs])


def test_what_chooses_an_epoch_and_what_counts_as_bad_luck() -> None:
    assert by_perplexity(history_of([3.0, 2.0, 2.0, 2.5], [0.1] * 4)) == (2, 2)
    assert by_bleu(history_of([3.0] * 4, [0.1, 0.3, 0.2, 0.25])) == (2, 0)  # a rise ends the falls
    assert by_bleu(history_of([3.0] * 4, [0.1, 0.3, 0.29, 0.28])) == (2, 2)
    assert by_bleu(history_of([3.0] * 3, [0.3, 0.3, 0.3])) == (1, 0)  # no lower is no fall


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in REFERENCE if not name.startswith("_")])
def test_reference_runs(name: str, real_data_dir: Path, real_vocabulary: Path) -> None:
    reference, sizes, folder = REFERENCE[name], REFERENCE[name]["config"], real_data_dir / "captions"
    if not folder.is_dir():
        pytest.skip("needs the captions in the folder captions of SMS_SPAM_DATA_DIR")
    tokenizer = load_tokenizer(real_vocabulary)
    splits = {}
    for split in ("train", "dev", "test"):
        lines = (folder / f"{split}.txt").read_text(encoding="utf-8").splitlines()[: sizes[f"n_{split}"]]
        splits[split] = tokenizer.encode_ordinary_batch([line.strip() for line in lines])
    shape = ModelShape(50257, 1024, sizes["emb_dim"], sizes["n_layers"], sizes["n_heads"])
    model, end = GPTModel(shape), tokenizer.eot_token
    model.load_state_dict(normal_weights(shape, sizes["seed"]))
    config = LanguageModelConfig(**{setting: sizes[setting] for setting in SETTINGS})
    history = train(model, splits["train"], splits["dev"], config, end)
    first = list(history.epochs[0].losses[: len(reference["first_losses"])])
    assert first == pytest.approx(reference["first_losses"], abs=1e-4)
    assert (len(history.epochs), history.best_epoch) == (len(reference["epochs"]), reference["best_epoch"])
    for found, epoch in zip(history.epochs, reference["epochs"], strict=True):
        assert found.train_loss == pytest.approx(epoch["train_loss"], abs=1e-3)
        assert found.validation.loss == pytest.approx(epoch["validation"]["loss"], abs=1e-3)
        assert found.validation.perplexity == pytest.approx(epoch["validation"]["perplexity"], rel=1e-3)
        assert found.validation.token_perplexity == pytest.approx(epoch["validation"]["token_perplexity"], rel=1e-3)
    test = fit_to(model, splits["test"], packed_losses, sizes["max_len"], end)
    assert test.perplexity == pytest.approx(reference["test"]["perplexity"], rel=1e-3)
    assert test.token_perplexity == pytest.approx(reference["test"]["token_perplexity"], rel=1e-3)
    for prompt, text in reference["greedy"].items():
        begun = tokenizer.encode_ordinary(prompt)
        (spoken,) = sample_sentences(
            model, begun, 1, Decoding(GREEDY), max_len=sizes["max_len"], end_token=end, seed=sizes["seed"]
        )
        assert tokenizer.decode(spoken) == text
