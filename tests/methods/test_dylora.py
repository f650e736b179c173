"""DyLoRA: the rank of an update is its number's, gradients are those of the cut term, every rank is evaluated."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ablation.data.encode import make_loaders
from ablation.listener import Listener
from ablation.methods.dylora import DynamicTerm, at_rank
from ablation.results.log import RUN_JSON
from ablation.results.read import read_results
from ablation.run.experiment import run_experiment
from ablation.run.kinds import save_result
from ablation.run.training import Updater, train
from ablation.tasks.spam import SPAM
from lora import LinearWithLoRA
from tests.support.peft_twin import assert_same, fill_terms, lora_twin, stirred_execution, term_gradients
from tests.support.tiny import few_demo_messages, make_execution, make_messages, tiny_config


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_peft_computes_the_same(dtype: torch.dtype, rank: int) -> None:
    """Cut to b it is LoRA of rank b; what is beyond gets a gradient of zero."""
    ours = stirred_execution(dtype, method="dylora", lora_rank=4, lora_alpha=5, lora_targets="query+value+ff_in").model
    twin = lora_twin(ours, rank, 5 / rank)
    with at_rank(ours, rank):
        assert_same(ours, twin, partial(fill_terms, rank=rank), partial(term_gradients, rank=rank))


def test_the_formula_written_out_and_its_gradients() -> None:
    torch.manual_seed(2)
    layer = LinearWithLoRA(torch.nn.Linear(7, 5), 4, 6, partial(DynamicTerm, init="normal_rank")).double()
    torch.nn.init.normal_(layer.lora.B)
    x = torch.randn(3, 7, dtype=torch.float64)
    for rank in (1, 2, 4):
        a, b = layer.lora.A[:, :rank], layer.lora.B[:rank]
        with at_rank(layer, rank):
            for found in (layer(x), torch.nn.functional.linear(x, *layer.effective())):
                assert (found - (layer.linear(x) + 6 / rank * x @ a @ b)).abs().max() < 1e-12
            layer.zero_grad()
            layer(x).square().sum().backward()
        assert layer.lora.A.grad is not None and layer.lora.B.grad is not None
        gradients = layer.lora.A.grad, layer.lora.B.grad.T
        assert all(g[:, :rank].all() and not g[:, rank:].any() for g in gradients)
    assert layer.lora.rank == 4  # as before


def ranks_of(updates: int, seed: int) -> list[int]:
    config = tiny_config(method="dylora", lora_rank=5, seed=seed, context_length=12)
    execution = make_execution(config, make_messages(config), "naive")
    terms = [module for module in execution.model.modules() if isinstance(module, DynamicTerm)]
    found = []
    for number in range(updates):
        with execution.updating(number):
            (rank,) = {term.rank for term in terms}  # all of them at one
            found.append(rank)
    return found


def test_an_updates_rank_follows_from_seed_and_number() -> None:
    ranks = ranks_of(300, seed=1)
    assert ranks_of(40, seed=1) == ranks[:40] != ranks_of(40, seed=2)
    shares = [ranks.count(rank) / 300 for rank in range(1, 6)]
    assert sum(shares) == 1 and min(shares) > 0.12  # each a fifth of the time


class Noting(Updater):
    """Notes which messages an update is made of."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[list[int]] = []

    def __call__(self, batches: list[Tensor]) -> list[Tensor]:
        self.seen.append(torch.cat(batches).tolist())
        return super().__call__(batches)


def test_batches_are_loras() -> None:
    """Ranks are not drawn from the generator that decides the order of the messages."""
    seen = {}
    for method in ("lora", "dylora"):
        config = tiny_config(method=method, lora_targets="query", context_length=12, batch_size=4, num_epochs=1)
        messages = make_messages(config)
        execution = make_execution(config, messages, "planned", dtype=torch.float32)
        updaters: list[Noting] = []

        def noting(*arguments: Any, kept: list[Noting] = updaters) -> Noting:
            kept.append(Noting(*arguments))
            return kept[0]

        train(SPAM, execution, make_loaders(messages, 4), config, Listener(), new_updater=noting)
        seen[method] = updaters[0].seen
    assert seen["lora"] == seen["dylora"] and len(seen["lora"]) == 10


def test_every_rank_is_evaluated_after_one_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the published passes: their numbers are those of a run without these."""
    monkeypatch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
    settings: dict[str, Any] = {
        "demo": True, "weights": "random", "n_layers": 1, "emb_dim": 16, "n_heads": 2, "context_length": 16,
        "max_steps": 4, "eval_iter": 1, "learning_rate": 3e-2, "results_dir": str(tmp_path), "method": "dylora",
        "lora_targets": "ff_in+ff_out",
    }  # fmt: skip
    config = tiny_config(**settings, lora_rank=6)
    result = run_experiment(SPAM, config)
    assert list(result.uses) == ["rank 1", "rank 2", "rank 4", "rank 6"]
    assert result.uses["rank 6"] == result.answers.counts
    assert result.uses["rank 1"] != result.uses["rank 6"]
    (row,) = save_result(SPAM, result)
    record = json.loads((tmp_path / "runs" / row["run_id"] / RUN_JSON).read_text())
    assert record["uses"]["rank 6"] == {
        f"{split}_{what}": row[f"{split}_{what}"] for split in SPAM.splits for what in ("correct", "total")
    }
    ((run,), problems) = read_results(tmp_path, SPAM)
    assert not problems and run.uses() == result.uses
    for garbled in ("", "[]", '{"uses": 1}', '{"uses": {"rank 1": 2}}', '{"uses": {"rank 1": {}}}'):
        (run.folder / RUN_JSON).write_text(garbled)
        assert run.uses() == {}
    monkeypatch.setattr("ablation.execution.base.Execution.uses", lambda self: {})
    alone = run_experiment(SPAM, config)
    assert not alone.uses and alone.answers.counts == result.answers.counts
    assert all(torch.equal(alone.answers.logits[split], logits) for split, logits in result.answers.logits.items())
