"""What the runs of a sweep read, looked at once before the first of them: fetched where it may be, else refused."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

from ablation.config.classifier_settings import ClassifierSettings
from ablation.config.settings import RANDOM, CommonSettings, ConfigError
from ablation.data.held_out import load_held_out_text
from ablation.files.needed import files_to_fetch, how_to_fetch
from ablation.listener import Listener
from ablation.results.task import Task
from ablation.run.inputs import EXPECTED_FAILURES, open_tokenizer, open_weights, resolve_device
from ablation.run.kinds import check_memory
from ablation.sweep.lists import write_rows
from ablation.sweep.plan import PlannedRun
from ablation.sweep.state import data_settings


def check_inputs(task: Task, runs: Sequence[PlannedRun], *, forced: bool) -> list[str]:
    """One line for each thing that runs need and cannot have; fetches what is missing and may be fetched.

    Runs that do not fit the memory are not asked: they will be skipped.

    Raises:
        ConfigError: the device asked for is not there.
    """
    first = {run.variant: run for run in reversed(runs)}  # seeds change nothing
    asked = [run for run in reversed(first.values()) if forced or _fits(run.config)]
    return _lacking(asked) or list(dict.fromkeys(_problems(task, asked)))


def _fits(config: CommonSettings) -> bool:
    device = resolve_device(config)
    try:
        check_memory(config, device)
    except ConfigError:
        return False
    return True


def _lacking(runs: Sequence[PlannedRun]) -> list[str]:
    """What runs that may not fetch anything lack, and which rows need it."""
    rows: dict[tuple[str, str, str], set[int]] = {}
    for run in runs:
        for kind, files in files_to_fetch(run.config).items() if run.config.offline else ():
            key = kind, str(files[0][0].parent), how_to_fetch(run.config, (kind,))
            rows.setdefault(key, set()).add(run.row)
    everybody = {run.row for run in runs}
    return [
        f"--offline, and no {kind} in {folder} (for {'all rows' if own == everybody else write_rows(own)});"
        f" on a connected machine: {command}, and copy it there"
        for (kind, folder, command), own in rows.items()
    ]


def _problems(task: Task, runs: Sequence[PlannedRun]) -> list[str]:
    """Why inputs cannot be opened, each looked at once."""
    found: list[str] = []
    looked_at: set[Hashable] = set()
    for run in runs:
        config = run.config
        # What is opened, and what it depends on.
        inputs: list[tuple[Hashable, Callable[[], Any]]] = [
            (("vocabulary", config.model_in_use), partial(open_tokenizer, config)),
            (("data", *data_settings(task, config)), partial(task.load, config, Listener())),
        ]
        if isinstance(config, ClassifierSettings):
            inputs.append(("held-out text", partial(load_held_out_text, config)))
        if config.weights != RANDOM:
            base = "weights", config.model_in_use, config.weights_path
            inputs.append((base, partial(open_weights, config, Listener())))
        for key, opened in inputs:
            if key not in looked_at:
                looked_at.add(key)
                try:
                    opened()
                except EXPECTED_FAILURES as error:
                    found.append(str(error))
    return found
