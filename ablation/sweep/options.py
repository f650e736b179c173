"""What a sweep's command asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SweepOptions:
    """Attributes:
    rows, seeds: of which each with each is a run.
    flags: of the runner, for every run.
    shard: which part (from 1) of how many of the plan.
    jobs: runs at a time on this machine.
    dry_run: show the plan alone.
    retry_failed: try runs again that failed in an earlier sweep.
    engine: name of what carries the plan out.
    ray_address: of the Ray cluster.
    num_cpus, num_gpus: what Ray sets aside for each run; a fraction of a GPU lets runs share one.
    """

    rows: tuple[int, ...]
    seeds: tuple[int, ...]
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
