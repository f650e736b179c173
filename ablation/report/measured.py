"""Times and memory of two configurations, by medians of runs under the same conditions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ablation.report.groups import GPU, Group, condition
from ablation.report.significance import SEEDS_FOR_A_TEST, SEEDS_IN_WORDS
from ablation.results.claims import Measured
from ablation.words import plural


@dataclass(frozen=True)
class Ratio:
    """The first side in units of the second.

    Attributes:
        interval: from the middle halves of both sides' runs; None if they cannot be compared.
        medians: of both sides.
        method: how they were compared, or why they were not.
        enough: whether the runs are enough for a verdict.
    """

    method: str
    interval: tuple[float, float] | None = None
    medians: tuple[float, float] = (math.nan, math.nan)
    enough: bool = False


def measure(quantity: Measured, first: Group, second: Group) -> Ratio:
    """Compare a column of the results where most runs of both sides were under the same conditions."""
    values = _by_condition(quantity, first), _by_condition(quantity, second)
    common = sorted(set(values[0]) & set(values[1]))
    if not common and quantity.of_host and _on_gpu(first) and _on_gpu(second):
        return Ratio("rows keep the memory of the machine, not that of a GPU; runs with --device cpu would tell")
    if not values[0] or not values[1]:
        return Ratio("the results have no such figure of both")
    if not common:
        return Ratio("no two runs of them under the same conditions (device, threads, execution, features at hand)")
    where = max(common, key=lambda name: min(len(side[name]) for side in values))
    sides = [np.array(side[where]) for side in values]
    (low, middle, high), (other_low, other_middle, other_high) = (
        np.quantile(side, (0.25, 0.5, 0.75)).tolist() for side in sides
    )
    count = " and ".join(str(len(side)) for side in sides)
    method = f"medians of {count} runs on {where}"
    fewest = min(map(len, sides))
    enough = fewest >= SEEDS_FOR_A_TEST  # fewer show too little of what repeated runs differ by
    if not enough:
        few = "a single run: another may say otherwise" if fewest == 1 else plural(fewest, "run")
        method += f"; figures only, of {few}: a verdict takes {SEEDS_IN_WORDS} runs of both"
    widened = 1 + quantity.margin
    interval = (low / other_high / widened, high / other_low * widened)
    return Ratio(method, interval, (middle, other_middle), enough)


def _by_condition(quantity: Measured, group: Group) -> dict[str, list[float]]:
    """The positive values of a group's runs by the conditions under which they are comparable."""
    values: dict[str, list[float]] = {}
    for run in group.runs.values():
        try:
            value = float(run[quantity.column])
        except ValueError:
            continue
        if math.isfinite(value) and value > 0 and not (quantity.of_host and GPU in run["device_name"]):
            values.setdefault(condition(run), []).append(value)
    return values


def _on_gpu(group: Group) -> bool:
    return all(GPU in run["device_name"] for run in group.runs.values())
