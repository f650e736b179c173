"""What a person sees of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablation.data.demo import DISCLAIMER
from ablation.run.console import summary
from ablation.tasks.spam import SPAM


def row(**overrides: Any) -> dict[str, Any]:
    counts = {f"{split}_{what}": 10 for split in ("train", "validation", "test") for what in ("correct", "total")}
    accuracies = {f"{split}_acc": 0.5 for split in ("training", "validation", "test")}
    return {"row": 1, "demo": False, **counts, **accuracies, "training_minutes": 1.5, "seed": None, **overrides}


def test_the_published_figures_stand_beside_their_row() -> None:
    text = summary(SPAM, [row()], Path("results/results.csv"))
    accuracy = next(line for line in text.splitlines() if line.startswith("test accuracy"))
    assert "50.00% " in accuracy and accuracy.endswith("95.00 %")
    assert text.startswith("row appended to results/results.csv:\n  row=1 ") and "seed=\n" in text
    assert DISCLAIMER not in text


@pytest.mark.parametrize("overrides", [{"row": None}, {"row": 20}, {"demo": True}], ids=str)
def test_no_figures_beside_what_was_not_published(overrides: dict[str, Any]) -> None:
    text = summary(SPAM, [row(**overrides)], Path("results/results.csv"))
    assert "published" not in text.replace(DISCLAIMER, "") and "95.00" not in text
    assert (DISCLAIMER in text) == ("demo" in overrides)
    assert "20" not in SPAM.published()
