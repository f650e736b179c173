"""What stands in each cell of the table and of the answers, the same in Markdown and in HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ablation.report.answers import Answer
from ablation.report.table import Line, Spread

NOTHING = "–"


@dataclass(frozen=True)
class Column:
    """A column: title, explanation, text of a cell, and what it is sorted by (numbers before none)."""

    title: str
    meaning: str
    text: Callable[[Line], str]
    order: Callable[[Line], float | str]


def percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f}"


def spread_text(spread: Spread) -> str:
    """``96.63``, or over several seeds ``96.63 ± 0.52 (95.7–97.3)``."""
    if spread.deviation is None:
        return percent(spread.mean)
    low, high = percent(spread.low, 1), percent(spread.high, 1)
    return f"{percent(spread.mean)} ± {percent(spread.deviation)} ({low}–{high})"


def interval_text(interval: tuple[float, float] | None) -> str:
    return NOTHING if interval is None else f"{percent(interval[0], 1)}–{percent(interval[1], 1)}"


def counted(values: Mapping[str, int]) -> str:
    """``A``, or ``2 mixed: A ×3, B ×2``, so that a cell never mixes in silence."""
    named = {value or "unknown": count for value, count in values.items()}
    if len(named) == 1:
        return next(iter(named))
    return f"{len(named)} mixed: " + ", ".join(f"{value} ×{count}" for value, count in named.items())


def minutes_text(line: Line) -> str:
    """One figure per condition: threads, features, execution. The one device of a line, the device column says."""
    said = set(line.devices) if len(line.devices) == 1 else set()
    texts = []
    for condition, minutes in line.minutes.items():
        own = ", ".join(part for part in condition.split(", ") if part not in said)
        texts.append(f"{minutes:.2f} ({own})" if own else f"{minutes:.2f}")
    return "; ".join(texts)


def device_text(line: Line) -> str:
    parts = [counted(line.devices)]
    if line.precision not in ("", "fp32"):
        parts.append(line.precision)
    if len(line.versions) > 1:
        parts.append(f"PyTorch {counted(line.versions)}")
    return ", ".join(parts)


def published_text(line: Line) -> str:
    """Training, validation and test accuracy, time and device as published."""
    if not line.published:
        return NOTHING
    figures = " / ".join(f"{100 * float(line.published[name]):.2f}" for name in ("training", "validation", "test"))
    return f"{figures}; {line.published['minutes']:.2f} min, {line.published['device']}"


def inside_text(line: Line) -> str:
    if not line.inside:
        return NOTHING
    return ", ".join(f"{name} {'yes' if inside else 'no'}" for name, inside in line.inside.items())


def _unseen(sense: str) -> Callable[[Line], str]:
    return lambda line: percent(line.unseen[sense][0]) if sense in line.unseen else NOTHING


def _unseen_order(sense: str) -> Callable[[Line], float]:
    return lambda line: line.unseen[sense][0] if sense in line.unseen else math.nan


def _accuracy(name: str) -> Column:
    return Column(
        f"{name.capitalize()} %",
        f"{name} accuracy: mean ± standard deviation over seeds (smallest–largest)",
        lambda line: spread_text(line.accuracies[name]),
        lambda line: line.accuracies[name].mean,
    )


def _row_text(line: Line) -> str:
    """A row's number, a baseline's name, or in parentheses the row that a variant is nearest to."""
    return line.name if line.row else f"({line.name.partition(' ')[0]})"


def _row_order(line: Line) -> float | str:
    """Published rows by number, then baselines, then variants by the row they are nearest to."""
    if line.name.isdecimal():
        return float(line.name)
    return f"A{line.name}" if line.row else f"V{line.name.partition(' ')[0]:0>2}"


COLUMNS: tuple[Column, ...] = (
    Column("Row", "published row or baseline; (n): differs from row n as the setting says", _row_text, _row_order),
    Column(
        "Setting", "what differs from row 1", lambda line: line.description or NOTHING, lambda line: line.description
    ),
    Column("Runs", "how many seeds", lambda line: str(len(line.seeds)), lambda line: len(line.seeds)),
    _accuracy("test"),
    Column(
        "Test, 95 %",
        "interval of the test accuracy: Wilson's for one run, over seeds and messages for several",
        lambda line: interval_text(line.intervals.get("test")),
        lambda line: line.intervals["test"][0] if "test" in line.intervals else math.nan,
    ),
    Column(
        "New, verbatim %",
        "test accuracy on messages that do not stand word for word in the training split",
        _unseen("verbatim"),
        _unseen_order("verbatim"),
    ),
    Column(
        "New, letters %",
        "test accuracy on messages whose letters do not occur in the training split",
        _unseen("letters"),
        _unseen_order("letters"),
    ),
    _accuracy("validation"),
    _accuracy("training"),
    Column("Minutes", "training time, mean", minutes_text, lambda line: min(line.minutes.values(), default=math.nan)),
    Column("Device", "where it ran; several are named", device_text, device_text),
    Column(
        "Published",
        "training / validation / test accuracy; training time and device",
        published_text,
        lambda line: float(line.published.get("test", math.nan)),
    ),
    Column("Inside", "whether the published figure lies inside our 95 % interval", inside_text, inside_text),
)


def filled_columns(lines: Sequence[Line]) -> list[Column]:
    """The columns in which any line has something to say."""
    return [column for column in COLUMNS if any(column.text(line) != NOTHING for line in lines)]


# ---- answers --------------------------------------------------------------------------------------------------------


def p_text(p: float | None) -> str:
    if p is None:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def points(value: float | None) -> str:
    """A difference in percentage points, with its sign."""
    return NOTHING if value is None else f"{100 * value:+.2f}"


def how_text(answer: Answer) -> str:
    return "; ".join([answer.method, *answer.notes])


ANSWER_COLUMNS: tuple[tuple[str, Callable[[Answer], str]], ...] = (
    ("Question", lambda answer: answer.question.text),
    ("Compared", lambda answer: answer.question.name),
    ("Verdict", lambda answer: answer.verdict or NOTHING),
    ("Seeds", lambda answer: str(answer.seeds)),
    ("Difference", lambda answer: points(answer.difference)),
    (
        "95 %",
        lambda answer: NOTHING if answer.interval is None else " to ".join(points(bound) for bound in answer.interval),
    ),
    ("p", lambda answer: p_text(answer.p)),
    ("p, Holm", lambda answer: p_text(answer.corrected)),
    ("p, sign flips", lambda answer: p_text(answer.sign_flip)),
    ("Could show", lambda answer: NOTHING if answer.smallest is None else f"{100 * answer.smallest:.2f}"),
    ("How, and what to know", how_text),
)
