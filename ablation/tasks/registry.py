"""The tasks there are, by name."""

from __future__ import annotations

from collections.abc import Mapping

from ablation.results.task import Task
from ablation.tasks.language_model import LANGUAGE_MODEL
from ablation.tasks.spam import SPAM

TASKS: Mapping[str, Task] = {task.name: task for task in (SPAM, LANGUAGE_MODEL)}
