"""Failed runs as a results folder keeps them: what each said, and from which inputs it failed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import signal
from collections.abc import Iterable
from pathlib import Path

from ablation.sweep.plan import Outcome, PlannedRun, write_runs
from ablation.words import plural

LOGS_FOLDER = "sweep"  # below the results: a log per run that is under way, was ended with its sweep, or failed
_MARK = "the sweep's note: failed from inputs "  # begins the last line of a failed run's log


def log_of(run: PlannedRun, results_dir: Path) -> Path:
    return results_dir / LOGS_FOLDER / f"{run.hash[:16]}.log"


def progress_of(run: PlannedRun, results_dir: Path) -> Path:
    """Where a run that is under way says how far it is."""
    return log_of(run, results_dir).with_suffix(".progress")


def failure_of(run: PlannedRun, results_dir: Path) -> Path:
    """Where a failed run's log is kept, until the run succeeds."""
    return results_dir / LOGS_FOLDER / f"{run.hash[:16]}.failed.log"


# ---- from which inputs ----------------------------------------------------------------------------------------------


def inputs_of(run: PlannedRun, data_digest: str | None, weights_digest: str | None) -> str:
    """A digest of what a run goes from: its flags, its messages, its base weights (None: not there)."""
    given = [sorted(run.arguments), vars(run.config), data_digest, weights_digest]
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:16]


def keep_failure(failure: Path, inputs: str) -> None:
    """Note at the end of a failed run's log from which inputs it failed."""
    failure.parent.mkdir(parents=True, exist_ok=True)
    with failure.open("a", encoding="utf-8") as log:
        log.write(f"\n{_MARK}{inputs}\n")


def failed_from(failure: Path, inputs: str) -> bool:
    """Whether a run failed from these inputs. (A log of an older version does not say: then the run may try again.)"""
    try:
        last = failure.read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")[2]
    except OSError:
        return False
    return last == _MARK + inputs


# ---- why ------------------------------------------------------------------------------------------------------------


def reason(log: Path, status: int = 0) -> str:
    """Why a run failed: the signal that ended it, or what it said last."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(_MARK)]
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (said or lines or [f"exit status {status}"])[-1]


def kind_of(message: str) -> str:
    """Equal for errors that differ in their numbers alone, as losses that are not finite do from seed to seed."""
    return re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "#", message)


def describe_failures(outcomes: Iterable[Outcome], what: str) -> list[str]:
    """Each kind of reason once, as the first run has it, with the number of runs, which they are, and a log.

    Args:
        what: happened to them, such as ``failed``.
    """
    by_reason: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_reason.setdefault(kind_of(outcome.message), []).append(outcome)
    lines = []
    for group in by_reason.values():
        first, message = group[0].log, group[0].message
        place = "" if first is None else f"; log{' of the first' if len(group) > 1 else ''}: {first}"
        runs = write_runs([outcome.run for outcome in group])
        lines += [f"{plural(len(group), 'run')} {what}: {message}", f"  {runs}{place}"]
    return lines
