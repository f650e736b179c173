"""The interval of a share, for whoever shows one."""

from __future__ import annotations

LEVEL = 0.95


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion (E. B. Wilson, JASA 22, 1927, p. 209).

    Raises:
        ValueError: a count is negative or larger than its total, or a total is not positive.
    """
    from scipy import stats

    if not 0 <= correct <= total or total == 0:
        raise ValueError(f"{correct} of {total}: give counts from 0 to a positive total")
    interval = stats.binomtest(correct, total).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)
