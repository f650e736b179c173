"""The Ray engine on real clusters of two raylets: whatever is killed, every planned run ends in the results once."""

from __future__ import annotations

import csv
import importlib.util
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import sweep
from ablation.config.experiment import ExperimentConfig, config_hash
from ablation.results.read import read_results
from ablation.sweep.ray_engine import with_absolute_paths
from ablation.tasks.spam import SPAM

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="needs Ray: python -m pip install -r requirements-ray.txt")
TASK = "ray::run_on_node"
ROWS, SEEDS = "1,3,5", "1-2"
PLANNED = Counter({(row, seed): 1 for row in ("1", "3", "5") for seed in ("1", "2")})
PATIENCE = 240


def command(results: Path, address: str, *flags: str) -> list[str]:
    runner = ["--demo", "--num_epochs", "2", "--results_dir", str(results), "--models_dir", str(results / "models")]
    ray = ["--engine", "ray", "--ray_address", address, "--num_cpus", "1"]
    return ["--rows", ROWS, "--seeds", SEEDS, *ray, "--", *runner, *flags]


def in_results(results: Path) -> Counter[tuple[str, str]]:
    path = results / SPAM.csv_name
    if not path.exists():
        return Counter()
    rows = {"last_block": "1", "last_layer": "3", "all": "5"}
    with path.open(newline="") as file:
        return Counter((rows[row["trainable_layers"]], row["seed"]) for row in csv.DictReader(file))


def start_driver(results: Path, address: str) -> subprocess.Popen[bytes]:
    with (results.parent / "driver.log").open("ab") as log:
        program = [sys.executable, str(Path(sweep.__file__)), *command(results, address)]
        return subprocess.Popen(program, stdout=log, stderr=log)


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.1)
    return found


def tasks_of(raylet: int) -> list[psutil.Process]:
    """The processes that run a task for this raylet just now."""
    found = []
    for process in psutil.Process(raylet).children(recursive=True):
        try:
            if process.cmdline()[:1] == [TASK]:
                found.append(process)
        except psutil.NoSuchProcess:
            pass
    return found


def raylet_of(node: Any) -> int:
    return node.all_processes["raylet"][0].process.pid


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two raylets on this host, one CPU each: the cluster, and that of its nodes which may die."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    # Ray's workers are nicer than anything else by default: on a busy machine they would hardly run.
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield cluster, cluster.add_node(num_cpus=1)
    cluster.shutdown()


@pytest.mark.slow
@needs_ray
def test_a_killed_worker_is_tried_again(tmp_path: Path, cluster: Any) -> None:
    results, (whole, node) = tmp_path / "results", cluster
    driver = start_driver(results, whole.address)
    victim = wait_for(lambda: tasks_of(raylet_of(node)))[0]
    victim.send_signal(signal.SIGKILL)
    assert driver.wait(PATIENCE) == 0, (tmp_path / "driver.log").read_text()
    assert in_results(results) == PLANNED
    runs, problems = read_results(results, SPAM)
    assert problems == []
    assert all(run.predictions("test").labels.size for run in runs)


@pytest.mark.slow
@needs_ray
def test_runs_of_a_killed_raylet_go_to_the_other(tmp_path: Path, cluster: Any) -> None:
    results, (whole, node) = tmp_path / "results", cluster
    driver = start_driver(results, whole.address)
    wait_for(lambda: tasks_of(raylet_of(node)))
    whole.remove_node(node, allow_graceful=False)
    assert driver.wait(PATIENCE) == 0, (tmp_path / "driver.log").read_text()
    assert in_results(results) == PLANNED


@pytest.mark.slow
@needs_ray
def test_a_killed_driver_goes_on_where_it_was(tmp_path: Path, cluster: Any) -> None:
    results, (whole, _) = tmp_path / "results", cluster
    driver = start_driver(results, whole.address)
    wait_for(lambda: in_results(results))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    before = in_results(results)
    assert 0 < before.total() < PLANNED.total()
    assert start_driver(results, whole.address).wait(PATIENCE) == 0, (tmp_path / "driver.log").read_text()
    assert in_results(results) == PLANNED


@needs_ray
def test_no_cluster_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main(command(tmp_path, "nonsense://nowhere")) == 2
    assert "--ray_address nonsense://nowhere: no cluster there" in capsys.readouterr().err


def refusal(results: Path, address: str) -> str:
    """What a sweep in a process of its own says on standard error, within twenty seconds."""
    program = [sys.executable, str(Path(sweep.__file__)), *command(results, address)]
    started = time.monotonic()
    refused = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE)
    assert time.monotonic() - started < 20
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    return line


@needs_ray
def test_no_token_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    line = refusal(tmp_path, "127.0.0.1:6379")
    assert line.startswith("error: --ray_address 127.0.0.1:6379: RAY_AUTH_MODE=token, but there is no token; copy the")


@pytest.mark.slow
@needs_ray
def test_nothing_listening_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as bound:  # and never listens
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        line = refusal(tmp_path, address)
    assert line.startswith(f"error: --ray_address {address}: no cluster there (no answer within 10 seconds); start one")


@pytest.mark.slow
@needs_ray
@pytest.mark.parametrize("given", ["another token", "none"])
def test_a_wrong_token_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    head_and_its_address = (
        "import sys; from ray.cluster_utils import Cluster;"
        "head = Cluster(True, head_node_args={'num_cpus': 1, 'include_dashboard': False});"
        "print('at', head.address, flush=True); sys.stdin.read(); head.shutdown()"
    )
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    with subprocess.Popen(
        [sys.executable, "-c", head_and_its_address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as head:
        assert head.stdout is not None
        address = next(line for line in head.stdout if line.startswith("at ")).split()[1]
        if given == "none":
            monkeypatch.delenv("RAY_AUTH_MODE")
            monkeypatch.delenv("RAY_AUTH_TOKEN")
        else:
            monkeypatch.setenv("RAY_AUTH_TOKEN", "b" * 64)
        line = refusal(tmp_path, address)
    assert "the cluster refuses this token, or none; set RAY_AUTH_MODE=token, and copy the head's" in line


def test_without_ray_the_message_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert sweep.main(command(tmp_path, "auto")) == 2
    assert capsys.readouterr().err == (
        "error: --engine ray: Ray is not installed; python -m pip install -r requirements-ray.txt,"
        " or leave the flag out\n"
    )
    assert not any(tmp_path.iterdir())


def test_a_node_is_told_absolute_paths() -> None:
    given = ExperimentConfig(checkpoint_dir="kept", data_file="mail.csv", results_dir="r")
    sent = with_absolute_paths(given)
    assert (sent.checkpoint_dir, sent.data_file, sent.results_dir) == tuple(
        str(Path(name).absolute()) for name in ("kept", "mail.csv", "r")
    )
    assert sent.weights_path is None and config_hash(sent) == config_hash(given)
