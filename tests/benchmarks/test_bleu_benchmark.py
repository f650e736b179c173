"""The benchmark of BLEU: what it compares is the same, and what it tells is what it measured."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from ablation.texts.bleu import forward_backward
from benchmarks import bleu as benchmark

DRAW = random.Random(4)
GENERATED, REFERENCES = ([[DRAW.randrange(6) for _ in range(4 + i % 7)] for i in range(count)] for count in (11, 9))


def test_samples_scores_are_nltks_and_stand_for_all() -> None:
    pytest.importorskip("nltk")
    found = benchmark.measure(GENERATED, REFERENCES, sample=5, repeats=2)
    assert (found["generated"], found["references"], found["nltk_processes"]) == (11, 9, 2)
    assert {clock: len(seconds) for clock, seconds in found["here"].items()} == {"wall": 2, "processor": 2}
    for way, of, scores in zip(("forward", "backward"), (11, 9), forward_backward(GENERATED, REFERENCES), strict=True):
        assert (found["nltk"][way]["sample"], found["nltk"][way]["of"]) == (5, of)
        assert len(found["nltk"][way]["processor"]) == 2
        assert found["nltk"][way]["mean_score_of_all"] == scores.mean() > 0
    assert benchmark.spread(11, 5) == [0, 2, 4, 6, 8] and benchmark.spread(3, 5) == [0, 1, 2]


@pytest.mark.parametrize("wrong", [2e-12, float("nan")])
def test_a_score_that_differs_ends_it(monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    forward, backward = forward_backward(GENERATED, REFERENCES)
    timed = {"sample": len(REFERENCES), "of": len(REFERENCES), "wall": 1.0, "processor": [1.0, 1.0]}
    theirs = iter([forward, backward + np.where(np.arange(len(backward)) == 3, wrong, 0)])
    monkeypatch.setattr(benchmark, "measure_nltk", lambda *_: (timed, next(theirs)))
    with pytest.raises(SystemExit, match="backward BLEU differs from nltk's by"):
        benchmark.measure(GENERATED, REFERENCES, sample=99, repeats=1)


def test_the_table_extrapolates_and_compares_by_process() -> None:
    def way(wall: float, difference: float) -> dict[str, Any]:
        sizes = {"sample": 40, "of": 5000, "wall": wall, "processor": [4.0, 5.0]}
        return {**sizes, "largest_difference": difference, "mean_score_of_all": 0.6}

    results = {
        "generated": 5000, "references": 5000, "nltk_processes": 2, "load_average": 2.25, "cores": 2,
        "here": {"wall": [9.0, 0.5, 0.4], "processor": [0.4, 0.5, 9.0]},
        "nltk": {"forward": way(6.0, 1e-16), "backward": way(10.0, 3e-16)},
    }  # fmt: skip
    header, _, *lines = benchmark.table(results).splitlines()
    assert header == "| 5,000 × 5,000 sentences, both ways | wall | processor |"
    assert lines[:3] == [
        "| `ablation.texts.bleu`, one process | 0.50 s | 0.50 s |",
        "| nltk, 2 processes | 2,000 s | 2,250 s |",  # 125 × 16 s, 125 × 18 s
        "| nltk ÷ here | 4,000 | 2,250 |",
    ]
    assert "from 40 sentences each way" in lines[-1]
    assert lines[-1].endswith("score: 3e-16. Load average meanwhile: 2.2 on 2 cores.")
