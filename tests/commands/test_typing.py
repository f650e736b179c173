"""What people type: the published lines as they stand, short names, flags of other programs."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch

import ablation
import additional_experiments
import baselines
import classify
import generation_experiments
import gpt_download
import report
import sweep
from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.flags import EXPERIMENTS
from ablation.config.hints import HABITS, MEANINGS
from ablation.config.rows import ROW_SETS, row_config
from ablation.environment import PROJECT, environment_stamp, git_commit
from ablation.listener import Listener
from ablation.results.published import published_table
from ablation.run.experiment import run_experiment
from ablation.run.inputs import RunError, resolve_device
from ablation.tasks.spam import SPAM

COMMANDS = (additional_experiments, generation_experiments, sweep, report, baselines, classify, gpt_download)
ROW_9_AS_PRINTED = 'python additional_experiments.py --model_size "gpt2-xl (1558M)"--trainable_layers all'


def as_a_shell_splits(lines: list[str]) -> list[list[str]]:
    """The arguments behind ``python SCRIPT`` of each line."""
    shell = shutil.which("sh") or pytest.skip("needs a POSIX shell")
    script = "\n".join(["python() { shift; printf '%s\\n' \"$@\" END; }", *lines])
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True)
    return [found.splitlines() for found in done.stdout.split("END\n")[:-1]]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], command: object = additional_experiments) -> str:
    """The one line with which a command ends."""
    try:
        status = command.main(arguments)  # type: ignore[attr-defined]
    except SystemExit as stopped:
        status = stopped.code
    (line,) = capsys.readouterr().err.splitlines()
    assert status == 2 and line.startswith("error: ")
    return line


# ---- the published lines ---------------------------------------------------------------------------------------------


def test_published_lines_are_their_rows_when_pasted() -> None:
    rows = published_table().values()
    lines = [f"python additional_experiments.py {row['flags']}" for row in rows]
    found = as_a_shell_splits(lines)
    assert len(found) == len(ROW_SETS["all"])
    for row, arguments in zip(rows, found, strict=True):
        config, warnings, _ = EXPERIMENTS.read([word for word in arguments if word])
        assert (config, warnings) == (row_config(int(row["row"])), []), row["flags"]


def test_row_9_as_it_is_printed_lacks_a_blank(capsys: pytest.CaptureFixture[str]) -> None:
    (arguments,) = as_a_shell_splits([ROW_9_AS_PRINTED])
    line = refused(arguments, capsys)
    assert "a blank is missing before --trainable_layers; type " in line
    (mended,) = as_a_shell_splits([f"python x {line.partition('; type ')[2]}"])
    assert EXPERIMENTS.read(mended)[0] == row_config(9)


@pytest.mark.parametrize(
    ("arguments", "mended"),
    [
        (["--model_size", "xl--no_padding", "--batch_size", "1"], "--model_size xl --no_padding"),
        (["--seed", "5--row", "9"], "--seed 5 --row 9"),
        (["--results_dir", "mine--row", "9"], "--results_dir mine --row 9"),
    ],
    ids=str,
)
def test_any_missing_blank_is_named(arguments: list[str], mended: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(arguments, capsys).endswith(f"; type {mended}")


def test_a_folder_may_be_called_like_a_flag() -> None:
    assert EXPERIMENTS.read(["--results_dir", "mine--demo"])[0].results_dir == "mine--demo"


# ---- --version, --list_rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_command_says_version_and_commit(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["--version"])  # type: ignore[attr-defined]
    said = capsys.readouterr()
    assert (stopped.value.code, said.err) == (0, "")
    assert f"{ablation.__version__}, commit {(git_commit() or 'unknown')[:12]}" in said.out
    assert said.out.count("\n") == 1 and len(said.out) <= 80


def test_the_version_has_one_home() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"] and "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "ablation.__version__"}


@pytest.mark.parametrize("width", [80, 120])
def test_rows_are_listed_no_wider_than_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert additional_experiments.main(["--list_rows", "--demo", "--results_dir", "results/my own"]) == 0
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= width
    found = re.findall(r"^ *(\d+) +([\d.]+) % +[\d.]+  (.*(?:\n {24}.*)*)", output, re.MULTILINE)
    assert [(int(row), figure) for row, figure, _ in found] == [
        (row, published_table()[str(row)]["test_acc"]) for row in ROW_SETS["all"]
    ]
    for row, _, flags in found[1:]:
        assert EXPERIMENTS.read(shlex.split(flags))[0] == row_config(int(row))
    suggested = " ".join(output[output.index("one of them: ") :].split())
    assert suggested.endswith('additional_experiments.py --row 5 --demo --results_dir "results/my own"')


@pytest.mark.parametrize("width", [80, 120])
def test_help_is_no_wider_than_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit):
        additional_experiments.main(["--help"])
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= width
    assert "last_two_blocks" in output and "(default: 5e-05)" in output


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("program", "arguments", "says"),
    [
        (additional_experiments, ["--resume"], "sweep.py skips runs that the results hold"),
        (sweep, [], "--help lists all flags"),
        (additional_experiments, ["--nothing-that-is-known-here"] * 3, "additional_experiments.py --help"),
    ],
)
def test_a_refusal_breaks_its_lines_between_words(
    program: ModuleType, arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    assert ended.value.code == 2
    lines = screen.getvalue().splitlines()
    assert len(lines) > 1 and max(map(len, lines)) <= 80
    assert lines[0].startswith("error: ") and says in " ".join(line.strip() for line in lines)


def test_a_flag_typed_without_its_dashes_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        additional_experiments.main(["demo"])
    assert capsys.readouterr().err.rstrip().endswith("did you mean --demo?")


def test_a_dry_run_fits_the_terminal_and_says_what_is_fetched_from_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert additional_experiments.main(["--row", "4", "--dry_run"]) == 0
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "differs from row 1    --trainable_layers last_two_blocks" in lines
    assert "to download           550 MB in all" in lines
    text = " ".join(line.strip() for line in lines)
    assert "weights: models/gpt2/model.safetensors, 548.1 MB from huggingface.co" in text


# ---- names of models and devices -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "size"),
    [
        *((typed, "gpt2-small (124M)") for typed in ("gpt2", "small", "gpt2-small", "124M", "GPT2-small (124m)")),
        ("medium", "gpt2-medium (355M)"),
        ("large", "gpt2-large (774M)"),
        *((typed, "gpt2-xl (1558M)") for typed in ("xl", "XL", "gpt2-xl(1558M)", "gpt2 xl")),
    ],
)
def test_model_sizes_as_typed(typed: str, size: str) -> None:
    assert EXPERIMENTS.read(["--model_size", typed])[0].model_size == size
    assert gpt_download.parse_arguments([typed]).size == size


def test_names_may_be_typed_as_the_table_has_them() -> None:
    config = EXPERIMENTS.read(["--trainable_layers", "LoRA", "--precision", "BF16"])[0]
    assert (config.trainable_layers, config.precision) == ("lora", "bf16")


def cuda_devices(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)


@pytest.mark.parametrize(
    ("typed", "count", "mps", "device"),
    [("gpu", 2, False, "cuda"), ("GPU", 0, True, "mps"), ("cuda:0", 1, False, "cuda:0"), ("cuda:1", 2, False, "cuda:1"),
     ("auto", 0, True, "cpu"), ("auto", 1, False, "cuda")],
)  # fmt: skip
def test_devices_as_typed(typed: str, count: int, mps: bool, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_devices(monkeypatch, count)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)
    assert resolve_device(EXPERIMENTS.read(["--device", typed])[0]) == torch.device(device)
    assert classify.make_parser().parse_args(["--model", "x", "--device", typed, "hello"]).device == typed.lower()


@pytest.mark.parametrize(
    ("typed", "count", "said"),
    [("gpu", 0, "--device gpu: .*give auto or cpu"), ("cuda:0", 0, "--device cuda:0: .*give auto or cpu"),
     ("cuda:2", 2, "--device cuda:2: this machine has cuda:0, cuda:1; give one of them")],
)  # fmt: skip
def test_devices_that_are_not_there(typed: str, count: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_devices(monkeypatch, count)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(ConfigError, match=said):
        resolve_device(ExperimentConfig(device=typed))


def test_a_wrong_device_is_refused_by_every_command_alike(capsys: pytest.CaptureFixture[str]) -> None:
    for command, others in ((additional_experiments, []), (classify, ["--model", "x", "hello"])):
        for typed, said in (("gpux", "did you mean gpu?"), ("gpu:1", "give cuda:0"), ("cuda:x", "give cuda:0")):
            line = refused(["--device", typed, *others], capsys, command)
            assert "--device" in line and typed in line and said in line


def test_a_run_on_one_of_several_devices_uses_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number is that of the current device throughout, where streams and recordings are made; without a device the
    run cannot go on from there."""
    current, asked = [0], []

    @contextmanager
    def made_current(device: torch.device) -> Iterator[None]:
        current.append(device.index)
        try:
            yield
        finally:
            current.pop()

    def load_inputs(task: object, config: object, device: torch.device, *others: object) -> None:
        asked.append((device, current[-1]))
        raise RunError("as far as it can be tried")

    def name(device: str) -> str:
        return f"the device {device}"

    cuda_devices(monkeypatch, 2)
    monkeypatch.setattr("torch.cuda.device", made_current)
    monkeypatch.setattr("torch.cuda.synchronize", lambda device: None)
    monkeypatch.setattr("torch.cuda.get_device_name", name)
    monkeypatch.setattr("ablation.run.experiment.load_inputs", load_inputs)
    with pytest.raises(RunError):
        run_experiment(SPAM, ExperimentConfig(device="cuda:1", demo=True), Listener())
    assert asked == [(torch.device("cuda:1"), 1)] and current == [0]
    assert environment_stamp("cuda:1")["device_name"] == "the device cuda:1"


# ---- what it is called here ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "typed", "said"),
    [
        (additional_experiments, "--lr 0.001", "did you mean --learning_rate?"),
        (additional_experiments, "--epochs=3 --bs 4", "did you mean --num_epochs and --batch_size?"),
        (additional_experiments, "--learning-rate 1", "did you mean --learning_rate?"),
        (additional_experiments, "--output_dir x", "did you mean --results_dir?"),
        (additional_experiments, "--gpu", "did you mean --device gpu?"),
        (additional_experiments, "--model gpt2", "did you mean --model_size?"),
        (additional_experiments, "--rows 1", "did you mean --row?"),
        (additional_experiments, "--average", "did you mean --average_embeddings?"),
        (additional_experiments, "-lr 1", "did you mean --learning_rate?"),
        (additional_experiments, "5", "did you mean --row 5?"),
        (additional_experiments, "--resume", "a run that was stopped starts anew; sweep.py skips runs"),
        (additional_experiments, "--row 1-3 --demo --results_dir x", "sweep.py --rows 1-3 --demo --results_dir x"),
        (report, "--output x", "did you mean --results_dir?"),
        (baselines, "--row B1", "did you mean --rows?"),
        (classify, "--model x --input inbox.txt", "did you mean --file?"),
        (gpt_download, "--model small", "the size stands alone: gpt_download.py small"),
        (gpt_download, "124M --resume", "the same command goes on from where it stopped"),
    ],
    ids=str,
)
def test_hints_name_the_nearest_meaning(
    command: object, typed: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(typed.split(), capsys, command)


def test_what_hints_name_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            command.main(["--help"])
    known = set(re.findall(r"--\w+", capsys.readouterr().out))
    assert {what.partition(" ")[0] for what in MEANINGS} <= known
    assert {flag for sayings in HABITS.values() for flag in sayings} <= known
    said = " ".join([*MEANINGS, *(saying for sayings in HABITS.values() for saying in sayings.values())])
    assert set(re.findall(r"--\w+", said)) <= known


# ---- a file for a folder ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_file_where_a_folder_is_meant(below: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.csv"
    file.write_text("text,label\n")
    for command, others in ((gpt_download, ["--dataset"]), (additional_experiments, [])):
        line = refused([*others, "--data_dir", f"{file}{below}"], capsys, command)
        assert line == f"error: --data_dir {file}{below}: {file} is a file; give a folder"
    assert EXPERIMENTS.read(["--demo", "--data_dir", str(file)])[0].demo, "the demo looks for nothing there"
    assert file.read_text() == "text,label\n"
