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
from ablation.model.decoding import sample_sentences
from ablation.model.normal_weights import normal_weights
from ablation.run.sentence_training import fit_to, order_of_epoch, train_on_sentences
from previous_chapters import GPTModel

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parents[1] / "fixtures" / "lm_runs.json").read_text())
SETTINGS = ("num_epochs", "batch_size", "learning_rate", "max_len", "patience", "shuffle", "seed")
END = 30
SHAPE = ModelShape(vocab_size=31, context_length=8, emb_dim=8, n_layers=1, n_heads=2)


def made_up(count: int, seed: int) -> list[list[int]]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(30, (int(torch.randint(7, (1,), generator=draw)),), generator=draw).tolist()
            for _ in range(count)]  # fmt: skip


def test_training_stops_after_patience_and_leaves_the_best_epochs_parameters() -> None:
    training = LanguageModelConfig(num_epochs=60, batch_size=4, learning_rate=0.02, max_len=6, patience=2)
    train, validation, model = made_up(10, 1), made_up(6, 2), GPTModel(SHAPE)
    model.load_state_dict(normal_weights(SHAPE, 1))
    record = train_on_sentences(model, train, validation, packed_losses, training, END)
    losses = [fit.loss for fit in record.validation]
    assert len(losses) < 60 and record.best_epoch == len(losses) - 2
    assert min(losses) == losses[record.best_epoch - 1]
    assert [len(batches) for batches in record.losses] == [3] * len(losses)  # the last, short one counts
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
    training = LanguageModelConfig(**{setting: sizes[setting] for setting in SETTINGS})
    record = train_on_sentences(model, splits["train"], splits["dev"], packed_losses, training, end)
    assert record.losses[0][: len(reference["first_losses"])] == pytest.approx(reference["first_losses"], abs=1e-4)
    assert (len(record.validation), record.best_epoch) == (len(reference["epochs"]), reference["best_epoch"])
    for batches, fit, epoch in zip(record.losses, record.validation, reference["epochs"], strict=True):
        assert sum(batches) / len(batches) == pytest.approx(epoch["train_loss"], abs=1e-3)
        assert fit.loss == pytest.approx(epoch["validation"]["loss"], abs=1e-3)
        assert fit.perplexity == pytest.approx(epoch["validation"]["perplexity"], rel=1e-3)
        assert fit.token_perplexity == pytest.approx(epoch["validation"]["token_perplexity"], rel=1e-3)
    test = fit_to(model, splits["test"], packed_losses, sizes["max_len"], end)
    assert test.perplexity == pytest.approx(reference["test"]["perplexity"], rel=1e-3)
    assert test.token_perplexity == pytest.approx(reference["test"]["token_perplexity"], rel=1e-3)
    for prompt, text in reference["greedy"].items():
        begun = tokenizer.encode_ordinary(prompt)
        (found,) = sample_sentences(
            model, begun, 1, Decoding(GREEDY), max_len=sizes["max_len"], end_token=end, seed=sizes["seed"]
        )
        assert tokenizer.decode(found) == text
