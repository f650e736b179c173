"""What the benchmarks of generation compare, count and draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ablation.config.decoding import Decoding
from ablation.config.shapes import ModelShape
from ablation.model.decoding import sample_sentences
from ablation.model.normal_weights import normal_weights
from benchmarks import generation, token_seconds
from previous_chapters import GPTModel

SHAPE = ModelShape(vocab_size=40, context_length=24, emb_dim=64, n_layers=2, n_heads=1)
END = 39
FEW = "--places 1 5 20 --place 8 --widths 64 128 --batch_size 3 --repeats 2"


def side(seconds: float, lengths: list[int]) -> dict[str, Any]:
    tokens = sum(length * times for length, times in enumerate(lengths))
    count = sum(lengths)
    rates = {"sentences_per_second": count / seconds, "tokens_per_second": tokens / seconds}
    return {"seconds": seconds, "lengths": lengths, **rates}


def test_the_table_has_rates_their_ratio_and_both_lengths() -> None:
    result = {"ours": side(2.0, [0, 50, 50]), "hugging_face": side(10.0, [0, 50, 50])}
    cells = generation.table({"top_k_0.7": result}).splitlines()[2].split(" | ")
    assert cells[:6] == ["| `top_k 40 at temperature 0.7`", "50.0", "75.0", "10.0", "15.0", "5.0"]
    assert cells[6:] == ["1.5 ± 0.5", "1.5 ± 0.5", "1.00 |"]
    result["hugging_face"] = side(10.0, [0, 20, 80])
    assert "| 0.00 |" in generation.table({"top_k_0.7": result})


@pytest.mark.slow
def test_both_sides_speak_with_the_same_weights() -> None:
    model = GPTModel(SHAPE)
    model.load_state_dict({name: 12 * tensor for name, tensor in normal_weights(SHAPE, 5).items()})
    model.eval()
    theirs = generation.with_transformers(model, SHAPE, END, max_len=10)
    alone = Decoding("top_k", 1.0, top_k=1)  # the likeliest, always
    ours = sample_sentences(model, [], 40, alone, max_len=10, end_token=END, seed=1)
    assert theirs(40, alone) == ours and len(set(ours[0])) > 2
    measured = generation.measure(theirs, Decoding("random"), 40, lambda: 0.5 * next(ticks))
    assert measured["seconds"] == 0.5 and sum(measured["lengths"]) == 40
    assert measured["sentences_per_second"] == 80


ticks = iter(range(10))


def measured() -> dict[str, Any]:
    options = token_seconds.make_parser().parse_args(FEW.split())
    return token_seconds.measure(options, SHAPE)


def test_seconds_a_token_are_measured_and_drawn(tmp_path: Path) -> None:
    results = measured()
    (tmp_path / "raw.json").write_text(json.dumps(results))
    token_seconds.main(["--drawn_from", str(tmp_path), "--picture", str(tmp_path / "picture.svg")])
    picture = (tmp_path / "picture.svg").read_text()
    for text in ("attention dominates", "3 sentences at once", "d = 128", "all, without kept states"):
        assert text in picture
    assert [line["place"] for line in results["places"]] == [1, 5, 20]
    for line in results["places"]:
        assert all(line[way][part] > 0 for way in ("one", "batch", "without") for part in token_seconds.PARTS)
    assert results["places"][2]["formula"] == {"linear": 12 * 2 * 64**2, "attention": 2 * 2 * 64 * 20, "head": 64 * 40}
    table = token_seconds.table(results)
    assert len([line for line in table.splitlines() if line.startswith("| ")]) == 4 + 1 + 5 + 1
    assert "6·d = 384" in table


def test_the_verdict_names_the_first_token_at_which_attention_takes_longer() -> None:
    def parts(attention: float) -> dict[str, float]:
        return {"linear": 1.0, "attention": attention, "head": 5.0}

    places = [{"place": place, "one": parts(0.1), "batch": parts(place / 100)} for place in (50, 200, 900)]
    said = token_seconds.verdict({"time": "wall", "places": places, "batch_size": 32, "width": 768})
    assert "one sentence: never up to token 900; 32 sentences at once: from token 200 on" in said and "4,608" in said


def test_kept_states_are_timed_at_the_place_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again the same one, whose result is that of the whole sentence."""
    model, found = token_seconds.random_model(SHAPE).double(), []
    kept_step = token_seconds.KeyValueCache.step

    def step(cache: Any, tokens: torch.Tensor) -> None:
        kept_step(cache, tokens)
        found.append((cache.length, cache.logits.clone()))

    monkeypatch.setattr(token_seconds.KeyValueCache, "step", step)
    token_seconds.with_kept_states(model, 9, 2, 3, lambda: 0.0)
    assert [length for length, _ in found] == [9] * 4
    sentences = torch.tensor([[*range(8), 0], [*range(8), 1]])
    with torch.no_grad():
        expected = model(sentences)[:, -1]
    for _, logits in found:
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-9)
