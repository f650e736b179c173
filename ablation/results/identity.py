"""What rows and folders are called by, and what a row says of its run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ablation.config.experiment import config_hash
from ablation.config.rows import find_row
from ablation.config.settings import CommonSettings, fields_of
from ablation.results.task import Task


def run_id(row: str, seed: int, hash_of_config: str, at: datetime) -> str:
    """``<row>-<seed>-<first 8 of the hash>-<UTC time>``; the row is ``custom`` where it is none of the published."""
    return f"{row or 'custom'}-{seed}-{hash_of_config[:8]}-{at:%Y%m%dT%H%M%S.%fZ}"


def config_fields(
    task: Task, config: CommonSettings, at: datetime, foreign: Mapping[str, str] = {}
) -> dict[str, Any]:
    """What a row says of a run by its configuration and the time it ended.

    Args:
        foreign: digests of base weights and data other than the published ones; part of what the run is.
    """
    row = find_row(task.rows, config, foreign)
    hash_of_config = config_hash(config, foreign)
    return {
        "run_id": run_id(str(row or ""), config.seed, hash_of_config, at),
        "timestamp_utc": at.isoformat(timespec="seconds"),
        "row": row,
        **{name: getattr(config, name) for name in fields_of(type(config))},
        "config_hash": hash_of_config,
    }
