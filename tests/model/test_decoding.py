"""Sentences drawn with kept keys and values, beside the plain loop and beside Hugging Face's generate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablation.config.decoding import Decoding
from ablation.config.shapes import ModelShape
from ablation.methods.primitives import ExtraKeysAndValues, SublayerWrapper
from ablation.model import decoding as decoding_module
from ablation.model import key_value_cache
from ablation.model.decoding import sample_sentences
from ablation.model.key_value_cache import KeyValueCache
from lora import LinearWithLoRA
from previous_chapters import GPTModel, generate

SHAPE = ModelShape(vocab_size=53, context_length=16, emb_dim=32, n_layers=3, n_heads=4)
END = 52
GREEDY, RANDOM = Decoding("greedy"), Decoding("random")
WAYS = [
    GREEDY, RANDOM, Decoding("top_k", 0.7, top_k=7), Decoding("top_p", 0.7, top_p=0.9),
    Decoding("top_k_top_p", 1.0, top_k=20, top_p=0.8),
]  # fmt: skip


def made() -> GPTModel:
    """A model whose likeliest token changes from position to position."""
    torch.manual_seed(3)
    model = GPTModel(SHAPE).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(float(name.endswith("scale")), 0.3 if parameter.ndim == 2 else 0.1)
    return model


@pytest.fixture(scope="module")
def model() -> GPTModel:
    return made()


def sampled(model: GPTModel, decoding: Decoding, count: int = 40, prompt: Any = (), **settings: Any) -> list[list[int]]:
    return sample_sentences(
        model, prompt, count, decoding, **{"max_len": 12, "end_token": END, "seed": 123, **settings}
    )


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, GPTModel]:
    """Hugging Face's GPT-2, and ours with its weights, both in float64."""
    from ablation.model.weights import load_into, open_weights
    from tests.support.hub_twin import make_twin

    path: Path = tmp_path_factory.mktemp("twin")
    twin = make_twin()
    twin.save_pretrained(path)
    weights = open_weights(path / "model.safetensors", SHAPE)
    model = GPTModel(SHAPE)
    load_into(model, weights)
    model.out_head.weight = nn.Parameter(weights.head().clone())
    return twin.double(), model.double().eval()


class TestGreedy:
    @pytest.mark.slow  # importing its generate takes seconds; the plain loop is beside ours in the quick tests, too
    @pytest.mark.parametrize("prompt", [[], [5], [7, 1, 30, 30], [11] * 9])
    def test_equals_generate_of_hugging_face(self, twins: tuple[Any, GPTModel], prompt: list[int]) -> None:
        twin, model = twins
        expected = twin.generate(
            torch.tensor([[END, *prompt]]), max_length=16, do_sample=False, eos_token_id=END, pad_token_id=END
        )[0, 1:].tolist()  # fmt: skip
        expected = expected[: expected.index(END)] if END in expected else expected
        assert len(expected) > len(prompt)
        assert sampled(model, GREEDY, 2, prompt, max_len=15) == [expected] * 2

    @pytest.mark.parametrize("token", range(0, 52, 5))
    def test_equals_the_plain_loop(self, model: GPTModel, token: int) -> None:
        expected = generate(model, [END, token], 11, end_token=END)[1:]
        assert len(set(expected)) > 1
        assert sampled(model, GREEDY, 1, [token]) == [expected]


class TestKeyValueCache:
    @pytest.fixture(autouse=True, params=[20, 512], ids=["head in pieces", "head at once"])
    def pieces_of_the_head(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(key_value_cache, "TOKENS_OF_A_PRODUCT", request.param)

    def test_logits_are_those_of_whole_sentences(self, model: GPTModel) -> None:
        tokens = torch.randint(53, (5, 16), generator=torch.Generator().manual_seed(1))
        tokens[:, :3] = tokens[0, :3]
        with torch.no_grad():
            expected = model(tokens)
        cache = KeyValueCache(model, tokens[0, :3].tolist(), 5, limit=16)
        here = torch.arange(5)
        for position in range(3, 16):
            torch.testing.assert_close(cache.logits, expected[here, position - 1], rtol=0, atol=1e-9)
            if position in (5, 9):  # the first of the batch leaves, then one in the middle and the last
                kept = torch.tensor([False, True, True, True, True] if position == 5 else [True, False, True, False])
                here = here[cache.keep(kept)]
            cache.step(tokens[here, position])
        torch.testing.assert_close(cache.logits, expected[here, 15], rtol=0, atol=1e-9)
        assert cache.rows == 2 and sorted(here.tolist()) != [0, 1]

    def test_asks_a_head_that_is_more_than_a_product(self, model: GPTModel) -> None:
        """Also in pieces, it would be left out what was added to it."""
        adapted: Any = made()
        adapted.out_head = LinearWithLoRA(adapted.out_head, 2, 4)
        nn.init.normal_(adapted.out_head.lora.B)
        adapted.double().eval()
        tokens = torch.tensor([[4, 8, 15]])
        cache = KeyValueCache(adapted, [4, 8], 1, limit=3)
        cache.step(tokens[:, 2])
        with torch.no_grad():
            expected = adapted(tokens)[:, -1]
            assert (expected - model(tokens)[:, -1]).abs().max() > 0.1
        torch.testing.assert_close(cache.logits, expected, rtol=0, atol=1e-9)

    def test_has_no_logits_of_sentences_that_left(self, model: GPTModel) -> None:
        cache = KeyValueCache(model, [4, 8], 3, limit=4)
        cache.step(torch.tensor([1, 2, 3]))
        assert cache.keep(torch.tensor([False, True, True])).tolist() == [2, 1]
        assert cache.logits.shape == (0, 53)
        cache.step(torch.tensor([5, 6]))
        assert cache.logits.shape == (2, 53)

    def test_knows_linear_maps_and_wrappers(self) -> None:
        model: Any = made()
        for block in model.trf_blocks:
            block.att.W_value = LinearWithLoRA(block.att.W_value, 2, 4)
            nn.init.normal_(block.att.W_value.lora.B)
            block.att, block.ff = Doubled(block.att), Doubled(block.ff)
        model.double().eval()
        tokens = torch.tensor([[4, 8, 15, 16]])
        with torch.no_grad():
            expected = model(tokens)[:, -1]
            assert (expected - made()(tokens)[:, -1]).abs().max() > 0.1
        cache = KeyValueCache(model, [4, 8], 1, limit=4)
        for position in (2, 3):
            cache.step(tokens[:, position])
        torch.testing.assert_close(cache.logits, expected, rtol=0, atol=1e-9)
        assert sampled(model, GREEDY, 1, [4]) == [generate(model, [END, 4], 11, end_token=END)[1:]]


class Doubled(SublayerWrapper):
    def combine(self, x: Tensor, y: Tensor) -> Tensor:
        return 2 * y + x


class TestRandomNumbers:
    @pytest.mark.parametrize("decoding", WAYS, ids=lambda way: way.name)
    def test_neither_batch_size_nor_first_changes_a_sentence(self, model: GPTModel, decoding: Decoding) -> None:
        whole = sampled(model, decoding)
        assert sampled(model, decoding, batch_size=7) == whole
        assert sampled(model, decoding, 15, first=25) == whole[25:]
        assert decoding is GREEDY or len({tuple(sentence) for sentence in whole}) > 20

    def test_the_seed_changes_them(self, model: GPTModel) -> None:
        assert sampled(model, RANDOM, seed=124) != sampled(model, RANDOM)

    def test_a_shorter_limit_cuts_them(self, model: GPTModel) -> None:
        assert sampled(model, RANDOM, max_len=4) == [sentence[:4] for sentence in sampled(model, RANDOM)]


class TestWhereSentencesEnd:
    @pytest.mark.parametrize("prompt", [[], [3, 9]])
    def test_at_the_end_of_the_context(self, model: GPTModel, prompt: list[int]) -> None:
        sentences = sampled(model, RANDOM, prompt=prompt, max_len=1000)
        assert max(map(len, sentences)) == 15  # with the token that starts it, 16
        assert all(sentence[: len(prompt)] == prompt and END not in sentence for sentence in sentences)

    def test_a_prompt_of_the_greatest_length_is_the_sentence(self, model: GPTModel) -> None:
        ended: list[int] = []
        assert sampled(model, RANDOM, 5, [1, 2, 3], max_len=3, advanced=ended.append) == [[1, 2, 3]] * 5
        assert sum(ended) == 5

    def test_ended_sentences_leave_the_batch(self, model: GPTModel, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[int] = []

        class Watched(KeyValueCache):
            def step(self, tokens: Tensor) -> None:
                read.append(len(tokens))
                super().step(tokens)
                assert len(self.logits) == len(tokens)

        monkeypatch.setattr(decoding_module, "KeyValueCache", Watched)
        ended: list[int] = []
        sentences = sampled(model, Decoding("random", 3.0), 200, advanced=ended.append)
        assert read == [sum(len(sentence) > length for sentence in sentences) for length in range(11)]
        assert read[-1] < 190 and sum(ended) == 200

    def test_no_sentences(self, model: GPTModel) -> None:
        assert sampled(model, RANDOM, 0) == []


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"prompt": [1] * 13}, "the prompt has 13 tokens, a sentence at most 12"),
            ({"prompt": [1] * 16, "max_len": 99}, "at most 15 .*context 16.*: shorten"),
            ({"decoding": Decoding("random", 0.0)}, "temperature 0 is not above 0"),
            ({"decoding": Decoding("top_k")}, "top_k of at least 1, not None"),
            ({"decoding": Decoding("top_p", top_p=0.0)}, "top_p above 0 and at most 1, not 0.0"),
            ({"decoding": Decoding("beam")}, "'beam' is not known: choose from greedy, random"),
            ({"batch_size": 0}, "batch_size is 0"),
        ],
    )
    def test_settings(self, model: GPTModel, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            sampled(model, **{"decoding": RANDOM, **settings})

    def test_models(self) -> None:
        for spoiled, kind, message in spoiled_models():
            with pytest.raises(kind, match=message) as failure:
                sampled(spoiled, RANDOM)
            assert "\n" not in str(failure.value)


def spoiled_models() -> Iterator[tuple[GPTModel, type[Exception], str]]:
    class OtherAttention(type(made().trf_blocks[0].att)):  # type: ignore[misc]
        pass

    class Another(SublayerWrapper):
        def forward(self, x: Tensor, *context: object) -> Tensor:
            return x

    model: Any = made()
    yield model.train(), ValueError, "training mode.*eval"
    model = made()
    model.trf_blocks[1].att.extra = ExtraKeysAndValues(torch.zeros(2, 32), torch.zeros(2, 32))
    yield model, TypeError, "block 1 cannot keep keys and values: its attention has extra keys"
    model = made()
    model.trf_blocks[0].att = OtherAttention(32, 4).double().eval()
    yield model, TypeError, "OtherAttention, not a MultiHeadAttention"
    model = made()
    model.trf_blocks[0].ff = Another(model.trf_blocks[0].ff).eval()
    yield model, TypeError, "Another has a forward of its own"
    model = made()
    model.trf_blocks[2].att.causal = False
    yield model, TypeError, "block 2 .*later positions"
    model = made()
    model.trf_blocks[2].att.register_forward_hook(lambda *_: None)
    yield model, TypeError, "hooks"
    model = made()
    nn.init.constant_(model.final_norm.scale, torch.nan)
    yield model, ValueError, "logits are not finite"
