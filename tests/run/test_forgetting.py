"""What a run forgets: the trunk as trained under the base's head, whatever trained and however it was computed."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import additional_experiments
import sweep
from ablation.config.experiment import ConfigError, ExperimentConfig, config_hash
from ablation.config.flags import EXPERIMENTS
from ablation.config.rows import row_config
from ablation.data import demo
from ablation.data.held_out import HeldOutText
from ablation.execution.perplexity import Trunk, token_losses
from ablation.execution.plan import make_plan
from ablation.listener import Listener
from ablation.model.classifier import RandomWeights, assemble
from ablation.model.weights import open_weights
from ablation.results.read import read_results
from ablation.run.experiment import run_experiment
from ablation.run.forgetting import Probe, base_trunk, trained_trunk
from ablation.run.kinds import save_result
from ablation.run.summary import Summary
from ablation.run.trained_classifier import join, read_saved_run
from ablation.tasks.spam import SPAM
from tests.support.cases import ROW_SETTINGS, config_of
from tests.support.tiny import CPU, SHAPE, DoubleWeights, few_demo_messages, make_execution, make_messages

DRAW = random.Random(5)
SEQUENCES = [[DRAW.randrange(61) for _ in range(DRAW.randint(2, 20))] for _ in range(9)]
HEAD = torch.randn(61, 16, generator=torch.Generator().manual_seed(0)).double()
# Rows, and what they are at a bottleneck, prefix and prompt that fit the tiny model.
MEASURED = (1, 3, 5, 11, 16, 19, 21, 22, 23, 24, 26, 27, 28, 29, 30, 31, 32, 33)
TRAINED = {name: ROW_SETTINGS[name] for name in (f"row {row}" for row in MEASURED)}
TRAINED["prefixes from block 3"] = {"method": "prefix_tuning", "prefix_length": 4, "from_block": 3}
QUICK = ("row 3", "row 5", "row 21", "row 29", "prefixes from block 3")
CASES = [pytest.param(case, id=name, marks=[] if name in QUICK else pytest.mark.slow) for name, case in TRAINED.items()]


def losses_of(trunk: Trunk) -> Tensor:
    return torch.cat(token_losses(trunk, HEAD, SEQUENCES, CPU))


def written_out(model: Any) -> Tensor:
    """The same by the whole model, one text at a time."""
    losses = []
    with torch.no_grad():
        for ids in SEQUENCES:
            x = model.final_norm(model.trf_blocks(model.embed(torch.tensor([ids[:-1]]))))[0, model.n_extra :]
            losses.append(F.cross_entropy(x @ HEAD.T, torch.tensor(ids[1:]), reduction="none"))
    return torch.cat(losses)


def steps_of(config: ExperimentConfig, kind: str) -> Any:
    """An execution after three large steps."""
    execution = make_execution(config, make_messages(config), kind)
    optimizer = torch.optim.AdamW(execution.parameter_groups(), lr=config.learning_rate)
    for step in range(3):
        batch = torch.arange(4 * step, 4 * step + 4)
        with execution.updating(step):
            loss = F.cross_entropy(execution.logits("train", [batch])[0], execution.labels("train", batch))
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
    return execution


@pytest.mark.parametrize("settings", CASES)
def test_what_is_measured_is_the_whole_model_as_trained(settings: dict[str, Any]) -> None:
    """The plan holds the trained suffix alone, and the rows of the embeddings that occur."""
    config = config_of({**settings, "learning_rate": 0.02, "save_model": True})
    weights = DoubleWeights(RandomWeights(SHAPE, config.seed))
    naive, planned = (steps_of(config, kind) for kind in ("naive", "planned"))
    assert planned.plan.first_block == make_plan(config, SHAPE.n_layers).first_block
    expected = written_out(naive.model)
    for execution in (naive, planned):
        trained = execution.trained_parameters(3)
        found = losses_of(trained_trunk(config, weights, trained, torch.float64))
        assert (found - expected).abs().max() < 1e-8 * expected.abs().max()
    before = losses_of(base_trunk(weights, torch.float64))
    if settings == ROW_SETTINGS["row 3"]:  # the classifier alone
        assert torch.equal(before, found)
    else:
        assert (before - found).abs().max() > 1e-3


@pytest.mark.parametrize("row", [3, 11, 21, 22, 23, 24, 26, 30, 31])
def test_what_changes_nothing_forgets_nothing(row: int) -> None:
    config = config_of(ROW_SETTINGS[f"row {row}"])
    weights = RandomWeights(SHAPE, config.seed)
    execution = make_execution(config, make_messages(config), "naive", torch.float32)
    before = losses_of(base_trunk(weights))
    after = losses_of(trained_trunk(config, weights, execution.trained_parameters(0)))
    assert torch.allclose(before, after, rtol=0, atol=1e-5) if row == 22 else torch.equal(before, after)


def test_a_prompt_leaves_the_same_text_for_before_and_after() -> None:
    config = row_config(29, demo=True)  # of its positions the prompt takes 20
    weights = open_weights(demo.WEIGHTS, config.shape)
    trained = {"extra.embeddings": torch.zeros(20, config.shape.emb_dim)}
    probe = Probe(config, weights, HeldOutText("long", ("",)), [list(range(300))])
    found = probe.measure(trained, CPU, Listener())
    assert found.tokens == config.shape.context_length - 20
    assert found.before is not None and found.after is not None and found.before != found.after


# ---- a run -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def few_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    few = few_demo_messages()
    for module in ("ablation.data.spam", "ablation.data.held_out"):
        monkeypatch.setattr(f"{module}.read_demo_messages", lambda: few)


def run(folder: Path, row: int, **settings: Any) -> tuple[dict[str, Any], Path, Summary]:
    short = {"max_steps": 4, "eval_freq": 2, "eval_iter": 1, "checkpoint_every": 0, "learning_rate": 1e-3}
    config = row_config(row, demo=True, results_dir=str(folder), **{**short, **settings})
    result = run_experiment(SPAM, config)
    rows = save_result(SPAM, result)
    (kept,) = rows
    return kept, folder / "runs" / kept["run_id"], Summary.of(SPAM, config, rows, result.answers.majority)


def test_a_run_is_the_same_with_and_without(few_messages: None, tmp_path: Path) -> None:
    """Row 5 trains the embeddings, which the head is tied to: it stays the base's."""
    plain, plain_folder, summary = run(tmp_path / "plain", 5, save_model=True)
    assert plain["perplexity_before"] is None and "forgetting" not in summary.describe()
    assert "forgetting" not in json.loads((plain_folder / "run.json").read_text())
    measured, folder, summary = run(tmp_path / "measured", 5, measure_forgetting=True)
    assert not (folder / "trained.safetensors").exists()
    for name in ("losses.csv", "predictions.csv"):
        assert (folder / name).read_bytes() == (plain_folder / name).read_bytes()
    different = {name for name in plain if plain[name] != measured[name]}
    assert different <= {
        "run_id", "timestamp_utc", "results_dir", "save_model", "measure_forgetting", "perplexity_before",
        "perplexity_after", "training_minutes", "total_minutes", "load_seconds", "peak_memory_mb",
    }  # fmt: skip

    record = json.loads((folder / "run.json").read_text())
    details = record["forgetting"]
    before, after = record["perplexity_before"], record["perplexity_after"]
    assert (details["before"], details["after"]) == (before, after)
    assert (details["texts"], details["source"]) == (24, "messages.csv, the test split")
    assert f"forgetting: perplexity of held-out text {before:.2f} before, {after:.2f} after" in summary.describe()
    with (tmp_path / "measured" / "results.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert (float(line["perplexity_before"]), float(line["perplexity_after"])) == (before, after)
    (read,), problems = read_results(tmp_path / "measured", SPAM)
    assert problems == [] and read["perplexity_after"] == line["perplexity_after"]
    assert after == pytest.approx(_of_kept_model(plain_folder, details["tokens"]), rel=1e-4) and after > before


def _of_kept_model(folder: Path, tokens: int) -> float:
    """Perplexity by what a run kept, one message at a time."""
    saved, tokenizer = read_saved_run(folder), demo.load_demo_tokenizer()
    base = open_weights(demo.WEIGHTS, saved.config.shape)
    model, head = join(saved, base), base.tensor("tok_emb.weight")
    from ablation.data.spam import load_splits

    total, count, end = 0.0, 0, tokenizer.eot_token
    with torch.no_grad():
        for text in load_splits(Path(), demo=True)["test"]["Text"]:
            ids = torch.tensor([end, *tokenizer.encode_ordinary(text), end])
            x = model.final_norm(model.trf_blocks(model.embed(ids[None, :-1])))[0]
            total += float(F.cross_entropy(x @ head.T, ids[1:], reduction="sum"))
            count += len(ids) - 1
    assert count == tokens
    return float(torch.tensor(total / count).exp())


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"precision": "bf16"}, {"execution": "naive"}, {"row": 29, "learning_rate": 3e-2}, {"row": 1}],
    ids=["half precision", "naive", "soft prompt", "frozen blocks"],
)
def test_every_kind_of_run_is_measured(few_messages: None, tmp_path: Path, settings: dict[str, Any]) -> None:
    row, _, _ = run(tmp_path, **{"row": 16, "max_steps": 1, "measure_forgetting": True, **settings})
    assert row["perplexity_after"] > row["perplexity_before"] == pytest.approx(19.4, abs=3)


def test_it_is_no_part_of_what_an_experiment_is() -> None:
    assert config_hash(row_config(1, measure_forgetting=True, held_out_text="own.txt")) == config_hash(row_config(1))


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ConfigError) as failure:
        row_config(10, measure_forgetting=True, disable_causal_mask=True)
    assert failure.value.problems == (
        "--measure_forgetting with --disable_causal_mask: without the mask a position sees the token that it should"
        " predict; leave one of the two out",
        "--measure_forgetting with --weights random: there is nothing to forget yet; leave one of the two out",
    )


def test_a_missing_text_is_refused_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--demo", "--results_dir", str(tmp_path), "--held_out_text", str(tmp_path / "none.txt")]
    assert EXPERIMENTS.read(flags)[1] == ["--held_out_text has no effect without --measure_forgetting"]
    commands = [[], ["--dry_run"], ["--rows", "1", "--seeds", "123"]]
    for command, more in zip((additional_experiments, additional_experiments, sweep), commands, strict=True):
        assert command.main([*flags, "--measure_forgetting", *more]) == 1
        error = capsys.readouterr().err
        assert f"{tmp_path}/none.txt: No such file or directory; give another file" in error
        assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_captions_counts_for_messages_of_ones_own() -> None:
    flags = ["--data_file", "mail.csv", "--data_dir", "there"]
    assert any("--data_dir has no effect" in remark for remark in EXPERIMENTS.read(flags)[1])
    assert EXPERIMENTS.read([*flags, "--measure_forgetting"])[1] == []


def test_derived_values_have_none_before_training() -> None:
    """So a trunk as trained needs every trained parameter; else it says which it lacks."""
    config = config_of(ROW_SETTINGS["row 22"])
    assembly = assemble(config, SHAPE)
    assert assembly.derived
    with pytest.raises(KeyError, match="magnitude"):
        losses_of(trained_trunk(config, RandomWeights(SHAPE, 1), {}))
