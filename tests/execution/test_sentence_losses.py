"""GPT-2's loss on sentences: packed as padded as transformers' own, and the published experiment's first steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import ks_2samp
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from ablation.config.shapes import ModelShape
from ablation.data.encode import load_tokenizer
from ablation.execution import vocabulary_loss
from ablation.execution.sentence_losses import SentenceLosses, packed_losses, padded_losses, predicted
from ablation.execution.vocabulary_loss import weighted_loss
from ablation.model.normal_weights import normal_weights
from benchmarks.held import Held
from previous_chapters import GPTModel, TransformerBlock
from tests.support.language_twin import copy_into_twin

END, LONGEST = 90, 9
SHAPE = ModelShape(vocab_size=91, context_length=12, emb_dim=16, n_layers=2, n_heads=4)
SENTENCES: tuple[list[int], ...] = (
    [5, 6, 7],
    [],
    [1] * LONGEST,
    [8, 9, 10],
    list(range(20, 20 + LONGEST + 4)),
    [END, 3],
)
REFERENCE: dict[str, Any] = json.loads((Path(__file__).parents[1] / "fixtures" / "lm_runs.json").read_text())


def make_model(shape: ModelShape = SHAPE, dtype: torch.dtype = torch.float64, dropout: float = 0.0) -> GPTModel:
    model = GPTModel(shape, dropout=dropout)
    model.load_state_dict(normal_weights(shape, 5))
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in model.parameters():  # larger than they begin, so that attention is not all alike
            noise = 0.1 * torch.randn(parameter.shape, generator=generator)
            parameter.mul_(12) if parameter.dim() > 1 else parameter.add_(noise)
    return model.to(dtype)


def gradients(model: GPTModel) -> dict[str, Tensor]:
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    return {name: gradient for name, gradient in found.items() if gradient is not None}


def test_what_is_predicted_ends_with_the_end_where_there_is_room() -> None:
    assert predicted([5, 6], 3, END) == ([END, 5, 6], [5, 6, END])
    assert predicted([5, 6, 7], 3, END) == ([END, 5, 6], [5, 6, 7])
    assert predicted([5, 6, 7, 8], 3, END) == ([END, 5, 6], [5, 6, 7])
    assert predicted([], 3, END) == ([END], [END])


def test_packed_is_padded_in_loss_and_all_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary_loss, "ROWS_OF_LOGITS", 7)  # several chunks, and a rest
    model, found = make_model(), []
    for losses in (padded_losses, packed_losses):
        own = losses(model, SENTENCES, LONGEST, END)
        (3 * own.mean).backward()
        found.append((own, gradients(model)))
    (padded, expected), (packed, own_gradients) = found
    assert float(packed.mean.detach()) == pytest.approx(float(padded.mean.detach()), rel=1e-12)
    torch.testing.assert_close(packed.sums, padded.sums, rtol=1e-12, atol=1e-12)
    assert packed.counts.tolist() == padded.counts.tolist() == [4, 1, 9, 4, 9, 3]
    assert own_gradients.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        assert float((own_gradients[name] - gradient).abs().max()) < 1e-9 * largest, name


def test_the_loss_is_that_of_transformers_where_every_sentence_counts_alike() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=91, n_positions=12, n_embd=16, n_layer=2, n_head=4, tie_word_embeddings=False
    )
    twin = transformers.GPT2LMHeadModel(config).eval().double()
    model: Any = make_model()
    copy_into_twin(model, twin)
    sentences = [[5, 6, 7], [8, 9, 10], [3, 3, 4]]
    tokens = torch.tensor([[END, *sentence, END] for sentence in sentences])
    with torch.no_grad():  # its own loss is computed in float32 whatever the model is in
        expected = F.cross_entropy(twin(tokens).logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        found = packed_losses(model, sentences, LONGEST, END).mean
    assert float(found) == pytest.approx(float(expected), rel=1e-9)


def test_a_frozen_head_or_frozen_states_get_no_gradient() -> None:
    hidden, head = torch.randn(5, 4, dtype=torch.float64), torch.randn(7, 4, dtype=torch.float64)
    targets, weights = torch.tensor([0, 6, 3, 3, 2]), torch.rand(5, dtype=torch.float64)
    expected = F.cross_entropy(F.linear(hidden, head), targets, reduction="none")
    for trained, frozen in ((hidden, head), (head, hidden)):
        trained.requires_grad_()
        total, losses = weighted_loss(hidden, head, targets, weights)
        total.backward()
        (gradient,) = torch.autograd.grad(
            F.cross_entropy(F.linear(hidden, head), targets, reduction="none") @ weights, trained
        )
        torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(trained.grad, gradient, rtol=1e-12, atol=1e-12)
        assert frozen.grad is None
        trained.requires_grad_(False).grad = None


def besides_parameters(model: GPTModel) -> Held:
    own = {StorageWeakRef(parameter.untyped_storage()) for parameter in model.parameters()}
    return Held(lambda tensor: StorageWeakRef(tensor.untyped_storage()) not in own)


def test_logits_are_held_of_a_few_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary_loss, "ROWS_OF_LOGITS", 4)
    monkeypatch.setattr(vocabulary_loss, "TOKENS_OF_A_PASS", 1500)
    shape = ModelShape(vocab_size=4000, context_length=12, emb_dim=4, n_layers=1, n_heads=1)
    model, row = GPTModel(shape), 4 * shape.vocab_size  # bytes of a row of logits
    positions = sum(len(predicted(sentence, LONGEST, END)[0]) for sentence in SENTENCES)
    looking, training = [], []  # rows of logits that what is held at once would make
    for losses in (packed_losses, padded_losses):
        with besides_parameters(model) as held, torch.no_grad():
            losses(model, SENTENCES, LONGEST, END)
        looking.append(held.most / row)
        with besides_parameters(model) as held:
            losses(model, SENTENCES, LONGEST, END).mean.backward()
        training.append(held.most / row)
        model.zero_grad()
    assert positions == 30 and min(looking[1], training[1]) > positions
    assert looking[0] < 4 + 1  # what has not the vocabulary's width is less than a row
    assert training[0] < 4 + shape.emb_dim + 1  # and the head's gradient


PLACES: Mapping[str, Callable[[GPTModel], list[Any]]] = {  # where dropout happens: what has its rate
    "embeddings": lambda model: [model],
    "attention": lambda model: [cast(TransformerBlock, block).att for block in model.trf_blocks],
    "sublayers": lambda model: list(model.trf_blocks),
}


def drawn_losses(losses: Callable[..., SentenceLosses], place: str, rate: float, seed: int) -> list[float]:
    """Mean losses of 300 draws, with dropout in one place alone."""
    model = make_model(dtype=torch.float32).train()
    for module in PLACES[place](model):
        module.dropout = rate
    torch.manual_seed(seed)
    with torch.no_grad():
        return [float(losses(model, SENTENCES, LONGEST, END).mean) for _ in range(300)]


@pytest.mark.parametrize("place", PLACES)
def test_dropout_is_distributed_as_in_the_padded_form(place: str) -> None:
    """By Kolmogorov's and Smirnov's test, which tells another rate."""
    packed = drawn_losses(packed_losses, place, 0.5, 1)
    assert ks_2samp(packed, drawn_losses(padded_losses, place, 0.5, 2)).pvalue > 0.01
    assert ks_2samp(packed, drawn_losses(padded_losses, place, 0.1, 2)).pvalue < 1e-6


def test_nothing_is_dropped_where_nothing_trains() -> None:
    model = make_model(dtype=torch.float32, dropout=0.5).eval()
    with torch.no_grad():
        once, again = (float(packed_losses(model, SENTENCES, LONGEST, END).mean) for _ in range(2))
    assert once == again


def test_first_losses_of_a_reference_run(real_data_dir: Path, real_vocabulary: Path) -> None:
    """The first epoch's batches, as an independent program trained on them. (All runs, whole: ``tests/run``.)"""
    reference = REFERENCE["cut sentences"]
    sizes = reference["config"]
    captions = real_data_dir / "captions" / "train.txt"
    if not captions.is_file():
        pytest.skip("needs the captions in the folder captions of SMS_SPAM_DATA_DIR")
    tokenizer = load_tokenizer(real_vocabulary)
    lines = captions.read_text(encoding="utf-8").splitlines()[: sizes["n_train"]]
    sentences = tokenizer.encode_ordinary_batch([line.strip() for line in lines])
    shape = ModelShape(50257, 1024, sizes["emb_dim"], sizes["n_layers"], sizes["n_heads"])
    model = GPTModel(shape)
    model.load_state_dict(normal_weights(shape, sizes["seed"]))
    assert sum(parameter.numel() for parameter in model.parameters()) == reference["trainable_parameters"]
    optimizer = torch.optim.Adam(model.parameters(), lr=sizes["learning_rate"], fused=True)
    order = torch.arange(len(sentences))
    if sizes["shuffle"] == "per_epoch":
        order = torch.randperm(len(sentences), generator=torch.Generator().manual_seed(sizes["seed"] + 1))
    ask, found = partial(packed_losses, max_len=sizes["max_len"], end_token=tokenizer.eot_token), []
    for batch in order.split(sizes["batch_size"])[: len(reference["first_losses"])]:
        losses = ask(model, [sentences[index] for index in batch.tolist()])
        losses.mean.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(losses.mean.detach()))
    assert found == pytest.approx(reference["first_losses"], abs=1e-4)
