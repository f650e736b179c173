"""What a sweep's command asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SweepOptions:
    """The sweep's own flags (``sweep.py --help`` says what each means), and those of the runner for every run."""

    rows: Sequence[int]
    seeds: Sequence[int]
    flags: tuple[str, ...] = ()
    shard: tuple[int, int] = (1, 1)
    jobs: int = 1
    dry_run: bool = False
    retry_failed: bool = False
    engine: str = "local"
    ray_address: str = "auto"
    num_cpus: int = 2
    num_gpus: float = 0.0

    @property
    def forced(self) -> bool:
        """Whether runs try even if memory looks too small."""
        return "--force" in self.flags
