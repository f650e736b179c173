"""What a command is told about its configuration that only the plan of its execution knows."""

from __future__ import annotations

from ablation.config.experiment import ExperimentConfig
from ablation.execution.plan import make_plan


def recording_remarks(config: ExperimentConfig) -> list[str]:
    """One line if ``--execution recorded`` records nothing: only steps of equal shapes share a recording."""
    if config.execution != "recorded" or make_plan(config).one_length:
        return []
    return ["--execution recorded has no effect where messages are seen at different lengths: as planned"]
