"""Kill runs at random instants, go on with them, and compare what they end in with runs that nobody killed.

    python benchmarks/kills.py --kills 40 --record benchmarks/records/DATE_kills

Each kind of row of the embedded miniature is run once undisturbed. Then the same command is killed (SIGKILL) again and
again, and at last left alone: losses, predictions, parameters and the row have to be the same to the bit, but for what
MAY_DIFFER names.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from ablation.results.log import RUN_JSON, RUNS_FOLDER  # noqa: E402
from ablation.results.run_folder import LOSSES_CSV, PREDICTIONS_CSV, TRAINED_PARAMETERS  # noqa: E402
from ablation.results.runs import complete  # noqa: E402
from ablation.tasks.spam import SPAM  # noqa: E402
from benchmarks.record import markdown_table, write_record  # noqa: E402

KINDS = {"features": 1, "all layers": 5, "LoRA": 11, "frozen pass": 13, "accumulation": 15}
MAY_DIFFER = (
    "run_id", "timestamp_utc", "training_minutes", "total_minutes", "load_seconds", "feature_seconds", "peak_memory_mb",
    "resumed", "results_dir",
)  # fmt: skip
FLAGS = ("--demo", "--checkpoint_every", "0.001", "--eval_freq", "20", "--feature_memory", "0.05", "--save_model")


@dataclass
class Killed:
    """What became of one kind of row.

    Attributes:
        seconds: that the undisturbed run took.
        at: when each kill came, in seconds after its process began.
        resumed: how often the run was gone on with, by its own account.
        differing: in what it ended otherwise than the undisturbed one; nothing, if all is well.
    """

    kind: str
    seconds: float
    at: list[float] = field(default_factory=list)
    resumed: int = 0
    differing: list[str] = field(default_factory=list)


def command(row: int, results: Path, extra: Sequence[str] = ()) -> list[str]:
    script = str(PROJECT / "additional_experiments.py")
    return [sys.executable, script, *FLAGS, *extra, "--row", str(row), "--results_dir", str(results)]


def finished(results: Path) -> bool:
    """Whether a run has ended here, its row written or not: the next command that looks writes it."""
    runs = results / RUNS_FOLDER
    return runs.exists() and any(not folder.name.startswith(".") for folder in runs.iterdir())


def outcome(results: Path) -> tuple[dict[str, Any], int]:
    """What a finished run left, by name: its row's columns and its files; and how often it was resumed.

    Raises:
        ValueError: there is not exactly one run.
    """
    complete(results, SPAM)
    (folder,) = (results / RUNS_FOLDER).iterdir()
    with (results / "results.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    kept: dict[str, Any] = {name: value for name, value in row.items() if name not in MAY_DIFFER}
    kept |= {name: (folder / name).read_bytes() for name in (LOSSES_CSV, PREDICTIONS_CSV)}
    # The file's metadata stand in no particular order.
    kept |= {name: tensor.tobytes() for name, tensor in load_file(folder / TRAINED_PARAMETERS).items()}
    kept["history"] = json.loads((folder / RUN_JSON).read_text(encoding="utf-8"))["history"]
    return kept, int(row["resumed"])


def run_undisturbed(row: int, results: Path, extra: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command(row, results, extra), check=True, capture_output=True)
    return time.perf_counter() - started


def kill_and_go_on(kind: str, kills: int, folder: Path, draw: random.Random, extra: Sequence[str] = ()) -> Killed:
    """One kind of row: undisturbed, and killed so many times.

    Raises:
        CalledProcessError: a run failed by itself.
    """
    row, whole, runs = KINDS[kind], folder / "whole", (folder / f"broken-{number}" for number in itertools.count())
    broken = next(runs)
    report = Killed(kind, run_undisturbed(row, whole, extra))
    while len(report.at) < kills:
        process = subprocess.Popen(command(row, broken, extra), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait = draw.uniform(0.2, 1.0) * report.seconds
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            report.at.append(round(wait, 3))
        if finished(broken):  # it had ended before: begin another
            compare(report, whole, broken)
            broken = next(runs)
    if not finished(broken):
        subprocess.run(command(row, broken, extra), check=True, capture_output=True)
        compare(report, whole, broken)
    return report


def compare(report: Killed, whole: Path, broken: Path) -> None:
    (expected, _), (found, resumed) = outcome(whole), outcome(broken)
    report.resumed += resumed
    report.differing += [name for name in expected if found[name] != expected[name]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40, help="in all; default: 40")
    parser.add_argument("--seed", type=int, default=0, help="of the instants; default: 0")
    parser.add_argument("--record", type=Path, metavar="DIR", help="keep what was measured in this folder")
    options = parser.parse_args()
    draw, reports = random.Random(options.seed), []
    for number, kind in enumerate(KINDS):
        kills = options.kills // len(KINDS) + (number < options.kills % len(KINDS))
        with tempfile.TemporaryDirectory() as folder:
            reports.append(kill_and_go_on(kind, kills, Path(folder), draw))
        print(f"{kind}: {reports[-1]}", flush=True)
    rows = [
        [kill.kind, f"{kill.seconds:.1f} s", str(len(kill.at)), str(kill.resumed), ", ".join(kill.differing) or "yes"]
        for kill in reports
    ]
    titles = ["kind of row", "undisturbed", "kills", "went on from a checkpoint", "same to the bit"]
    table = markdown_table(titles, rows)
    print(table)
    write_record(options.record, [asdict(report) for report in reports], table)
    return 1 if any(report.differing for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
