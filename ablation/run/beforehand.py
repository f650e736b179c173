"""What is known to fail before anything is loaded, said before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from ablation.config.settings import CommonSettings
from ablation.results.runs import check_writable, complete
from ablation.results.task import Task
from ablation.run.inputs import resolve_device
from ablation.run.kinds import check_memory


def check_beforehand(task: Task, config: CommonSettings, *, force: bool = False) -> list[str]:
    """Refuse a run that this machine or its results folder cannot take.

    Args:
        force: try even if the memory looks too small.

    Returns:
        One line for each place where the results were damaged; they are repaired.

    Raises:
        ConfigError: the device is not there, the memory is too small, or the folder cannot be written to.
        ResultsError: the results are damaged, and what they had is held nowhere else.
    """
    device = resolve_device(config)
    if not force:
        check_memory(config, device)
    results_dir = Path(config.results_dir)
    repaired = complete(results_dir, task)
    check_writable(results_dir, task)
    return repaired
