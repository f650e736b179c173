"""A language model's run as a base, as far as a command knows before anything is loaded."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ablation.config.base_run import (
    RUN_JSON,
    TRAINED_PARAMETERS,
    BaseRunError,
    base_settings,
    find_base_run,
    read_base_run,
)
from ablation.config.experiment import ConfigError, ExperimentConfig, config_hash, identity
from ablation.config.flags import EXPERIMENTS
from ablation.config.generation import LanguageModelConfig
from ablation.config.shapes import ALL_SHAPES, NANO
from ablation.data.demo import FOLDER, WEIGHTS
from tests.support.language_models import IN_DEMO, IN_FULL, SMALL, language_model_run


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Which no test changes."""
    folder = tmp_path_factory.mktemp("bases")
    return {
        "demo": language_model_run(folder / "demo"),
        "full": language_model_run(folder / "full", IN_FULL),
    }


@pytest.fixture
def copy(bases: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(bases["demo"], tmp_path / "run"))


def read(base: Path, **flags: str | bool) -> tuple[ExperimentConfig, list[str]]:
    return EXPERIMENTS.configure({"weights_path": str(base), **flags})


def refusal(base: Path, row: str | None = None, **flags: str | bool) -> str:
    with pytest.raises(ConfigError) as refused:
        EXPERIMENTS.configure({"weights_path": str(base), **flags}, row)
    return str(refused.value)


def test_a_folder_or_its_file_says_shape_and_vocabulary(bases: dict[str, Path]) -> None:
    for name, shape, vocabulary in (("demo", IN_DEMO, "demo"), ("full", IN_FULL, "gpt2")):
        base = read_base_run(bases[name])
        assert (base.shape, base.vocabulary, base.settings) == (shape, vocabulary, '{"seed": 0}')
        assert find_base_run(bases[name]) == find_base_run(bases[name] / TRAINED_PARAMETERS) == base


@pytest.mark.parametrize(
    ("config", "settings"), [(None, None), ("{", None), ("[]", None), ('{"b": 1, "a": 2}', '{"a": 2, "b": 1}')]
)
def test_how_it_was_trained_is_known_where_the_file_says_it(
    config: str | None, settings: str | None, copy: Path
) -> None:
    _save(shape=SHAPE, vocabulary="demo", **({} if config is None else {"config": config}))(copy)
    assert read_base_run(copy).settings == settings


@pytest.mark.parametrize("path", [WEIGHTS, FOLDER, Path("nowhere"), Path(__file__)], ids=lambda path: path.name)
def test_other_weights_are_no_run(path: Path) -> None:
    assert find_base_run(path) is None


def _rewrite(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda run: (run / name).write_bytes(change((run / name).read_bytes()))


def _save(**metadata: str) -> Callable[[Path], object]:
    return lambda run: save_file({"tok_emb.weight": torch.zeros(2, 2)}, run / TRAINED_PARAMETERS, metadata)


def _record(**record: Any) -> Callable[[Path], object]:
    return lambda run: (run / RUN_JSON).write_text(json.dumps(record))


SHAPE = json.dumps({**SMALL, "vocab_size": 2000, "context_length": 256})
SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "without --save_model": (lambda run: (run / TRAINED_PARAMETERS).unlink(), "kept no model; .*--save_model"),
    "a classifier's": (_record(task="spam"), "no run of a language model; .*generation_experiments.py"),
    "of old": (_record(run_id="1"), "no run of a language model"),
    "no record": (lambda run: (run / RUN_JSON).write_text("{"), "cannot be read as a run's; restore"),
    "a list": (lambda run: (run / RUN_JSON).write_text("[]"), "cannot be read as a run's; restore"),
    "cut": (_rewrite(TRAINED_PARAMETERS, lambda content: content[:-1]), "damaged, or not whole; restore it, or train"),
    "grown": (_rewrite(TRAINED_PARAMETERS, lambda content: content + b"0"), "damaged, or not whole"),
    "empty": (_rewrite(TRAINED_PARAMETERS, lambda content: b""), "damaged, or not whole"),
    "a long header": (_rewrite(TRAINED_PARAMETERS, lambda content: b"\xff" * 99), "damaged, or not whole"),
    "no tensors": (_rewrite(TRAINED_PARAMETERS, lambda content: b"\2\0\0\0\0\0\0\0[]"), "damaged, or not whole"),
    "no shape": (_save(vocabulary="demo"), "does not say what model it holds; train it anew"),
    "no vocabulary": (_save(shape=SHAPE), "does not say what model it holds"),
    "a shape of nothing": (_save(shape="{}", vocabulary="demo"), "does not say what model it holds"),
    "another vocabulary": (_save(shape=SHAPE, vocabulary="bert"), "'bert'.*which none has; train it anew"),
    "no width": (_save(shape=SHAPE.replace("16", "0"), vocabulary="demo"), "'emb_dim': 0.*which none has"),
    "other tokens": (_save(shape=SHAPE.replace("2000", "20"), vocabulary="demo"), "20 tokens and 256 positions, not"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "expected"), SPOILED.values(), ids=SPOILED)
def test_what_cannot_be_a_base_is_said_in_one_line(
    spoil: Callable[[Path], object], expected: str, copy: Path
) -> None:
    spoil(copy)
    with pytest.raises(ConfigError, match=f"{copy}.*{expected}") as refused:
        read(copy, demo=True)
    assert len(refused.value.problems) == 1


def test_what_a_classifier_kept_is_no_base(tmp_path: Path) -> None:
    path = tmp_path / TRAINED_PARAMETERS
    save_file({"out_head.bias": torch.zeros(2)}, path, {"config": "{}", "weights_digest": "0"})
    assert "is what a classifier trained, no whole model; give a language model's run" in refusal(path)


def test_shape_and_weights_are_the_bases(bases: dict[str, Path]) -> None:
    (demo, remarks), (full, _) = read(bases["demo"], demo=True), read(bases["full"])
    assert (demo.shape, full.shape) == (IN_DEMO, IN_FULL) and remarks == []
    assert demo.weights == full.weights == "language_model"
    assert ExperimentConfig(**identity(full)).shape == IN_FULL  # a row is read back where the base is not at hand
    for flags in ({"n_layers": "2"}, {"weights": "language_model"}, {"weights": "pretrained"}):
        assert config_hash(read(bases["full"], **flags)[0]) == config_hash(full)


def test_a_shape_is_set_only_where_it_differs(tmp_path: Path) -> None:
    """So that a model of as many blocks with random weights differs in its weights alone."""
    base = language_model_run(tmp_path / "run", dataclasses.replace(ALL_SHAPES[NANO], n_layers=1))
    config, _ = read(base, demo=True, n_heads="4")
    assert identity(config) == {"demo": True, "weights": "language_model", "n_layers": 1}


def test_contradictions_are_refused(bases: dict[str, Path]) -> None:
    demo, full = bases["demo"], bases["full"]
    assert refusal(demo) == f"--weights_path {demo}: knows the demo's vocabulary alone; add --demo"
    assert refusal(full, demo=True) == f"--weights_path {full}: knows GPT-2's vocabulary; leave --demo out"
    assert refusal(full, n_layers="3") == f"--n_layers 3: the model in {full} has 2; leave it out"
    own_shape = "--model_size gpt2-xl (1558M): a language model's run has a shape of its own; leave it out"
    assert refusal(full, model_size="xl") == refusal(full, row="12") == own_shape
    assert "contradicts --weights random" in refusal(demo, demo=True, weights="random")
    assert "is no language model's run; give one" in refusal(WEIGHTS, demo=True, weights="language_model")
    with pytest.raises(ConfigError, match=r"--weights language_model: give the folder .*--weights_path RUN"):
        EXPERIMENTS.configure({"weights": "language_model"})
    with pytest.raises(BaseRunError, match="is a base for classifiers; leave it out"):
        base_settings(LanguageModelConfig, {"weights_path": str(demo), "demo": True})


def test_a_size_beside_a_base_has_no_effect(bases: dict[str, Path]) -> None:
    _, remarks = read(bases["full"], model_size="small")
    assert remarks == ["--model_size has no effect with a language model's run, which has a shape of its own"]
    config, _ = read(bases["demo"], model_size="nano")  # the miniature's tokens, on the real messages
    assert config.shape == IN_DEMO and identity(config)["model_size"] == config.model_size
