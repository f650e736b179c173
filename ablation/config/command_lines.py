"""How experiments of each task are asked for, by its name: what a command knows of tasks before it imports one."""

from __future__ import annotations

from collections.abc import Mapping

from ablation.config.flags import EXPERIMENTS, CommandLine
from ablation.config.generation import LanguageModelConfig
from ablation.config.generation_rows import GENERATION

SPAM = "spam"  # the first task, whose configuration has no name of its own
COMMAND_LINES: Mapping[str, CommandLine] = {SPAM: EXPERIMENTS, LanguageModelConfig.TASK: GENERATION}
