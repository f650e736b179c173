"""The interface for notebooks and scripts: run an experiment, read results, use a trained model.

>>> from ablation import load_classifier, load_results, run_experiment

What the commands do, by keyword instead of by flag: the same settings, checks and files, and where something is wrong
the same line, in an exception instead of on standard error. Remarks that the commands print come as warnings.
``docs/python.md`` has examples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.flags import threshold_problems
from ablation.config.hints import hint
from ablation.config.own_data import joined_labels
from ablation.config.path_problems import weights_path_problems
from ablation.config.settings import RESULTS_DIR, fields_of
from ablation.config.values import device as read_device
from ablation.data.lines import InputLine
from ablation.data.message import MessageError, check_message
from ablation.listener import Listener
from ablation.process_state import process_state_kept
from ablation.results.log import ResultsError
from ablation.results.read import FinishedRun, read_results
from ablation.results.task import Task
from ablation.run import kinds
from ablation.run.answers import WARNINGS_TOLD, answer_lines
from ablation.run.beforehand import check_beforehand
from ablation.run.inputs import thread_count
from ablation.run.open_classifier import config_here, open_classifier, seen_in_training
from ablation.run.saved_models import LATEST, find_folder
from ablation.run.trained_classifier import Answer, SavedRun, read_saved_run
from ablation.tasks.registry import TASKS
from ablation.tasks.spam import SPAM
from ablation.words import plural

__all__ = ["Classifier", "load_classifier", "load_results", "run_experiment"]

# Columns of text that may look like numbers, or hold some: rows are numbers, those of baselines are names.
TEXTS = (
    "run_id", "row", "python_version", "torch_version", "git_commit", "weights_digest", "data_digest", "config_hash",
    "baseline_settings",
)  # fmt: skip

# Type of a column -> the reader of its cells.
KINDS: Mapping[Any, Callable[[str], Any]] = {
    "boolean": {"True": True, "False": False}.__getitem__, "Int64": int, "Float64": float,
}  # fmt: skip


def _task(name: str) -> Task:
    if name not in TASKS:
        raise ConfigError([f"task {name!r}: there is none of this name; give one of {', '.join(TASKS)}"])
    return TASKS[name]


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=3)


# ---- running --------------------------------------------------------------------------------------------------------


def run_experiment(
    row: int | None = None,
    *,
    task: str = SPAM.name,
    force: bool = False,
    listener: Listener | None = None,
    **settings: Any,
) -> FinishedRun:
    """Run one experiment and keep it, as ``additional_experiments.py`` does: its folder, and its row in the CSV.

    >>> run = run_experiment(row=5, demo=True, max_steps=60)
    >>> run.values["test_acc"], run.counts["test"].correct, run.losses(), run.predictions("test"), run.folder

    The process is afterwards as it was; of several threads that call this, one runs at a time.

    Args:
        row: of the published table; settings override the row's.
        task: what the experiment is about.
        force: try even if the memory looks too small.
        listener: told how the run goes on; ``ablation.run.console.Console()`` prints what the command prints. Without
            one, nothing is printed.
        settings: every flag of the command by its name, ``learning_rate=1e-4`` for ``--learning_rate 1e-4`` (see
            ``docs/flags.md``). None is the same as not given.

    Returns:
        The run. Accuracies in ``values`` are fractions, times are in minutes. Where a run of the task has several rows,
        it is the first.

    Raises:
        ConfigError: what is asked for cannot be run; one line for each problem, and nothing was loaded.
        DataError, WeightsError, DownloadError, RunError, ResultsError: as the line says. The results are as before.
    """
    about = _task(task)
    config, remarks = about.command_line.configure(_as_typed(about, settings), None if row is None else str(row))
    for line in [*remarks, *kinds.remarks(config), *check_beforehand(about, config, force=force)]:
        _warn(line)
    rows = kinds.save_result(about, kinds.run(about, config, listener))
    runs, _ = read_results(Path(config.results_dir), about)
    return next(run for run in runs if run["run_id"] == rows[0]["run_id"])


def _as_typed(task: Task, settings: Mapping[str, Any]) -> dict[str, str | bool]:
    """Settings as the command line has them, so that they are read and checked as there.

    Raises:
        ConfigError: a name is none, or a switch is neither on nor off.
    """
    fields = fields_of(task.config_class)
    flags = [f"--{name}" for name in ("row", *fields)]
    typed: dict[str, str | bool] = {}
    problems = []
    for name, value in settings.items():
        if value is None and name in fields:
            continue
        if name not in fields:
            meant = hint([f"--{name}"], flags) or "docs/flags.md lists all"
            problems.append(f"{name}: there is no such setting; {meant}")
        elif isinstance(fields[name].default, bool):
            if value not in (True, False):
                problems.append(f"--{name} {value!r}: is a switch; give True or False")
            typed[name] = bool(value)
        else:
            typed[name] = joined_labels(value) if isinstance(value, (list, tuple)) else str(value)
    if problems:
        raise ConfigError(problems)
    return typed


# ---- results --------------------------------------------------------------------------------------------------------


def load_results(results_dir: str | Path = RESULTS_DIR, *, task: str = SPAM.name) -> pd.DataFrame:
    """The results as a table: a line for each run and baseline, oldest first; the columns are those of the CSV.

    >>> load_results("results/demo")[["row", "seed", "test_acc"]]

    Accuracies are fractions, numbers have numbers' types, and what a run has not is missing; ``row`` is text, because
    baselines are named B1, B2, …. Lines that are no results are left out with a warning.

    Args:
        results_dir: the folder of the CSV.
        task: whose results.

    Raises:
        ResultsError: there are none, or they cannot be read.
    """
    about = _task(task)
    path = Path(results_dir) / about.csv_name
    if not path.is_file():
        raise ResultsError(f"{path}: no such file; give a folder that holds results")
    try:
        runs, problems = read_results(path.parent, about)
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror or error}; check the file's permissions") from None
    for line in problems:
        _warn(line)
    columns = list(runs[0].fields) if runs else list(about.columns)
    settings = fields_of(about.config_class).items()
    texts = {*TEXTS, *(name for name, field in settings if isinstance(field.metadata["usual"], str))}
    table = pd.DataFrame({name: _column([run[name] for run in runs], text=name in texts) for name in columns})
    return table.assign(timestamp_utc=pd.to_datetime(table["timestamp_utc"], utc=True))


def _column(cells: Sequence[str], *, text: bool) -> Any:
    """A column of the CSV in the first type that fits all its cells (pandas' own reader rounds the last digit)."""
    for kind, read in () if text or not any(cells) else KINDS.items():
        try:
            return pd.array([read(cell) if cell else None for cell in cells], dtype=kind)
        except (KeyError, ValueError):
            continue
    return pd.array([cell or None for cell in cells], dtype="string")


# ---- trained models -------------------------------------------------------------------------------------------------


def load_classifier(
    run: str | Path | FinishedRun = LATEST,
    *,
    results_dir: str | Path | None = None,
    threshold: float | None = None,
    device: str = "auto",
    models_dir: str | Path = "models",
    weights_path: str | Path | None = None,
    offline: bool = False,
) -> Classifier:
    """The classifier that a run with ``save_model`` kept, ready for messages; what ``classify.py`` answers with.

    >>> load_classifier("latest").predict(["see you at the pub"])

    Args:
        run: what :func:`run_experiment` gave; or its folder, its run id, or ``latest``, the newest that kept a model.
        results_dir: where to look for run ids and the latest; the folders ``results`` and ``results/demo`` if not
            given.
        threshold: of two labels, the probability from which on the second one (spam) is the answer; the likelier one
            if not given.
        device, models_dir, offline: as of a run.
        weights_path: of the base weights, if they are not where the run had them.

    Raises:
        ConfigError: the device is not there, or the threshold is no probability of two labels.
        NoModelError, ClassifierError, WeightsError, DownloadError: there is no such model, or it cannot be used.
    """
    own_weights = None if weights_path is None else str(weights_path)
    problems = [*threshold_problems(threshold), *weights_path_problems(own_weights)]
    try:
        device = read_device(device)
    except ValueError as error:
        problems.append(f"--device {device}: {error}")
    if problems:
        raise ConfigError(problems)
    where = None if results_dir is None else Path(results_dir)
    folder = run.folder if isinstance(run, FinishedRun) else find_folder(run, where, SPAM)
    saved = read_saved_run(folder)
    config = config_here(saved, device=device, models_dir=str(models_dir), offline=offline, weights_path=own_weights)
    return Classifier(saved, config, threshold)


class Classifier:
    """A trained model at use; made by :func:`load_classifier`.

    Attributes:
        folder: of the run that trained it.
        labels: names of the labels, in the order of an answer's probabilities and logits.
    """

    def __init__(self, saved: SavedRun, config: ExperimentConfig, threshold: float | None) -> None:
        self.folder, self.labels = saved.folder, saved.labels
        self._config = config
        with _computing(config):
            self._classifier = open_classifier(saved, config, threshold)
            self._familiar = seen_in_training(saved, config, SPAM, self._classifier.tokenizer)

    def __repr__(self) -> str:
        return f"<classifier of {self.folder}: {', '.join(self.labels)}>"

    def predict(self, messages: Iterable[str]) -> list[Answer]:
        """An answer for each message, in their order: ``label``, its ``probability``, ``probabilities`` and ``logits``
        of all labels, and how many ``tokens`` it has, of which the model ``read`` some or all.

        >>> [answer.label for answer in load_classifier().predict(["see you at the pub"])]

        Each message is read as in the run's training, so that its answer never depends on the others. Answers to
        messages of a kind that the model never saw come with a warning. ``pandas.DataFrame`` makes a table of the list.

        Raises:
            MessageError: a message cannot be classified; its number, from 1, is in the line, and none was answered.
        """
        if isinstance(messages, str):
            raise TypeError("predict takes a list of messages, not one text; put it in brackets")
        lines = [InputLine(number, _checked(number, message)) for number, message in enumerate(messages, start=1)]
        answers, remarks = [], []
        with _computing(self._config):
            for (reply,) in answer_lines([(self._classifier, self._familiar)], iter(lines)):
                if reply.answer is None:
                    raise MessageError(f"message {reply.line.number}: {reply.line.problem}")
                if reply.warning:
                    remarks.append(f"message {reply.line.number}: {reply.warning}")
                answers.append(reply.answer)
        if (more := len(remarks) - WARNINGS_TOLD) > 0:
            remarks[WARNINGS_TOLD:] = [f"{plural(more, 'more message')} of a kind that the model never saw"]
        for line in remarks:
            _warn(line)
        return answers


@contextmanager
def _computing(config: ExperimentConfig) -> Iterator[None]:
    """Within, with the threads of the configuration; afterwards the process is as it was."""
    with process_state_kept():
        if (threads := thread_count(config)) is not None:
            torch.set_num_threads(threads)
        yield


def _checked(number: int, message: object) -> str:
    if not isinstance(message, str):
        raise MessageError(f"message {number}: {message!r} is no text")
    try:
        check_message(message)
    except MessageError as error:
        raise MessageError(f"message {number}: {error}") from None
    return message
