"""A classifier on a language model's run: it starts from those weights, and is known by them, wherever they lie."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import additional_experiments
import classify
import export
from ablation.config.base_run import RUN_JSON, TRAINED_PARAMETERS
from ablation.config.experiment import ExperimentConfig
from ablation.config.flags import EXPERIMENTS
from ablation.model.weights import WeightsError, open_weights
from ablation.report.groups import configuration_name
from ablation.results.read import read_results
from ablation.run import inputs
from ablation.run.dry_run import next_command
from ablation.run.inputs import foreign_digests
from ablation.run.open_classifier import config_here, joined_model
from ablation.run.trained_classifier import read_saved_run
from ablation.sweep.inputs import check_inputs
from ablation.sweep.plan import plan_runs
from ablation.sweep.state import Digests, finished_runs, foreign_of, result_of
from ablation.tasks.spam import SPAM
from tests.support.language_models import IN_DEMO, IN_FULL, language_model_run

pytestmark = pytest.mark.usefixtures("few_messages")
QUICK = ["--max_steps", "2", "--eval_iter", "1", "--context_length", "16", "--seed", "7"]


def read(*flags: str) -> ExperimentConfig:
    return EXPERIMENTS.read(["--demo", *QUICK, *flags])[0]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model's run, which no test changes."""
    return language_model_run(tmp_path_factory.mktemp("base") / "run")


@pytest.fixture(scope="module")
def results(base: Path, few_messages: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with one classifier on it."""
    folder = tmp_path_factory.mktemp("results")
    command = ["--demo", *QUICK, "--weights_path", str(base), "--results_dir", str(folder), "--save_model", "--quiet"]
    assert additional_experiments.main(command) == 0
    return folder


@pytest.fixture(scope="module")
def trained(results: Path) -> Path:
    """The classifier's folder."""
    (folder,) = (results / "runs").iterdir()
    return folder


def foreign(config: ExperimentConfig) -> dict[str, str]:
    return foreign_digests(SPAM, config)


def test_it_starts_from_the_language_model(base: Path, trained: Path) -> None:
    saved, kept = read_saved_run(trained), load_file(base / TRAINED_PARAMETERS)
    here = config_here(saved, device="cpu", models_dir="models", offline=True, weights_path=None)
    assert here.shape == IN_DEMO and here.weights_path == str(base)
    model = dict(joined_model(saved, here).named_parameters())
    frozen = kept.keys() - saved.parameters.keys() - {"out_head.weight"}
    assert "trf_blocks.0.ff.layers.0.weight" in frozen and "trf_blocks.1.norm1.scale" in saved.parameters
    assert all(torch.equal(model[name], kept[name]) for name in frozen)
    started = "trf_blocks.1.ff.layers.2.weight"  # two updates of 5e-5 away
    assert 0 < (model[started] - kept[started]).abs().max() < 2e-4


def test_a_run_is_a_variant_by_its_bases_digest(base: Path, results: Path, trained: Path, tmp_path: Path) -> None:
    digest = open_weights(base, IN_DEMO).digest()
    record = json.loads((trained / RUN_JSON).read_text())
    assert record["row"] is None and record["weights"] == "language_model" and record["weights_digest"] == digest
    assert (record["n_layers"], record["emb_dim"], record["n_heads"]) == (2, 16, 2)
    assert record["base"] == '{"seed": 0}'  # as the run was trained that the weights are from
    moved = shutil.copy(base / TRAINED_PARAMETERS, tmp_path / "elsewhere.safetensors")  # without its record
    for path in (base, base / TRAINED_PARAMETERS, moved):
        config = read("--weights_path", str(path))
        assert foreign(config) == {"weights_digest": digest} and inputs.settings_of_base(config) == record["base"]
    other = language_model_run(tmp_path / "other", seed=1)
    assert foreign(read("--weights_path", str(other)))["weights_digest"] != digest
    (run,), problems = read_results(results, SPAM)
    assert problems == [] and run.settings["weights_digest"] == digest
    name = configuration_name(run)
    assert "--weights language_model" in name and "--n_layers 2" in name
    assert name.endswith(f", trained on captions with --seed 0, weights {digest[:8]}")


def test_a_sweep_knows_what_is_done_on_which_base(base: Path, results: Path, tmp_path: Path) -> None:
    copy, other = (shutil.copytree(base, tmp_path / "copy"), language_model_run(tmp_path / "other", seed=1))

    def done(path: Path) -> bool:
        flags = ["--demo", *QUICK[:-2], "--weights_path", str(path), "--results_dir", str(results)]
        (planned,), _ = plan_runs(SPAM.command_line, [1], [7], flags, lambda config: foreign_of(SPAM, config))
        return result_of(planned, finished_runs(results, SPAM), Digests(lambda _: None)) is not None

    assert [done(path) for path in (base, copy, other)] == [True, True, False]


def test_a_base_that_was_altered_is_refused_once(base: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(base, tmp_path / "copy")
    path = copy / TRAINED_PARAMETERS
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    plan, _ = plan_runs(SPAM.command_line, [1, 5], [7, 8], ["--demo", "--weights_path", str(copy)])
    (line,) = check_inputs(SPAM, plan, forced=True)
    assert line == f"{path} is not what its run wrote (its SHA-256 differs); restore it"


def test_a_base_with_other_tokens_than_todays_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablation.results.language_model_files.vocabulary_digest", lambda: "another")
    with pytest.raises(WeightsError, match=r"another vocabulary\.tiktoken than today's; train it anew"):
        inputs.open_weights(read("--weights_path", str(base)), inputs.Listener())


def test_a_configuration_alone_does_not_say_where_its_base_is() -> None:
    config = ExperimentConfig(demo=True, weights="language_model", n_layers=2)
    with pytest.raises(WeightsError, match="give --weights_path RUN"):
        inputs.open_weights(config, inputs.Listener())
    assert foreign(config) == {}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_classifier_answers_on_its_base_alone(
    seed: int, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = language_model_run(tmp_path / "moved", seed=seed)
    status = classify.main(["--model", str(trained), "--weights_path", str(moved), "you won"])
    printed = capsys.readouterr()
    if seed == 0:
        assert status == 0 and "spam_probability" in printed.out
    else:
        assert status == 1 and "was trained on weights with digest" in printed.err


def test_a_language_model_is_no_classifier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = language_model_run(tmp_path / "spoken")
    assert classify.main(["--model", str(folder), "you won"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {folder} is a language model's run, no classifier's; ")
    assert line.endswith(f" generation_experiments.py --run {folder} --generate A lets it speak")


def test_a_base_that_is_gone_is_asked_for(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(trained, tmp_path / trained.name)
    record = json.loads((copy / RUN_JSON).read_text())
    (copy / RUN_JSON).write_text(json.dumps({**record, "weights_path": str(tmp_path / "gone")}))
    assert classify.main(["--model", str(copy), "you won"]) == 1
    assert f"no weights at {tmp_path}/gone: give --weights_path where they are" in capsys.readouterr().err


def test_it_is_exported_whole(base: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(trained), str(tmp_path / "book.safetensors"), "--to", "book"]) == 0
    tensors, kept = load_file(tmp_path / "book.safetensors"), load_file(base / TRAINED_PARAMETERS)
    assert torch.equal(tensors["tok_emb.weight"], kept["tok_emb.weight"])
    card = (tmp_path / "book.README.md").read_text(encoding="utf-8")
    assert "a language model that its author trained" in card
    (command,) = (line for line in card.splitlines() if " additional_experiments.py " in line)
    again = EXPERIMENTS.read(shlex.split(command.partition(" additional_experiments.py ")[2]))[0]
    assert (again.shape, again.weights_path, again.max_steps) == (IN_DEMO, str(base), 2)


def test_a_dry_run_shows_the_base(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    full = language_model_run(tmp_path / "full", IN_FULL)

    def shown(*flags: str) -> str:
        assert additional_experiments.main([*flags, "--dry_run", "--offline"]) == 0
        return capsys.readouterr().out

    told = shown("--demo", "--weights_path", str(base))
    assert f"language model in {base}: 2 blocks of width 16 with 2 heads, 256 positions, 2,000 tokens" in told
    assert "row                   none of the published ones" in told and ", weights_digest " in told
    models = ["--models_dir", str(tmp_path), "--data_dir", str(tmp_path)]
    told = shown("--weights_path", str(full), *models)
    assert "2 heads, 1024 positions, 50,257 tokens" in told
    assert "missing (offline)     vocabulary" in told and "missing (offline)     weights" not in told


def test_what_to_try_next_is_gpt_2(base: Path) -> None:
    command, _ = next_command(SPAM, read("--weights_path", str(base)))
    assert "weights" not in command and "n_layers" not in command


def test_forgetting_and_summary(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it forgets is measured with its own head; the line of the result says which base it was."""
    flags = ["--weights_path", str(base), "--measure_forgetting", "--results_dir", str(tmp_path), "--quiet"]
    assert additional_experiments.main(["--demo", *QUICK, *flags]) == 0
    told, digest = capsys.readouterr().out, open_weights(base, IN_DEMO).digest()
    assert f"--n_heads 2 (weights {digest[:8]}), seed 7" in told
    assert "perplexity of held-out text 2," in told  # knows nothing: about as many as there are tokens
