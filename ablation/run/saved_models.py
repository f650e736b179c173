"""Which runs kept a model: what a person chooses from, and which of them is the latest."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.config.experiment import ConfigError, variant_settings
from ablation.config.flags import typed
from ablation.config.settings import DEMO_RESULTS_DIR, RESULTS_DIR, fields_of
from ablation.data.labels import LABELS
from ablation.environment import python_command
from ablation.results.log import RUNS_FOLDER, ResultsError
from ablation.results.run_folder import TRAINED_PARAMETERS
from ablation.results.runs import OddRunError, read_run, run_files, task_of
from ablation.results.task import Task

LATEST = "latest"  # in place of a folder
LABELS_SHOWN = 12  # of a model's
MAKES_A_CLASSIFIER = "--demo --row 5 --save_model"  # the flags that are suggested where there is none


class NoModelError(Exception):
    """There is no saved model; the message says how to make one."""


@dataclass(frozen=True)
class SavedModel:
    """A run that kept its model: the folder, and what its ``run.json`` says."""

    folder: Path
    record: Mapping[str, Any]

    @property
    def when(self) -> str:
        return self.record["timestamp_utc"]


def saved_models(results_dir: Path | None, task: Task) -> list[SavedModel]:
    """The task's runs with a model in a results folder, newest first; None: where runs go if nothing is said. What is
    no run is left out."""
    found = []
    for file in (file for folder in _folders(results_dir) for file in run_files(folder)):
        if not (file.parent / TRAINED_PARAMETERS).is_file():
            continue
        try:
            record = read_run(file)
        except (OddRunError, ResultsError):
            continue
        if task_of(record) == task.name:
            found.append(SavedModel(file.parent, record))
    return sorted(found, key=_age, reverse=True)


def _age(model: SavedModel) -> tuple[str, str]:
    """The greater, the newer."""
    return model.when, model.folder.name


def latest(
    results_dir: Path | None, task: Task, makes_one: str = MAKES_A_CLASSIFIER, also: Sequence[Task] = ()
) -> SavedModel:
    """The newest of them.

    Args:
        makes_one: the flags with which the task's command makes a first one.
        also: further tasks whose models would do.

    Raises:
        NoModelError: there is none.
    """
    models = [model for one in (task, *also) for model in saved_models(results_dir, one)]
    if not models:
        raise NoModelError(_none(results_dir, task, makes_one))
    return max(models, key=_age)


def find_folder(
    named: str | Path,
    results_dir: Path | None,
    task: Task,
    makes_one: str = MAKES_A_CLASSIFIER,
    also: Sequence[Task] = (),
) -> Path:
    """The folder of a run that is named by it, by the run's id, or as :data:`LATEST`; what is none of these is handed
    back, for whoever opens it to say so.

    Args:
        makes_one, also: as for :func:`latest`.

    Raises:
        NoModelError: there is no latest.
    """
    if str(named) == LATEST:
        return latest(results_dir, task, makes_one, also).folder
    places = [Path(named), *(folder / RUNS_FOLDER / named for folder in _folders(results_dir))]
    return next((place for place in places if place.is_dir()), places[0])


def _folders(results_dir: Path | None) -> list[Path]:
    return [Path(RESULTS_DIR), Path(DEMO_RESULTS_DIR)] if results_dir is None else [results_dir]


# ---- shown ----------------------------------------------------------------------------------------------------------


def describe_all(results_dir: Path | None, task: Task, width: int) -> str:
    """Lines for a person: the models, or how to make one."""
    models = saved_models(results_dir, task)
    if not models:
        return _none(results_dir, task, MAKES_A_CLASSIFIER)
    described = [describe_model(model, task, width) for model in models]
    use = f'{python_command()} classify.py --model latest{_flag(results_dir)} "a message"'
    return "\n".join(["saved models, newest first:", *described, f"to use the first: {use}"])


def _flag(results_dir: Path | None) -> str:
    return "" if results_dir is None else f" --results_dir {shlex.quote(str(results_dir))}"


def _none(results_dir: Path | None, task: Task, makes_one: str) -> str:
    where = " or ".join(str(folder) for folder in _folders(results_dir))
    command = f"{python_command()} {task.command} {makes_one}{_flag(results_dir)}"
    return f"no saved model in {where}; to make one: {command}"


def describe_model(model: SavedModel, task: Task, width: int) -> str:
    """The folder, which can be pasted; below it row or settings, how good it is, and when it was trained."""
    record, split = model.record, task.headline.split
    parts = [_settings(record, task), f"seed {record.get('seed')}"]
    if record.get("demo"):
        parts.append("demo")
    if (labels := tuple(record.get("labels", LABELS))) != tuple(LABELS):
        more = f" and {len(labels) - LABELS_SHOWN} more" if len(labels) > LABELS_SHOWN else ""
        parts.append(f"labels {'/'.join(labels[:LABELS_SHOWN])}{more}")
    right, total = record.get(f"{split}_correct"), record.get(f"{split}_total")
    if isinstance(right, int) and isinstance(total, int) and total:
        parts.append(f"{task.headline.label} {right / total:.2%} ({right} of {total})")
    wrap = textwrap.TextWrapper(width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return f"{model.folder}\n" + wrap.fill(f"{', '.join(parts)}; {model.when.replace('T', ' ')[:16]} UTC")


def _settings(record: Mapping[str, Any], task: Task) -> str:
    """The row, or what differs from row 1."""
    if record.get("row"):
        return f"row {record['row']}"
    fields = fields_of(task.config_class)
    known = {name: record[name] for name, field in fields.items() if field.metadata["identity"] and name in record}
    try:
        settings = variant_settings(task.config_class(**known))
    except (ConfigError, TypeError):  # of another version
        return "no row"
    return typed({name: value for name, value in settings.items() if name != "demo"}) or "the defaults"
