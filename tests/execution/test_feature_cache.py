"""Features on disk: shared where they may be, never stale or damaged, one writer at a time, within a limit."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ablation.config.experiment import ConfigError, ExperimentConfig, config_hash
from ablation.config.flags import EXPERIMENTS
from ablation.config.rows import row_config
from ablation.data.encode import EncodedMessages
from ablation.execution import features as prefix_features
from ablation.execution.feature_cache import FeatureCache
from ablation.execution.feature_file import MARK, FeatureStorageError
from ablation.execution.features import FeatureOptions
from ablation.execution.planned import PlannedExecution
from ablation.execution.setup import make_setup
from ablation.files.sealed import encode_header, read_header
from ablation.listener import Listener
from ablation.model.classifier import RandomWeights
from ablation.results.task import Examples
from ablation.run import experiment
from ablation.run.inputs import RunError
from ablation.tasks.spam import SPAM
from tests.support.reference import RUNS, assert_losses_met, run_reference
from tests.support.tiny import CPU, SHAPE, make_messages, tiny_config

SPLITS = {"train": 40, "validation": 12, "test": 14}
LIMIT = 10**9


class Lines(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, line: str) -> None:
        self.lines.append(line)

    def __str__(self) -> str:
        return "\n".join(self.lines)


class ChangedWeights(RandomWeights):
    """Random weights of which one number differs."""

    def __init__(self) -> None:
        super().__init__(SHAPE, 123)
        self.tensor("trf_blocks.1.ff.layers.0.bias")[3] += 0.5


def make_planned(
    config: ExperimentConfig,
    cache: FeatureCache | None,
    *,
    messages: dict[str, EncodedMessages] | None = None,
    weights: RandomWeights | None = None,
    memory: int = 10**9,
) -> PlannedExecution:
    weights = weights or RandomWeights(SHAPE, 123)  # as pretrained weights: the same whatever the seed
    messages = messages or make_messages(config)
    run_key = {"weights": weights.digest(), "precision": config.precision}
    options = FeatureOptions(experiment.feature_stages(messages, config), memory, cache, run_key)
    return PlannedExecution(make_setup(config, weights, messages, CPU), options)


def run(config: ExperimentConfig, folder: Path, limit: int = LIMIT, **options: Any) -> tuple[str, str, Tensor]:
    """One run with a cache: ``computed`` or ``reused``, what it said, and all its logits."""
    said = Lines()
    with FeatureCache(folder, limit, said) as cache:
        features, logits = _run(config, cache, options)
    return features, str(said), logits


def _run(config: ExperimentConfig, cache: FeatureCache | None, options: dict[str, Any]) -> tuple[str, Tensor]:
    execution = make_planned(config, cache, **options)
    for stage in (0, 1):
        execution.prepare(stage, Listener())
    with torch.no_grad():
        logits = [torch.cat(execution.logits(split, [torch.arange(n)])) for split, n in SPLITS.items()]
    return execution.features, torch.cat(logits)


def fresh_logits(config: ExperimentConfig, **options: Any) -> Tensor:
    return _run(config, None, options)[1]


def only_entry(folder: Path) -> Path:
    (path,) = folder.glob("*.features")
    return path


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Path]:
    """A cache folder with the features of the tiny row 1."""
    features, said, _ = run(tiny_config(), tmp_path)
    assert features == "computed"
    assert "feature cache: miss (nothing kept in" in said and "feature cache: kept" in said
    yield tmp_path
    assert not list(tmp_path.glob("*.part"))


# ---- shared where they may be ----------------------------------------------------------------------------------------

SHARING: dict[str, dict[str, Any]] = {
    "row 1": {},
    "row 3": {"trainable_layers": "last_layer"},
    "row 18": {"ignore_index": 50256},
    "row 19": {"average_embeddings": True},
    "another seed": {"seed": 7},
    "other batches": {"batch_size": 3, "eval_iter": 1, "learning_rate": 0.1},
    "a prefix in the last block": {"method": "prefix_tuning", "from_block": 3},
    "hybrid in the last block": {"method": "hybrid", "bottleneck": 3, "from_block": 3, "train_final_norm": True},
}


@pytest.mark.parametrize("memory", [10**9, 2000], ids=["in memory", "in chunks"])
@pytest.mark.parametrize("case", SHARING.values(), ids=SHARING.keys())
def test_one_pass_for_all(
    case: dict[str, Any], memory: int, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(**case)
    expected = fresh_logits(config, memory=memory)

    def compute_anew(*args: object) -> NoReturn:
        raise AssertionError("the frozen blocks were run")

    monkeypatch.setattr(prefix_features, "run_frozen_blocks", compute_anew)
    features, said, logits = run(config, filled, memory=memory)
    assert features == "reused"
    assert said.startswith("feature cache: hit, ") and str(only_entry(filled)) in said
    assert (logits - expected).abs().max() < 1e-6


@pytest.mark.parametrize("case", SHARING.values(), ids=SHARING.keys())
def test_keeping_features_changes_nothing(case: dict[str, Any], tmp_path: Path) -> None:
    """The run that fills the cache, in chunks too, has the logits of one without a cache."""
    config = tiny_config(**case)
    for memory in (10**9, 2000):
        features, _, logits = run(config, tmp_path / str(memory), memory=memory)
        assert features == "computed"
        assert torch.equal(logits, fresh_logits(config, memory=memory))


@pytest.mark.parametrize(("block", "layers"), [(3, "last_block"), (2, "last_two_blocks")])
def test_methods_keep_them_for_all_that_train_from_the_same_block_on(block: int, layers: str, tmp_path: Path) -> None:
    methods = [{"method": name, "from_block": block} for name in ("prefix_tuning", "bitfit", "ia3")]
    for number, settings in enumerate([*methods, {"trainable_layers": layers}]):
        config = tiny_config(**settings)
        features, _, logits = run(config, tmp_path)
        assert features == ("reused" if number else "computed"), settings
        assert (logits - fresh_logits(config)).abs().max() < 1e-6
    only_entry(tmp_path)


def test_pads_that_nobody_sees_do_not_count(tmp_path: Path) -> None:
    config = tiny_config(trainable_token_pos="flexible", context_length=14)
    run(config, tmp_path)
    wider = dataclasses.replace(config, context_length=20)
    features, _, logits = run(wider, tmp_path)
    assert features == "reused"
    assert (logits - fresh_logits(wider)).abs().max() < 1e-6


def test_unpadded_is_as_flexible(tmp_path: Path) -> None:
    """Rows 14, 15 and 16: with the mask, the position read is behind the same tokens."""
    run(tiny_config(trainable_token_pos="flexible"), tmp_path)
    unpadded = tiny_config(no_padding=True, batch_size=1, accumulation_steps=8)
    features, _, logits = run(unpadded, tmp_path)
    assert features == "reused"
    assert (logits - fresh_logits(unpadded)).abs().max() < 1e-6


@pytest.mark.slow
def test_published_rows_from_one_pass(tmp_path: Path, real_data_dir: Path, real_vocabulary: Path) -> None:
    """The real messages at a small width: rows 1, 3, 18 and 19 meet the reference's losses from one pass."""
    features = []
    for name in ("row01", "row03", "row18", "row19"):
        result = run_reference(name, real_data_dir, real_vocabulary, num_epochs=1, feature_cache=str(tmp_path))
        assert_losses_met(result, RUNS[name])
        features.append(result.features)
    assert features == ["computed", "reused", "reused", "reused"]


def test_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole run says where its features come from, and counts loading them."""
    config = tiny_config(
        n_layers=2, emb_dim=16, n_heads=2, max_steps=2, device="cpu", feature_cache=str(tmp_path / "new" / "folder")
    )
    monkeypatch.setattr(SPAM, "load", lambda *args: Examples(make_messages(config), "digest", published=True))
    first = experiment.run_experiment(SPAM, config)
    again = experiment.run_experiment(SPAM, dataclasses.replace(config, learning_rate=1e-3))
    uncached = experiment.run_experiment(SPAM, dataclasses.replace(config, feature_cache=None))
    everything = experiment.run_experiment(SPAM, dataclasses.replace(config, trainable_layers="all"))
    assert [first.features, again.features, uncached.features] == ["computed", "reused", "computed"]
    assert everything.features == "none"
    assert 0 < again.timings.features < again.timings.training
    for split, logits in first.answers.logits.items():
        assert torch.equal(logits, uncached.answers.logits[split])


def test_settings_do_not_define_the_experiment() -> None:
    assert config_hash(row_config(1, feature_cache="x", feature_cache_limit=1.0)) == config_hash(row_config(1))
    with pytest.raises(ConfigError, match="--feature_cache_limit 0: give a positive number"):
        EXPERIMENTS.configure({"feature_cache_limit": "0"})


# ---- never stale -----------------------------------------------------------------------------------------------------


def another_token(config: ExperimentConfig) -> dict[str, EncodedMessages]:
    messages = make_messages(config)
    messages["test"].tokens[3, 0] = (messages["test"].tokens[3, 0] + 1) % SHAPE.vocab_size
    return messages


STALE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "one weight": ({}, {"weights": ChangedWeights()}, "another weights: "),
    "one token": ({}, {"messages": another_token(tiny_config())}, "another messages: "),
    "more pads": ({}, {"messages": make_messages(tiny_config(context_length=13))}, "another messages: "),
    "visible lengths": ({"trainable_token_pos": "flexible"}, {}, "another messages: "),
    "mask": ({"disable_causal_mask": True}, {}, "another causal mask: True instead of False"),
    "split block": ({"trainable_layers": "last_two_blocks"}, {}, "another blocks: 2 instead of 1"),
    "pooled behind the last": ({"trainable_layers": "last_layer", "average_embeddings": True}, {}, "another blocks: 2"),
    "precision": ({"precision": "bf16"}, {}, "another precision: fp32 instead of bf16"),
}


@pytest.mark.parametrize(("case", "options", "why"), STALE.values(), ids=STALE.keys())
def test_other_features_are_computed(case: dict[str, Any], options: dict[str, Any], why: str, filled: Path) -> None:
    config = tiny_config(**case)
    features, said, logits = run(config, filled, **options)
    assert features == "computed"
    assert f"feature cache: miss (the closest entry has {why}" in said
    assert torch.equal(logits, fresh_logits(config, **options))
    assert run(config, filled, **options)[0] == "reused"
    assert run(tiny_config(), filled)[0] == "reused"  # the first entry is still there


@pytest.mark.parametrize(
    ("target", "value", "why"),
    [
        (torch, "2.0.1", "another torch: .* instead of 2.0.1"),
        (prefix_features, 0, r"another algorithm: \d+ instead of 0"),
    ],
    ids=["PyTorch", "our own version"],
)
def test_other_versions(
    target: Any, value: Any, why: str, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "__version__" if target is torch else "ALGORITHM", value)
    features, said, _ = run(tiny_config(), filled)
    assert features == "computed"
    assert re.search(why, said)


# ---- never damaged ---------------------------------------------------------------------------------------------------


def assert_recomputed(folder: Path, why: str) -> None:
    features, said, logits = run(tiny_config(), folder)
    assert features == "computed"
    assert "feature cache: miss (" in said and why in said, said
    assert torch.equal(logits, fresh_logits(tiny_config()))
    assert run(tiny_config(), folder)[0] == "reused"  # what was refused has been replaced


def test_another_version_in_the_header(filled: Path) -> None:
    path = only_entry(filled)
    with path.open("r+b") as file:
        header, before = read_header(file, MARK)
        header["key"]["torch"] = "2.0.1"
        file.seek(before)
        file.write(encode_header(header, MARK))
        file.truncate()
    assert_recomputed(filled, f"{path.name} is not used: it has another torch: 2.0.1 instead of {torch.__version__}")


@pytest.mark.parametrize("keep", [0, 1, 20, 0.5, -1])
def test_truncated(keep: float, filled: Path) -> None:
    path = only_entry(filled)
    size = path.stat().st_size
    length = int(keep * size) if keep == 0.5 else int(keep) % size
    with path.open("r+b") as file:
        file.truncate(length)
    assert_recomputed(filled, f"it is cut off at {length} bytes")


@pytest.mark.parametrize(
    ("place", "why"),
    [(0, "its numbers are damaged"), (777, "its numbers are damaged"), (-40, "its header is damaged"),
     (-20, "its header is damaged"), (-10, "its header is damaged"), (-1, "cut off")],
)  # fmt: skip
def test_one_bit_flipped(place: int, why: str, filled: Path) -> None:
    flip(only_entry(filled), place, 4)
    assert_recomputed(filled, why)


def flip(path: Path, place: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


@pytest.fixture(scope="module")
def whole_entry(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("cache")
    run(tiny_config(), folder)
    return only_entry(folder), only_entry(folder).read_bytes()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_bit_is_noticed(share: float, bit: int, whole_entry: tuple[Path, bytes]) -> None:
    path, content = whole_entry
    path.write_bytes(content)
    flip(path, int(share * len(content)), bit)
    said = Lines()
    with FeatureCache(path.parent, LIMIT, said) as cache:
        make_planned(tiny_config(), cache).prepare(0, Listener())
    assert "miss" in str(said)


# ---- one writer at a time --------------------------------------------------------------------------------------------


def start_and_wait(folder: Path) -> None:
    """What the other process of the next tests does: compute half, wait for a line, compute the rest."""
    with FeatureCache(folder, LIMIT, Listener()) as cache:
        execution = make_planned(tiny_config(), cache)
        execution.prepare(0, Listener())
        print("half", flush=True)
        sys.stdin.readline()
        execution.prepare(1, Listener())


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has computed half of the features, and holds the lock."""
    program = (
        "import sys, pathlib; from tests.execution.test_feature_cache import start_and_wait;"
        "start_and_wait(pathlib.Path(sys.argv[1]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "half\n"
        yield process
        process.kill()


class Waiting(Lines):
    """Says when it is told that this run waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()

    def message(self, line: str) -> None:
        super().message(line)
        if "waiting" in line:
            self.waits.set()


def test_one_computes_and_one_waits(tmp_path: Path, other_process: subprocess.Popen[str]) -> None:
    said, features = Waiting(), []

    def second_run() -> None:
        with FeatureCache(tmp_path, LIMIT, said) as cache:
            features.append(_run(tiny_config(), cache, {})[0])

    thread = threading.Thread(target=second_run)
    thread.start()
    assert said.waits.wait(20)
    assert not list(tmp_path.glob("*.features"))
    assert other_process.stdin is not None
    other_process.stdin.write("go on\n")
    other_process.stdin.close()
    thread.join(20)
    assert features == ["reused"]
    assert said.lines[0] == "feature cache: another run is computing these features; waiting for it"
    assert said.lines[1].startswith("feature cache: hit, ")


def test_writer_killed_half_way(tmp_path: Path, other_process: subprocess.Popen[str]) -> None:
    other_process.kill()
    other_process.wait()
    assert list(tmp_path.glob("*.part"))
    assert_recomputed(tmp_path, "the run that was computing them was cut off")
    assert not list(tmp_path.glob("*.part"))


def test_failing_run_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), FeatureCache(tmp_path, LIMIT, Listener()) as cache:
        make_planned(tiny_config(), cache).prepare(0, Listener())
        assert list(tmp_path.glob("*.part"))
        raise ZeroDivisionError
    assert not list(tmp_path.glob("*.part"))
    assert run(tiny_config(), tmp_path)[0] == "computed"  # and does not wait


# ---- within a limit --------------------------------------------------------------------------------------------------


def variant(number: int) -> dict[str, Any]:
    return {"messages": make_messages(tiny_config(), seed=number)}


def test_least_recently_used_goes(tmp_path: Path) -> None:
    paths: list[Path] = []
    for number in range(3):
        run(tiny_config(), tmp_path, **variant(number))
        (new,) = set(tmp_path.glob("*.features")) - set(paths)
        paths.append(new)
        os.utime(new, (number, number))  # used long ago, one after the other
    assert run(tiny_config(), tmp_path, **variant(0))[0] == "reused"  # the first is now the last used
    size = paths[0].stat().st_size
    _, said, _ = run(tiny_config(), tmp_path, limit=int(3.5 * size), **variant(3))
    assert [path.exists() for path in paths] == [True, False, True]
    assert f"feature cache: deleted {paths[1].name} (0.00 GB), the longest unused" in said
    assert len(list(tmp_path.glob("*.features"))) == 3
    run(tiny_config(), tmp_path, limit=int(1.1 * size), **variant(4))
    assert len(list(tmp_path.glob("*.features"))) == 1
    assert run(tiny_config(), tmp_path, **variant(4))[0] == "reused"


def test_entry_in_use_stays(filled: Path) -> None:
    path = only_entry(filled)
    limit = int(1.5 * path.stat().st_size)
    with FeatureCache(filled, LIMIT, Listener()) as reader:
        make_planned(tiny_config(), reader)  # locked from here on, loaded later
        run(tiny_config(), filled, limit=limit, **variant(1))
        assert path.exists()
    run(tiny_config(), filled, limit=limit, **variant(2))
    assert not path.exists()


def test_mapped_features_outlive_their_entry(filled: Path) -> None:
    config = tiny_config(average_embeddings=True)  # trains from the mapped file itself
    with FeatureCache(filled, LIMIT, Listener()) as cache:
        execution = make_planned(config, cache)
        execution.prepare(0, Listener())
    only_entry(filled).unlink()
    with torch.no_grad():
        logits = torch.cat(execution.logits("train", [torch.arange(40)]))
    assert (logits - fresh_logits(config)[:40]).abs().max() < 1e-6


def test_leftovers_go(filled: Path) -> None:
    (filled / "0123.part").write_bytes(b"of a run that was killed")
    run(tiny_config(), filled, **variant(1))
    assert not list(filled.glob("*.part"))


# ---- no room, no rights ----------------------------------------------------------------------------------------------


def assert_computed_but_not_kept(folder: Path, why: str, **options: Any) -> None:
    features, said, logits = run(tiny_config(), folder, **options)
    assert features == "computed"
    assert f"feature cache: not kept: {why}" in said
    assert torch.equal(logits, fresh_logits(tiny_config()))
    assert not list(folder.glob("*.features")) and not list(folder.glob("*.part"))


def test_larger_than_the_limit(tmp_path: Path) -> None:
    assert_computed_but_not_kept(tmp_path, "0.00 GB is more than --feature_cache_limit, 0.00 GB", limit=100)


def test_too_little_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    assert_computed_but_not_kept(tmp_path, "0.00 GB needed in ")


def test_disk_full_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = Path.open

    def full(path: Path, mode: str = "r", **options: Any) -> Any:
        # /dev/full takes nothing; unbuffered, so that it says so at once.
        is_entry = path.suffix == ".part"
        return real_open(Path("/dev/full"), mode, buffering=0) if is_entry else real_open(path, mode, **options)

    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr(Path, "open", full)
    assert_computed_but_not_kept(tmp_path, "[Errno 28] No space left on device")


def test_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    """Refused before anything is loaded."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "folder"
    with pytest.raises(FeatureStorageError, match=r"--feature_cache .*file.folder: cannot be written .*leave the flag"):
        FeatureCache(folder, LIMIT, Listener())
    config = row_config(1, device="cpu", feature_cache=str(folder), data_dir=str(tmp_path / "none"))
    with pytest.raises(RunError, match=r"--feature_cache .*cannot be written to \(Not a directory\)"):
        experiment.run_experiment(SPAM, config)
