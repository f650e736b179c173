"""What methods cost at GPT-2's size, against the formulas of each written out; and who says it."""

from __future__ import annotations

import re
from typing import Any

import pytest

import additional_experiments
from ablation.config.rows import row_config
from ablation.methods.costs import costs_of
from ablation.model.classifier import assemble
from ablation.results.costs import Costs

D, BLOCKS, CLASSES = 768, 12, 2
PLAIN = 124_441_346  # GPT-2 small's trunk and a head of two
HEAD = D * CLASSES + CLASSES
BLOCK = 4 * (D * D + D) + (D * 4 * D + 4 * D) + (4 * D * D + D) + 4 * D


def low_rank(rank: int, maps: int) -> int:
    """Of one block: A (in, r) and B (r, out) of so many square maps, and for all six of the two wide ones."""
    return rank * 2 * D * min(maps, 4) + (rank * 2 * (D + 4 * D) if maps == 6 else 0)


def adapter(bottleneck: int) -> int:
    return 2 * D * bottleneck + bottleneck + D


SIX = BLOCKS * low_rank(16, 6)
PARALLEL, PREFIX = BLOCKS * adapter(512), BLOCKS * 2 * 30 * D
IA3 = BLOCKS * (D + D + 4 * D)
# row -> trained, added, (multiply-adds merged where it merges, unmerged), extra positions
EXPECTED: dict[int, tuple[int, int, tuple[int, int], int]] = {
    1: (BLOCK + 2 * D + HEAD, 0, (0, 0), 0),
    5: (PLAIN, 0, (0, 0), 0),
    11: (SIX + 16 * (D + CLASSES) + HEAD, SIX + 16 * (D + CLASSES), (0, SIX), 0),
    20: (BLOCKS * low_rank(8, 2) + HEAD, BLOCKS * low_rank(8, 2), (0, BLOCKS * low_rank(8, 2)), 0),
    21: (SIX + HEAD, SIX, (0, SIX), 0),
    22: (SIX + BLOCKS * 9 * D + HEAD, SIX + BLOCKS * 9 * D, (0, SIX + BLOCKS * 9 * D), 0),
    23: (SIX + HEAD, SIX, (0, SIX), 0),
    24: (BLOCKS * 2 * adapter(64) + HEAD, BLOCKS * 2 * adapter(64), (BLOCKS * 4 * 64 * D,) * 2, 0),
    25: (BLOCKS * adapter(64) + HEAD, BLOCKS * adapter(64), (BLOCKS * 2 * 64 * D,) * 2, 0),
    26: (PARALLEL + HEAD, PARALLEL, (BLOCKS * 2 * 512 * D,) * 2, 0),
    27: (PARALLEL + PREFIX + HEAD, PARALLEL + PREFIX, (BLOCKS * (2 * 512 * D + 2 * 30 * D),) * 2, 0),
    28: (PREFIX + HEAD, PREFIX, (PREFIX, PREFIX), 0),
    29: (20 * D + HEAD, 20 * D, (BLOCKS * 2 * 20 * D,) * 2, 20),
    30: (IA3 + HEAD, IA3, (0, IA3), 0),
    31: (BLOCKS * 11 * D + HEAD, 0, (0, 0), 0),  # biases: 4 of attention, 4 + 1 of the feed-forward, 2 shifts
    32: (BLOCKS * 4 * D + HEAD, 0, (0, 0), 0),
    33: (1_333_264, 1_333_264, (0, BLOCKS * low_rank(8, 6)), 0),
}
NEVER = (24, 25, 26, 27, 28, 29)  # merge


def costs(row: int, **overrides: Any) -> Costs:
    config = row_config(row, **overrides)
    assembly = assemble(config, config.shape)
    return costs_of(assembly.model, assembly.added, config)


@pytest.mark.parametrize("row", EXPECTED)
def test_costs_are_those_of_the_formulas(row: int) -> None:
    trained, added, (merged, unmerged), positions = EXPECTED[row]
    assert costs(row) == Costs(
        total_parameters=PLAIN,
        trainable_parameters=trained,
        added_parameters=added,
        optimizer_bytes=8 * trained,
        added_multiply_adds=merged,
        unmerged_multiply_adds=unmerged,
        added_positions=positions,
        merges=row not in NEVER,
    )


def test_a_method_from_a_block_on_costs_what_its_blocks_do() -> None:
    upper, whole = costs(27, from_block=9), costs(27)
    assert 3 * upper.added_multiply_adds == whole.added_multiply_adds > 0
    assert 3 * upper.added_parameters == whole.added_parameters


@pytest.mark.parametrize(
    ("row", "lines"),
    [
        (1, ("124,441,346, of which 7,090,946 train (5.70%)", "56.7 MB", "as the base: nothing is added", "yes")),
        (
            21,
            (
                "124,441,346 and 2,654,208 added; 2,655,746 train (2.13%)", "21.2 MB",
                "as the base once merged; unmerged 2,654,208 multiply-adds a token more", "yes",
            ),
        ),
        (
            29,
            (
                "124,441,346 and 15,360 added; 16,898 train (0.01%)", "135 kB",
                "368,640 multiply-adds a token more, 20 positions a message more; it does not merge",
                "no: a soft prompt is positions before the message: they stay",
            ),
        ),
    ],
)  # fmt: skip
def test_a_dry_run_says_them(row: int, lines: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert additional_experiments.main(["--row", str(row), "--dry_run"]) == 0
    output = capsys.readouterr().out
    titles = ("parameters", "optimizer", "inference", "merges")
    found = [re.search(f"^{title} +(.*)$", output, re.MULTILINE) for title in titles]
    for match, text in zip(found, lines, strict=True):
        assert match is not None and match[1].removesuffix(" for two moments of each parameter that trains") == text
