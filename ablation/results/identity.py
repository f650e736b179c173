"""What rows and folders are called by, and what a row says of its run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ablation.config.experiment import FIELDS, ExperimentConfig, config_hash
from ablation.config.rows import row_number


def run_id(row: str, seed: int, hash_of_config: str, at: datetime) -> str:
    """``<row>-<seed>-<first 8 of the hash>-<UTC time>``; the row is ``custom`` where it is none of the published."""
    return f"{row or 'custom'}-{seed}-{hash_of_config[:8]}-{at:%Y%m%dT%H%M%S.%fZ}"


def config_fields(config: ExperimentConfig, at: datetime, foreign: Mapping[str, str] = {}) -> dict[str, Any]:
    """What a row says of a run by its configuration and the time it ended.

    Args:
        foreign: digests of base weights and data other than the published ones; part of what the run is.
    """
    row = row_number(config, foreign)
    hash_of_config = config_hash(config, foreign)
    return {
        "run_id": run_id(str(row or ""), config.seed, hash_of_config, at),
        "timestamp_utc": at.isoformat(timespec="seconds"),
        "row": row,
        **{name: getattr(config, name) for name in FIELDS},
        "config_hash": hash_of_config,
    }
