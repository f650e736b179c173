"""What can carry out the runs of a plan, by the names that ``--engine`` takes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from ablation.sweep.local import LocalEngine
from ablation.sweep.options import SweepOptions
from ablation.sweep.outcome import Outcome
from ablation.sweep.plan import PlannedRun
from ablation.sweep.ray_engine import RayEngine
from ablation.sweep.state import Results


class Engine(Protocol):
    """Runs planned runs and adds them to the results."""

    def run_all(self, plan: Sequence[PlannedRun]) -> Generator[Outcome]:
        """Outcomes as they come. Whoever stops listening, or is interrupted, ends what still runs.

        Raises:
            ConfigError: the engine cannot be had as asked for.
            ResultsError: the results cannot be written.
        """
        ...


ENGINES: dict[str, Callable[[Results, SweepOptions], Engine]] = {"local": LocalEngine, "ray": RayEngine}
