"""What a report must not do: stand empty where there are runs, or say less than the one that it would replace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ablation.report.contents import Contents
from ablation.report.language_chapter import SPLITS, LanguageContents
from ablation.report.language_page import PAGE
from ablation.results.log import REBUILD_COMMAND, RUNS_FOLDER, ResultsError
from ablation.results.runs import OddRunError, read_run, run_files, task_of
from ablation.results.task import Task

WITHOUT = ". Without them"  # in a note: what is lacking stands before it, what that costs behind it


def holds_results(results_dir: Path, task: Task) -> bool:
    """Whether a folder has rows of the task, or folders of runs that say they are its."""
    try:
        lines = (results_dir / task.csv_name).read_bytes().split(b"\n", 2)
    except FileNotFoundError:
        lines = []
    return any(line.strip() for line in lines[1:]) or has_runs(results_dir, task, if_unreadable=False)


def has_runs(results_dir: Path, task: Task, *, if_unreadable: bool = True) -> bool:
    """Whether a run of the task has a folder.

    Args:
        if_unreadable: what to say of a run that cannot be read, and may be any task's.
    """
    for file in run_files(results_dir):
        try:
            if task_of(read_run(file)) == task.name:
                return True
        except (OddRunError, ResultsError):
            if if_unreadable:
                return True
    return False


def check_runs(task: Task, results_dir: Path, runs: int, problems: Sequence[str]) -> None:
    """Refuse what would write an empty report over a full one.

    Args:
        runs: that could be read.

    Raises:
        ResultsError: none could, though there are some.
    """
    if runs == 0 and has_runs(results_dir, task):
        reason = problems[0] if problems else f"{results_dir / task.csv_name} holds no run"
        raise ResultsError(
            f"{reason}, though {results_dir / RUNS_FOLDER} has some;"
            f" {REBUILD_COMMAND} {results_dir} makes the file anew from them"
        )


def what_would_be_lost(contents: Contents, folder: Path) -> str | None:
    """Why an earlier report in this folder says more than one without the examples could; None if it does not."""
    task, earlier = contents.task, folder / "table.csv"
    if contents.likeness is not None or not earlier.exists():
        return None
    header = earlier.read_text(encoding="utf-8").partition("\n")[0]
    if f"{task.splits[-1]}_unseen_" not in header:
        return None
    return (
        f"{contents.notes[0].partition(WITHOUT)[0]}; the report there was made with the {task.examples}, says"
        " more than one without, and is kept"
    )


def what_a_page_would_lose(contents: LanguageContents, folder: Path) -> str | None:
    """The same of the page of a language model and its sentences, and where that page is."""
    page = folder / PAGE
    lacking = next((note.partition(WITHOUT)[0] for note in contents.notes if WITHOUT in note), None)
    if lacking is None or not page.exists() or f'id="{SPLITS}"' not in page.read_text(encoding="utf-8"):
        return None
    return f"{lacking}; the page there was made with the sentences, says more than one without, and is kept: {page}"
