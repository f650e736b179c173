"""The configuration: rows, flags, checks, hash."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

import lora
from ablation.config import methods as declared
from ablation.config.effects import REASONS
from ablation.config.experiment import FIELDS, TOKEN_POSITIONS, ConfigError, ExperimentConfig, config_hash
from ablation.config.flags import EXPERIMENTS
from ablation.config.hints import METHOD_WORDS, hint
from ablation.config.method_settings import LORA_INITS, LORA_SCALINGS
from ablation.config.rows import ROW_SETS, ROWS, find_row, row_config
from ablation.config.settings import METHODS, TRAINABLE_LAYERS, CommonSettings, fields_of, option
from ablation.config.shapes import canonical_model_size
from ablation.config.values import number
from ablation.methods import low_rank, registry
from ablation.model.readout import READOUTS
from ablation.results.published import published_table
from additional_experiments import main


def test_every_published_command_line_is_its_row() -> None:
    rows = published_table().values()
    assert tuple(int(row["row"]) for row in rows) == ROW_SETS["all"]
    for row in rows:
        number = int(row["row"])
        config, warnings, _ = EXPERIMENTS.read(shlex.split(row["flags"]))
        assert config == row_config(number), number
        assert warnings == []
        assert find_row(ROWS, config) == number
        assert EXPERIMENTS.read(["--row", row["row"]])[0] == config


def test_rows_agree_with_the_other_columns_of_the_published_table() -> None:
    for row in published_table().values():
        config = row_config(int(row["row"]))
        assert config.model_size == row["model_size"]
        assert config.weights == row["weights"]
        assert (
            row["trainable_token_pos"].startswith(("flexible", config.trainable_token_pos))
            or "flexible" in row["context_length"]
        )
        assert config.trainable_layers == row["trainable_layers"].lower()


def test_given_flags_override_the_row() -> None:
    config, _, _ = EXPERIMENTS.read(["--row", "8", "--seed", "124", "--model_size", "124M"])
    assert (config.model_size, config.seed) == ("gpt2-small (124M)", 124)
    assert find_row(ROWS, config) == 1


def test_names_offered_are_the_registries_keys() -> None:
    assert list(declared.DECLARATIONS) == list(registry.METHODS)
    assert {*TRAINABLE_LAYERS, *METHODS} == set(registry.METHODS)
    assert {words.partition(" ")[0] for words in METHOD_WORDS} <= set(METHODS)
    assert set(LORA_SCALINGS) == set(low_rank.SCALINGS)
    assert set(LORA_INITS) == set(lora.INITS)
    assert tuple(low_rank.PLACES) == declared.LINEAR_MAPS
    assert set(TOKEN_POSITIONS) == set(READOUTS)


@pytest.mark.parametrize("name", ["gpt2-xl (1558M)", "gpt2-xl", "1558M", "GPT2-XL", "1558m"])
def test_short_model_names(name: str) -> None:
    assert canonical_model_size(name) == "gpt2-xl (1558M)"


REFUSED: list[tuple[dict[str, str | bool], str]] = [
    ({"model_size": "gpt2-huge"}, "--model_size gpt2-huge: .*gpt2-small"),
    ({"model_size": "gpt2 huge"}, "--model_size 'gpt2 huge': "),
    ({"trainable_layers": "lastblock"}, "--trainable_layers lastblock: did you mean last_block"),
    ({"trainable_token_pos": "middle"}, "--trainable_token_pos middle: choose one of first, last, flexible"),
    ({"no_padding": True}, "--no_padding with --batch_size 8: .*--batch_size 1"),
    ({"context_length": "0"}, "--context_length 0: "),
    ({"context_length": "-5"}, "--context_length -5: "),
    ({"context_length": "1025"}, "--context_length 1025: the model has 1024 positions"),
    ({"context_length": "long"}, "--context_length long: .*longest_training_example"),
    ({"lora_rank": "0"}, "--lora_rank 0: .*at least 1"),
    ({"lora_alpha": "0"}, "--lora_alpha 0: "),
    ({"num_epochs": "0"}, "--num_epochs 0: "),
    ({"batch_size": "0"}, "--batch_size 0: "),
    ({"accumulation_steps": "0"}, "--accumulation_steps 0: "),
    ({"max_steps": "0"}, "--max_steps 0: "),
    ({"eval_freq": "0"}, "--eval_freq 0: "),
    ({"seed": "-1"}, "--seed -1: "),
    ({"seed": "1.5"}, "--seed 1.5: give a whole number"),
    ({"seed": str(2**64)}, f"--seed {2**64}: "),
    ({"learning_rate": "0"}, "--learning_rate 0: give a positive number"),
    ({"learning_rate": "nan"}, "--learning_rate nan: "),
    ({"learning_rate": "fast"}, "--learning_rate fast: "),
    ({"weight_decay": "-0.1"}, "--weight_decay -0.1: "),
    ({"ignore_index": "0"}, "--ignore_index 0: .*labels"),
    ({"ignore_index": "1"}, "--ignore_index 1: .*labels"),
    ({"n_layers": "3"}, "--n_layers 3: .*--weights random"),
    ({"emb_dim": "96"}, "--emb_dim 96: .*--weights random"),
    ({"weights": "random", "emb_dim": "64", "n_heads": "5"}, "--n_heads 5: does not divide the width 64"),
    ({"average_embeddings": True, "trainable_token_pos": "first"}, "--average_embeddings with .* first"),
    ({"weights": "random", "weights_path": __file__}, "--weights_path .*: contradicts --weights random"),
    ({"weights_path": "/nowhere/at/all"}, "--weights_path /nowhere/at/all: no such file"),
    ({"results_dir": f"{__file__}/below"}, "--results_dir .*: .* is a file"),
    ({"precision": "fp8"}, "--precision fp8: choose one of"),
    ({"method": "houlsby"}, "--method houlsby: did you mean serial_adapter. choose one of lora, "),
    ({"method": "(IA)^3"}, r"--method '\(IA\)\^3': did you mean ia3. "),
    ({"method": "prompt_tuning"}, "--method prompt_tuning: did you mean soft_prompt. "),
    ({"method": "rsLoRA"}, "--method rsLoRA: did you mean lora with --lora_scaling alpha_over_sqrt_rank. "),
    ({"method": "prefix", "prefix_length": "5"}, "--method prefix: did you mean prefix_tuning. "),
    ({"method": "lora", "lora_targets": "query+vlaue"}, "--lora_targets query.vlaue: did you mean value. .* ff_out"),
    ({"method": "lora", "lora_rank": "0"}, "--lora_rank 0: .*at least 1"),
    ({"method": "serial_adapter", "bottleneck": "0"}, "--bottleneck 0: .*at least 1"),
    ({"method": "prefix_tuning", "prefix_length": "0"}, "--prefix_length 0: .*at least 1"),
    ({"method": "ia3", "from_block": "13"}, "--from_block 13: the model has blocks 1 to 12; give one of them"),
    ({"method": "ia3", "from_block": "0"}, "--from_block 0: .*at least 1"),
    (
        {"method": "soft_prompt", "prompt_length": "1000", "context_length": "25"},
        "--prompt_length 1000: with --context_length 25 that makes 1025 positions, the model has 1024; give fewer,"
        " or --context_length 24",
    ),
    ({"method": "soft_prompt", "prompt_length": "1024"}, "--prompt_length 1024: leaves no room .* 1024 .*; give fewer"),
    (
        {"method": "soft_prompt", "prompt_length": "1024", "no_padding": True, "batch_size": "1"},
        "--prompt_length 1024: leaves no room for a message",
    ),
    (
        {"method": "soft_prompt", "context_length": "model_context_length"},
        "--prompt_length 20: with --context_length model_context_length .* or --context_length 1004",
    ),
    ({"method": "soft_prompt", "from_block": "3"}, "--from_block 3: --method soft_prompt does not .* but soft_prompt,"),
    (
        {"method": "bitfit", "bottleneck": "64"},
        "--bottleneck 64: --method bitfit does not take it; give --method serial_adapter, parallel_adapter or hybrid,"
        " or leave --bottleneck out",
    ),
    ({"method": "bitfit", "lora_rank": "4"}, "--lora_rank 4: --method bitfit does not take it; give --method lora, "),
    ({"bottleneck": "64"}, "--bottleneck 64: belongs to a --method, and this is --trainable_layers last_block; give "),
    ({"trainable_layers": "lora", "lora_targets": "query"}, "--lora_targets query: .* --trainable_layers lora; give "),
    ({"train_final_norm": True}, "--train_final_norm: belongs to a --method, .* add one .*lora, .*, or leave it out"),
    ({"method": "lora", "trainable_layers": "all"}, "--method lora with --trainable_layers all: both say what trains"),
    ({"method": "lora", "lora_head": "frozen"}, "--lora_head frozen: nothing of the new classifier .* --lora_targets"),
]


@pytest.mark.parametrize(("flags", "message"), REFUSED, ids=[" ".join(flags) for flags, _ in REFUSED])
def test_bad_values_are_refused(flags: dict[str, str | bool], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        EXPERIMENTS.configure(flags)
    assert len(caught.value.problems) == 1


def test_a_checkpoint_is_found_by_its_prefix(tmp_path: Path) -> None:
    prefix = tmp_path / "model.ckpt"
    with pytest.raises(ConfigError, match="no such file"):
        EXPERIMENTS.configure({"weights_path": str(prefix)})
    (tmp_path / "model.ckpt.index").touch()
    config, _ = EXPERIMENTS.configure({"weights_path": str(prefix)})
    assert config.weights_path == str(prefix)


@pytest.mark.parametrize("row", ["0", "40", "-1", "one"])
def test_rows_outside_the_table_are_refused(row: str) -> None:
    with pytest.raises(ConfigError, match=f"--row {row}: .*1 to 39"):
        EXPERIMENTS.configure({}, row)


def test_all_problems_of_one_command_together() -> None:
    flags: dict[str, str | bool] = {"lora_rank": "0", "no_padding": True, "seed": "-1", "n_layers": "3"}
    with pytest.raises(ConfigError) as caught:
        EXPERIMENTS.configure(flags, "40")
    assert len(caught.value.problems) == 5


def test_all_problems_of_a_method_typed_together(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Before anything is loaded, and nothing is written."""
    typed = "--method bitfit --from_block 14 --bottleneck 8 --lora_targets head,querry --prompt_length 0 --seed x"
    assert main([*typed.split(), "--results_dir", str(tmp_path)]) == 2
    said = capsys.readouterr().err.splitlines()
    named = sorted(line.split()[1] for line in said)
    assert named == ["--bottleneck", "--from_block", "--lora_targets", "--prompt_length", "--seed"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("typed", "row"),
    [("--row 20 --trainable_layers all", 5), ("--row 24 --method ia3", 30), ("--row 23 --method bitfit", 31)],
)
def test_another_method_than_the_rows_leaves_the_rows_settings_of_its_own(typed: str, row: int) -> None:
    config, warnings, _ = EXPERIMENTS.read(typed.split())
    assert config == row_config(row) and warnings == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("--row 11 --method IA3", {"method": "ia3"}),
        ("--row 11 --method dora", {"method": "dora", "lora_rank": 16, "lora_alpha": 16}),
        ("--row 5 --method bitfit", {"method": "bitfit"}),
    ],
)
def test_a_method_takes_over_of_a_published_row_what_it_has_itself(typed: str, expected: dict[str, Any]) -> None:
    config, warnings, _ = EXPERIMENTS.read(typed.split())
    assert config == ExperimentConfig(**expected) and warnings == []


def test_a_row_keeps_its_own_method_where_it_is_named_again() -> None:
    for name in ("lora", "LoRA"):
        config, _, _ = EXPERIMENTS.read(["--row", "20", "--method", name, "--lora_rank", "4"])
        assert config == row_config(20, lora_rank=4)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--adapter", "--method serial_adapter"), ("--prefix_tuning", "--method prefix_tuning"),
        ("--use_dora", "--method dora"), ("--peft_method", "--method"), ("--target_modules", "--lora_targets"),
        ("--use_rslora", "--method lora with --lora_scaling alpha_over_sqrt_rank"), ("--ia3", "--method ia3"),
        ("--num_virtual_tokens", "--prefix_length"), ("--adapter_size", "--bottleneck"),
    ],
)  # fmt: skip
def test_flags_of_other_programs_are_told_the_one_that_means_it(typed: str, meant: str) -> None:
    known = [f"--{name}" for name in FIELDS]
    assert hint([typed], known) == f"did you mean {meant}?"


def test_a_configuration_made_in_code_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="--no_padding"):
        ExperimentConfig(no_padding=True)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"lora_rank": "16"}, "--lora_rank has no effect"),
        ({"lora_alpha": "16"}, "--lora_alpha has no effect"),
        (
            {"method": "lora", "lora_targets": "head", "lora_head": "frozen", "weight_decay": "0.3"},
            "--weight_decay has no effect where it acts on the classifier alone",
        ),
        ({"no_padding": True, "batch_size": "1", "context_length": "7"}, "--context_length has no effect"),
        ({"feature_cache": "somewhere", "execution": "naive"}, "--feature_cache has no effect with --execution naive"),
        ({"feature_cache_limit": "3"}, "--feature_cache_limit has no effect without --feature_cache"),
        ({"order_seed": "5", "seed": "5"}, "--order_seed has no effect where it is that of --seed"),
        ({"demo": True, "model_size": "355M"}, "--model_size has no effect with --demo"),
        ({"demo": True, "data_dir": "elsewhere"}, "--data_dir has no effect with --demo"),
    ],
)
def test_settings_without_effect_are_warned_of(flags: dict[str, str | bool], expected: str) -> None:
    _, warnings = EXPERIMENTS.configure(flags)
    assert len(warnings) == 1
    assert warnings[0].startswith(expected)


def test_settings_without_effect_are_settings() -> None:
    assert set(REASONS) <= set(FIELDS)


@dataclass(frozen=True, kw_only=True)
class OtherTask(CommonSettings):
    """What a second task would declare."""

    TASK: ClassVar = "other"
    LEADING_FIELDS: ClassVar = ("temperature",)

    temperature: float = option(1.0, "of the softmax", number(positive=True))

    def problems(self) -> list[str]:
        return [*(["--temperature 9: too hot"] if self.temperature == 9 else []), *super().problems()]


def test_another_task_has_the_settings_of_model_method_training_and_run() -> None:
    names = list(fields_of(OtherTask))
    assert names[0] == "temperature" and len(names) == len(set(names))
    assert {"model_size", "lora_rank", "seed", "device"} < set(names)
    assert not {"trainable_token_pos", "context_length", "no_padding", "feature_cache", "eval_iter"} & set(names)
    assert config_hash(OtherTask(temperature=2.0)) != config_hash(OtherTask(lora_rank=4)) == config_hash(OtherTask())
    with pytest.raises(ConfigError) as caught:
        OtherTask(temperature=9.0, n_layers=3)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["--temperature 9", "--n_layers 3"]
