"""The command of one run from end to end, on the embedded miniature: no network, no real data."""

from __future__ import annotations

import csv
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import additional_experiments
import baselines
import classify
import gpt_download
import report
import sweep
from ablation.commands import interrupt_on_signals, interrupts_held
from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.flags import EXPERIMENTS
from ablation.data.demo import DISCLAIMER, SHORT_DISCLAIMER, WEIGHTS
from ablation.environment import PACKAGES, python_command
from ablation.files.needed import check_files
from ablation.files.published import vocabulary_files
from ablation.results import log
from ablation.results.runs import check_writable
from ablation.run.dry_run import next_command
from ablation.tasks import __main__ as tasks_command
from ablation.tasks.spam import SPAM
from tests.support.terminal import a_terminal
from tests.support.tiny import few_demo_messages

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = str(PROJECT / "additional_experiments.py")
QUICK = ["--demo", "--max_steps", "2", "--eval_iter", "1", "--context_length", "16"]
TINY = ["--weights", "random", "--n_layers", "1", "--emb_dim", "16", "--n_heads", "2", "--offline", "--trust_new_hash"]

# Run by Python before anything else: a command that opens a connection fails.
NO_CONNECTIONS = """
import socket
def refuse(*arguments, **options):
    raise AssertionError("a connection was opened")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One thread, an empty home, no connections."""
    before = tmp_path / "before"
    before.mkdir()
    (before / "sitecustomize.py").write_text(NO_CONNECTIONS)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    return {**kept, "PYTHONPATH": f"{before}{os.pathsep}{PROJECT}", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}


@pytest.fixture(autouse=True)
def keep_signal_handlers() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def rows(results_dir: Path) -> list[dict[str, str]]:
    with (results_dir / SPAM.csv_name).open(newline="") as file:
        return list(csv.DictReader(file))


def errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("error: ")]


# ---- a run that ends well -------------------------------------------------------------------------------------------


def test_a_demo_run_from_end_to_end(tmp_path: Path, environment: dict[str, str]) -> None:
    """Started in another folder: a row in results/demo there, lines on the pipe and nothing else, and what comes
    next."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--demo", "--row", "2"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert not {b"\r", b"\x1b", b"\x08"} & {bytes([byte]) for byte in done.stdout}
    output = done.stdout.decode()
    assert output.count(DISCLAIMER) == 2  # at the beginning, and beside the figures
    assert "published" not in output.replace(DISCLAIMER, "")
    _, *steps = output[output.index("next:\n") :].splitlines()
    assert [step.split("  ", 2)[1].strip() for step in steps] == ["all results", "with GPT-2 (550 MB)", "what to beat"]
    assert [step.partition("python ")[2] for step in steps] == [
        "report.py --demo",
        "additional_experiments.py --row 2",
        "baselines.py --demo",
    ]

    (row,) = rows(tmp_path / "results" / "demo")
    assert (row["row"], row["demo"], row["model_size"]) == ("2", "True", "gpt2-small (124M)")
    assert (row["train_total"], row["validation_total"], row["test_total"]) == ("1040", "149", "300")
    folder = tmp_path / "results" / "demo" / "runs" / row["run_id"]
    assert sorted(path.name for path in folder.iterdir()) == ["losses.csv", "predictions.csv", "run.json"]
    assert DISCLAIMER in (folder / "run.json").read_text()
    for name in ("losses.csv", "predictions.csv"):
        assert {row["note"] for row in csv.DictReader((folder / name).open(newline=""))} == {SHORT_DISCLAIMER}
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["demo"]


def test_a_quiet_run_prints_its_result_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
    command = [*QUICK, "--quiet", "--lora_rank", "4", "--results_dir", str(tmp_path)]
    assert additional_experiments.main(command) == 0
    said = capsys.readouterr()
    assert said.out.startswith("result: demo, variant ") and said.out.splitlines()[-1].startswith("full record: ")
    assert said.err.startswith("warning: --lora_rank has no effect ")  # what is wrong is no chatter


@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_is_wider_than_the_terminal(
    columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for commands and paths, which have lines of their own."""
    monkeypatch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
    monkeypatch.chdir(tmp_path)
    run = [*QUICK, "--no_padding", "--batch_size", "1", "--lora_rank", "4", "--save_model"]
    offline = ["--offline", "--models_dir", str(tmp_path), "--data_dir", str(tmp_path)]
    for command, status in ((run, 0), (["--row", "5", "--dry_run"], 0), (offline, 1)):
        with a_terminal(columns) as terminal:
            assert additional_experiments.main(command) == status
        lines = re.split("[\r\n]", terminal.getvalue())
        assert max(map(len, lines)) > columns // 2
        wide = [line.strip() for line in lines if len(line) > columns]
        assert all(" " not in line or line.startswith(f"{python_command()} ") for line in wide), wide


def test_two_runs_two_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
    for seed in ("123", "124"):
        assert additional_experiments.main([*QUICK, "--seed", seed, "--results_dir", str(tmp_path)]) == 0
    first, second = rows(tmp_path)
    assert (first["seed"], second["seed"]) == ("123", "124")
    assert first["row"] == second["row"] == ""  # its own --context_length and --max_steps
    assert first["config_hash"] != second["config_hash"]
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  with GPT-2")]
    own = "--context_length 16 --eval_iter 1 --max_steps 2"
    assert [line.partition("additional_experiments.py ")[2] for line in said] == [own, f"{own} --seed 124"]
    for line in said:  # it can be typed
        EXPERIMENTS.read(shlex.split(line.partition("additional_experiments.py ")[2]))


def test_a_kept_model_names_the_command_that_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
    assert additional_experiments.main([*QUICK, "--save_model", "--results_dir", str(tmp_path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ask the model")]
    command = shlex.split(line.partition("classify.py ")[2])
    assert classify.main(command) == 0
    assert capsys.readouterr().out.startswith(("ham", "spam"))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"trainable_layers": "last_two_blocks", "weights": "random"},
         "--weights random --trainable_layers last_two_blocks"),
        ({"model_size": "gpt2-medium (355M)"}, "--row 6"),
        ({"model_size": "gpt2-nano (demo)"}, "--row 1"),
        ({"weights": "random", "trainable_layers": "all", "seed": 9}, "--row 10 --seed 9"),
        ({"weights": "random", "emb_dim": 112, "n_heads": 7}, "--weights random --emb_dim 112 --n_heads 7"),
        ({"weights": "random", "n_heads": 7}, ""),  # 7 heads divide the miniature's width and not GPT-2's
    ],
    ids=str,
)  # fmt: skip
def test_what_comes_next_is_the_same_experiment(flags: dict[str, Any], expected: str) -> None:
    command, megabytes = next_command(SPAM, ExperimentConfig(demo=True, models_dir="nowhere", **flags))
    assert command.partition("additional_experiments.py ")[2].replace(" --models_dir nowhere", "") == expected or (
        expected == "" and command.endswith("additional_experiments.py --models_dir nowhere")
    )
    assert (megabytes > 500) == ("weights" not in flags or expected == "")  # its weights; of random ones there are none


def test_an_offline_run_names_all_it_lacks_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    folders = ["--models_dir", str(tmp_path / "m"), "--data_dir", str(tmp_path / "d")]
    for flags, lacking in (
        ([], ["weights", "messages", "vocabulary"]),
        (["--weights", "random"], ["messages", "vocabulary"]),
        (["--demo"], []),
    ):
        command = ["--offline", "--results_dir", str(tmp_path / "r"), *folders, *flags]
        if not lacking:
            check_files(EXPERIMENTS.read(command)[0])
            continue
        assert additional_experiments.main(command) == 1
        (line,) = errors(capsys.readouterr().err)
        assert [kind for kind in ("weights", "messages", "vocabulary") if f"{kind} (in " in line] == lacking
        fetching = shlex.split(line.partition("python gpt_download.py ")[2])
        wanted = gpt_download.parse_arguments(fetching)
        assert (wanted.size is not None, wanted.dataset, wanted.vocabulary) == ("weights" in lacking, True, True)
        assert (wanted.models_dir, wanted.data_dir) == (tmp_path / "m", tmp_path / "d")
        assert not (tmp_path / "r").exists()


# ---- runs that are stopped ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow, id="SIGTERM"),
        pytest.param(signal.SIGINT, id="Ctrl-C"),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow, id="SIGHUP"),
    ],
)
def test_an_interrupted_run_appends_nothing(sent: signal.Signals, tmp_path: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, SCRIPT, "--demo", "--num_epochs", "1000", "--results_dir", str(tmp_path / "results")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None and run.stderr is not None
        try:
            assert any(line.startswith("Ep 1 (Step 000000)") for line in run.stdout)
            run.send_signal(sent)
            run.stdout.close()
            stderr = run.stderr.read()
            assert run.wait(60) != 0
        finally:
            run.kill()
    assert errors(stderr) == ["error: interrupted: nothing was appended to the results"]
    assert not (tmp_path / "results").exists()


def test_a_run_that_is_stopped_while_its_row_appears_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = log._write_whole

    def write_and_stop(descriptor: int, line: bytes) -> None:
        write(descriptor, line)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
    monkeypatch.setattr(log, "_write_whole", write_and_stop)
    assert additional_experiments.main([*QUICK, "--results_dir", str(tmp_path)]) == 130
    said = capsys.readouterr()
    assert errors(said.err) == ["error: interrupted: the run had ended before, and its row is in the results"]
    assert f"row appended to {tmp_path}" in said.out
    assert len(rows(tmp_path)) == 1


def test_whoever_interrupts_twice_does_not_wait() -> None:
    """The lock of the results may be held by a process that was stopped."""
    interrupt_on_signals()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="have it or not"), interrupts_held("never said"):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("it waited")
    assert signal.getsignal(signal.SIGTERM) == before


# ---- nobody reads, or not these characters ---------------------------------------------------------------------------

NARROW = {
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "UTF-8": {"PYTHONUTF8": "1"},
}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names there are Unicode")
@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name == "C" else pytest.mark.slow) for name in NARROW])
def test_characters_that_cannot_be_written_are_replaced(
    name: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """A path with letters that the output does not have, and a byte that is not UTF-8."""
    results = os.fsdecode(os.fsencode(tmp_path) + "/é中".encode() + b"\xff")
    command = [sys.executable, SCRIPT, *QUICK, "--results_dir", results, "--models_dir", results]
    done = subprocess.run(command, env={**environment, **NARROW[name]}, capture_output=True)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr.decode(errors="replace")
    folder = Path(results)
    assert len(rows(folder)) == 1
    rebuild = [sys.executable, "-m", "ablation.tasks", "--rebuild", results]
    before = (folder / SPAM.csv_name).read_bytes()
    done = subprocess.run(rebuild, env={**environment, **NARROW[name]}, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (folder / SPAM.csv_name).read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "where", ["closed pipe", *(pytest.param(where, marks=pytest.mark.slow) for where in ("full disk", "closed"))]
)
@pytest.mark.parametrize("script", ["additional_experiments.py", "baselines.py"])
def test_a_run_that_nobody_listens_to_appends_its_row(
    script: str, where: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    tiny = [*QUICK, "--weights", "random", "--n_layers", "1", "--emb_dim", "16", "--n_heads", "2"]
    own = tiny if script.startswith("additional") else ["--demo", "--rows", "B1"]
    command = shlex.join([sys.executable, str(PROJECT / script), *own, "--results_dir", str(tmp_path / "results")])
    redirected = {
        "closed pipe": f"({command} 2>&1; echo $? >status) | true",
        "full disk": f"{command} >/dev/full 2>&1; echo $? >status",
        "closed": f"{command} >&- 2>errors; echo $? >status; cat errors >&2",
    }[where]
    done = subprocess.run(["bash", "-c", redirected], cwd=tmp_path, env=environment, capture_output=True)
    assert ((tmp_path / "status").read_text(), done.stderr.decode()) == ("0\n", "")
    assert len(rows(tmp_path / "results")) == 1


# ---- commands that are refused --------------------------------------------------------------------------------------

REFUSED = """
import sys, additional_experiments, classify
for script, arguments, expected in [
    (additional_experiments, ["--help"], 0),
    (additional_experiments, ["--no_such_flag"], 2),
    (additional_experiments, ["--demo", "--row", "20", "--seed", "x"], 2),
    (additional_experiments, ["--demo", "--context_length", "257"], 2),
    (additional_experiments, ["--no_padding"], 2),
    (classify, ["--help"], 0),
    (classify, ["--model", "nowhere"], 2),
]:
    try:
        status = script.main(arguments)
    except SystemExit as stopped:
        status = stopped.code
    assert status == expected, (arguments, status)
heavy = {"torch", "numpy", "pandas", "tiktoken", "safetensors", "sklearn"} & sys.modules.keys()
assert not heavy, heavy
"""


def test_refusals_and_help_import_nothing_heavy(environment: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", REFUSED], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--demo" in done.stdout
    assert "--context_length 257: the model has 256 positions" in done.stderr


def test_a_misspelt_flag_is_asked_about_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for main, arguments, expected in (
        (additional_experiments.main, ["--demo", "--sede", "5"], "did you mean --seed?"),
        (sweep.main, ["--demo", "--rows", "1", "--", "--epochs", "5"], "did you mean --num_epochs?"),
        (baselines.main, ["--whatever"], " --help lists all flags"),
        (report.main, ["--result_dir", "x"], "did you mean --results_dir?"),
        (classify.main, ["--model", "x", "--formt", "csv", "hello"], "did you mean --format?"),
        (gpt_download.main, ["--datset"], "did you mean --dataset?"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        error = capsys.readouterr().err
        assert stopped.value.code == 2
        assert error.count("\n") == 1 and error.startswith("error: ") and expected in error, error


def test_the_packages_looked_for_are_those_of_the_requirements() -> None:
    named = [line.partition("==")[0] for line in (PROJECT / "requirements.txt").read_text().split()]
    imported = {"scikit-learn": "sklearn", "Jinja2": "jinja2"}
    assert sorted(imported.get(name, name.replace("-", "_")) for name in named) == sorted(PACKAGES)


def test_a_python_without_the_packages_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ablation.environment.PACKAGES", ("sys", "no_such_package"))
    for main, arguments in (
        (additional_experiments.main, ["--demo"]),
        (sweep.main, ["--demo", "--rows", "1"]),
        (baselines.main, ["--demo"]),
        (report.main, []),
        (classify.main, ["--model", "x", "hello"]),
        (gpt_download.main, ["--dataset"]),
        (tasks_command.main, ["--rebuild", "results"]),
    ):
        with pytest.raises(SystemExit, match=r"^error: .* lacks no_such_package; .*requirements.txt$"):
            main(arguments)


def test_a_results_folder_that_cannot_be_written_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    may_write = os.access  # root, who often runs tests, may write anywhere
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != closed and may_write(path, mode))
    for folder in (closed, closed / "results"):
        with pytest.raises(ConfigError, match=rf"--results_dir {folder}: {closed} cannot be written to"):
            EXPERIMENTS.configure({"demo": True, "results_dir": str(folder)})


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder where nobody may write")
@pytest.mark.parametrize("main", [additional_experiments.main, baselines.main, sweep.main])
def test_a_folder_that_takes_nothing_is_found_before_training(
    main: Callable[[list[str]], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For root the system calls it one that can be written to; only who tries knows."""
    monkeypatch.setattr("os.access", lambda path, mode: True)
    monkeypatch.setattr("ablation.data.spam.read_demo_messages", None)
    rows = ["--rows", "1"] if main is sweep.main else []
    assert main(["--demo", *rows, "--results_dir", "/proc/x"]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"error: --results_dir /proc/x: cannot be written to \(.+\); give another folder", error)


def test_to_try_a_folder_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / "new" / "results", SPAM)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
    assert additional_experiments.main([*QUICK, "--quiet", "--results_dir", str(tmp_path)]) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    check_writable(tmp_path, SPAM)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert sum(path.is_dir() for path in tmp_path.rglob("*")) == 2  # runs, and the run


@pytest.mark.parametrize("name", ["x" * 300, "results"])
def test_what_else_keeps_a_run_from_being_kept(name: str, tmp_path: Path) -> None:
    """A name that is too long; a folder in place of the rows' file."""
    (tmp_path / "results" / SPAM.csv_name).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"--results_dir \S+: cannot be written to \(.*\); give another folder"):
        check_writable(tmp_path / name, SPAM)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results_dir = tmp_path / "results"
    assert additional_experiments.main([*QUICK, "--device", "cuda", "--results_dir", str(results_dir)]) == 2
    (line,) = errors(capsys.readouterr().err)
    assert "--device cuda" in line and "give auto or cpu" in line
    assert not results_dir.exists()


@pytest.mark.parametrize("arguments", [["--demo"], ["--row", "1"], ["--model_size", "gpt2-nano"]], ids=" ".join)
def test_a_dry_run_loads_and_writes_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("something was loaded")

    for place in ("tasks.spam.load_splits", "run.experiment.open_weights", "run.experiment.run_experiment"):
        monkeypatch.setattr(f"ablation.{place}", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert additional_experiments.main([*arguments, "--dry_run"]) == 0
    output = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    wanted = ("model.safetensors", "sms_spam_collection.zip", "6c7ea1a7e38e3a7f062df639a5b80947f075ffe6")
    expected = {"--demo": (), "--row": wanted, "--model_size": wanted[1:2]}[arguments[0]]
    assert [name for name in wanted if name in output] == list(expected)
    assert ("to download           nothing" in output) == (not expected)
    assert (DISCLAIMER in output) == (arguments == ["--demo"])
    plan = r"^plan {18}blocks 1–1?\d frozen, computed once over each message; block 1?\d at 1 position$"
    assert re.search(plan, output, re.MULTILINE)


# ---- runs that fail -------------------------------------------------------------------------------------------------

BAD_DATA = {
    "three columns": ("ham\tsee you\nspam\tyou won\tnow\n", "line 2: 3 tab-separated columns"),
    "another label": ("ham\tsee you\njunk\tyou won\n", "line 2: label 'junk'"),
    "an empty split": ("ham\tsee you\nham\tbye\nspam\tyou won\n", "split is empty"),
    "more spam than ham": ("ham\tsee you\nspam\tyou won\nspam\twin\n", "2 spam but only 1 ham"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_leaves_the_results_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = BAD_DATA[name]
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    for file in vocabulary_files():  # nothing is missing; the messages are read before the vocabulary
        (tmp_path / file.name).touch()
    (tmp_path / "SMSSpamCollection.tsv").write_text(content)
    results = tmp_path / "results" / SPAM.csv_name
    results.parent.mkdir()
    results.write_text("run_id\n1\n")
    folders = ["--data_dir", str(tmp_path), "--results_dir", str(results.parent), "--models_dir", str(tmp_path)]
    assert additional_experiments.main([*TINY, *folders]) == 1
    (line,) = errors(capsys.readouterr().err)
    assert "SMSSpamCollection.tsv" in line or "spam" in line
    assert message in line
    assert results.read_text() == "run_id\n1\n" and list(results.parent.iterdir()) == [results]


@pytest.mark.parametrize("name", ["another width", "a tensor missing", "no safetensors", "NaN"])
def test_bad_weights_leave_the_results_alone(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import load_file, save_file

    path, tensors = tmp_path / "weights.safetensors", load_file(WEIGHTS)
    if name == "another width":
        tensors = {key: tensor[..., :64].contiguous() for key, tensor in tensors.items()}
    elif name == "a tensor missing":
        del tensors["trf_blocks.1.ff.layers.0.bias"]
    elif name == "NaN":
        tensors["final_norm.shift"][3] = torch.nan
    save_file(tensors, path)
    if name == "no safetensors":
        path.write_bytes(path.read_bytes()[:1000])
    arguments = [*QUICK, "--weights_path", str(path), "--results_dir", str(tmp_path / "results")]
    assert additional_experiments.main(arguments) == 1
    (line,) = errors(capsys.readouterr().err)
    expected = {
        "another width": "width 64", "a tensor missing": "missing: trf_blocks.1.ff.layers.0.bias",
        "no safetensors": "no intact safetensors file", "NaN": "1 values that are NaN",
    }  # fmt: skip
    assert "weights.safetensors" in line and expected[name] in line
    assert not (tmp_path / "results").exists()
