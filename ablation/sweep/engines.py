"""What can carry out the runs of a plan, by the names that ``--engine`` takes."""

from __future__ import annotations

from ablation.sweep.local import LocalEngine
from ablation.sweep.plan import LOCAL, RAY
from ablation.sweep.ray_engine import RayEngine

Engine = LocalEngine | RayEngine
ENGINES: dict[str, type[Engine]] = {LOCAL: LocalEngine, RAY: RayEngine}
