"""Cards of models trained by a method: what it is, what it trained, whether it merges, and how to have it again."""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ablation.config.experiment import identity
from ablation.config.rows import row_config
from ablation.methods.costs import costs_of
from ablation.model.classifier import assemble
from ablation.results.model_card import model_card, use_here
from ablation.results.run_folder import config_fields
from ablation.tasks.spam import SPAM

OVERRIDES: dict[str, dict[str, Any]] = {
    "as it stands": {}, "another rate": {"learning_rate": 0.5}, "the last block": {"from_block": 3},
}  # fmt: skip


@pytest.mark.parametrize("row", [20, 28, 30, 33])
@pytest.mark.parametrize("overrides", OVERRIDES)
def test_the_command_of_a_card_gives_the_run_again(row: int, overrides: str, tmp_path: Path) -> None:
    config = row_config(row, demo=True, **OVERRIDES[overrides])
    run = record(config)
    card = model_card(SPAM, run, tmp_path, use_here(run, tmp_path))
    (command,) = re.findall(r"^.*additional_experiments.py .*$", card, re.MULTILINE)
    assert (f"--row {row} " in command) == (not OVERRIDES[overrides])
    assert not OVERRIDES[overrides] or f"--method {config.method} " in command
    again, *_ = SPAM.command_line.read(shlex.split(command)[2:])
    assert identity(again) == identity(config)


@pytest.mark.parametrize(("row", "merges"), [(30, "yes"), (24, "no: an adapter is no linear map: its own")])
def test_a_card_says_what_was_trained_and_offers_what_can_be_had(row: int, merges: str, tmp_path: Path) -> None:
    config = row_config(row, demo=True)
    run = record(config)
    card = model_card(SPAM, run, tmp_path, use_here(run, tmp_path))
    assert f"Trained by `{config.method}`, a method of parameter-efficient fine-tuning." in card
    assert f"weights: {merges}" in card
    assert ("export.py" in card) == (row == 30)
    assert f"| {run['trainable_parameters']:,} of {run['total_parameters']:,} | parameters that were trained |" in card
    assert f"| {run['added_parameters']:,} | of them added beside the model's own |" in card
    for name in config.method_defaults:
        assert f"| `{name}` | {getattr(config, name)} |" in card


def record(config: Any) -> dict[str, Any]:
    """What ``run.json`` would have, its results aside."""
    assembly = assemble(config, config.shape)
    costs = asdict(costs_of(assembly.model, assembly.added, config))
    fields = config_fields(SPAM, config, datetime(2026, 1, 2, tzinfo=UTC))
    return {**dict.fromkeys(SPAM.columns), **fields, **costs}
