"""What is seen of a sweep while it goes on."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sweep
from ablation.config.rows import row_config
from ablation.listener import FROZEN_PASS, TRAINING
from ablation.run.progress_file import RunProgress
from ablation.sweep.live import SPARSE, Screen, left_of
from ablation.sweep.plan import Outcome, PlannedRun, Status, UnderWay
from ablation.tasks.spam import SPAM

RUNS = [PlannedRun(row, 123, row_config(row), ()) for row in (1, 2, 3)]
LOG = Path("results/sweep/0123456789abcdef.log")
TRAINS = RunProgress(TRAINING, 120, 650, seconds=12.0, loss=0.5119)
FREEZES = RunProgress(FROZEN_PASS, 45, 100, seconds=9.0)


class Terminal(io.StringIO):
    """What a terminal is shown."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def screen(on: io.StringIO, jobs: int = 1, quiet: bool = False, known: bool = True) -> Screen:
    """A screen whose standard error is this."""
    estimates = {run.hash: 100.0 if known else None for run in RUNS}
    with contextlib.redirect_stderr(on):
        return Screen(RUNS, estimates, lambda left: estimates, SPAM.headline, jobs=jobs, quiet=quiet)


def lines(terminal: Terminal) -> list[str]:
    """The lines that the last picture has, from above."""
    frame = terminal.getvalue().replace("\x1b[A", "")
    return [line.strip() for line in re.split(r"[\r\n]+", frame) if line.strip()]


def test_a_line_for_each_run_and_one_for_the_sweep(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    view = screen(terminal, jobs=2)
    view.watch([UnderWay(RUNS[0], LOG, 40.0, TRAINS), UnderWay(RUNS[1], LOG, 20.0, FREEZES)])
    view.close()
    shown = lines(terminal)
    assert f"row 1, seed 123: step 120 of 650, loss 0.512, about 60 s left; log: {LOG}" in shown
    assert f"row 2, seed 123: frozen pass 45%, about 80 s left; log: {LOG}" in shown
    assert "sweep: 0 of 3 ended, time left: about 2 min" in shown  # (60 + 80 + 100) / 2


@pytest.mark.parametrize("columns", ["80", "40"])
def test_no_line_is_wider_than_the_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    view = screen(terminal)
    view.watch([UnderWay(RUNS[0], LOG, 40.0, TRAINS)])
    view.close()
    assert max(map(len, lines(terminal))) < int(columns)
    assert any(line.startswith("row 1, seed 123: step 120 of 650") for line in lines(terminal))


def test_what_nothing_can_tell_is_unknown(terminal: Terminal) -> None:
    view = screen(terminal, known=False)
    view.watch([UnderWay(RUNS[0], LOG, 40.0, None)])
    view.close()
    assert "row 1, seed 123: starting, time left unknown" in "\n".join(lines(terminal))
    assert "sweep: 0 of 3 ended, time left: unknown" in lines(terminal)


def test_a_run_lasts_at_least_as_long_as_its_own_pace_says() -> None:
    run = UnderWay(RUNS[0], LOG, 40.0, TRAINS)
    assert left_of(run, None) == pytest.approx(53)  # 530 steps at ten a second
    assert left_of(UnderWay(RUNS[0], LOG, 40.0, FREEZES), None) is None
    assert left_of(run, 41.0) == pytest.approx(53)
    assert left_of(run, 140.0) == 100
    assert left_of(UnderWay(RUNS[0], LOG, 40.0, None), 10.0) == 0


def test_elsewhere_a_plain_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    errors = io.StringIO()
    view = screen(errors)
    for seconds in (1.0, 2.0, SPARSE, SPARSE + 1, 2 * SPARSE):
        view.watch([UnderWay(RUNS[0], LOG, seconds, TRAINS)])
    view.show(Outcome(RUNS[0], Status.FINISHED, seconds=90, headline=0.9))
    view.close()
    first, second, ended = capsys.readouterr().out.splitlines()
    assert first == f"row 1, seed 123: step 120 of 650, loss 0.512, about 53 s left; log: {LOG}"
    assert second.startswith("row 1, seed 123: step 120 of 650")
    assert ended == "row 1, seed 123: finished, test accuracy 90.00%, 2 min"
    assert errors.getvalue() == ""


def test_quiet_says_only_what_went_wrong(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    view = screen(terminal, quiet=True)
    view.watch([UnderWay(RUNS[0], LOG, 2 * SPARSE, TRAINS)])
    view.show(Outcome(RUNS[0], Status.FINISHED, seconds=90, headline=0.9))
    view.show(Outcome(RUNS[1], Status.FAILED, "no luck", 3, log=LOG))
    view.close()
    assert capsys.readouterr().out == f"row 2, seed 123: failed, 3 s: no luck (log: {LOG})\n"
    assert terminal.getvalue() == ""


@pytest.mark.slow
def test_on_a_terminal_a_demo_sweep_shows_its_steps(tmp_path: Path) -> None:
    """The whole way: a run's own process, its file, the sweep's lines."""
    ours, theirs = pty.openpty()
    command = [sys.executable, sweep.__file__, "--demo", "--rows", "1-3", "--seeds", "123-124"]
    places = ["--results_dir", str(tmp_path / "r"), "--models_dir", str(tmp_path / "m")]
    process = subprocess.Popen([*command, "--jobs", "2", *places], stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # the other end is closed
        pass
    text = shown.decode()
    assert process.wait() == 0, text
    assert re.search(r"row \d, seed 12[34]: step [1-9]\d* of 650, loss 0\.\d+, ", text)
    assert "sweep: 0 of 6 ended, time left: unknown" in text
    assert re.search(r"sweep: [45] of 6 ended, time left: about \d+ s", text)
    assert f"report.py --results_dir {tmp_path / 'r'}" in text
    assert list((tmp_path / "r" / "sweep").iterdir()) == []
