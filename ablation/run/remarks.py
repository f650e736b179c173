"""What a command is told about its configuration that only the plan of its execution knows."""

from __future__ import annotations

from ablation.config.experiment import ExperimentConfig


def recording_remarks(config: ExperimentConfig) -> list[str]:
    """One line if ``--execution recorded`` records nothing: only steps of equal shapes share a recording."""
    if config.execution != "recorded" or _one_length(config):
        return []
    return ["--execution recorded has no effect where messages are seen at different lengths: as planned"]


def _one_length(config: ExperimentConfig) -> bool:
    if config.disable_causal_mask:
        return not config.no_padding
    return config.trainable_token_pos == "first" or (config.trainable_token_pos == "last" and not config.no_padding)
