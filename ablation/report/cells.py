"""What stands in each cell of the table and of the findings, the same in Markdown and in HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ablation.report.findings import Finding
from ablation.report.significance import p_words
from ablation.report.table import Figures, TableRow, counted
from ablation.results.task import Metric, Task

NOTHING = "–"


@dataclass(frozen=True)
class Column:
    """A column: title, explanation, text of a cell, what it is sorted by (numbers before none), whether it belongs
    into a table in ``brief``, and whether it stands in a ``narrow`` one."""

    title: str
    meaning: str
    text: Callable[[TableRow], str]
    order: Callable[[TableRow], float | str]
    brief: bool = True
    narrow: bool = False


def number_in(text: str) -> float | None:
    """The number that a cell of the results holds; None where it holds none, or one that is not finite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def shown(metric: Metric, value: float, digits: int = 2) -> str:
    return f"{metric.scale * value:.{digits}f}"


def percent(probability: float) -> str:
    """``98.4 %``; what is not certain is not said to be, and what is no number is not shown."""
    if math.isnan(probability):
        return NOTHING
    if 0.9995 <= probability < 1:
        return "> 99.9 %"
    return "< 0.1 %" if 0 < probability < 0.0005 else f"{100 * probability:.1f} %"


def spread_text(figures: Figures) -> str:
    """``96.63``, or over several seeds ``96.63 ± 0.52 (95.7–97.3)``."""
    metric = figures.metric
    if figures.deviation is None:
        return shown(metric, figures.mean)
    low, high = shown(metric, min(figures.values), 1), shown(metric, max(figures.values), 1)
    return f"{shown(metric, figures.mean)} ± {shown(metric, figures.deviation)} ({low}–{high})"


def interval_text(figures: Figures) -> str:
    return NOTHING if figures.interval is None else "–".join(shown(figures.metric, x, 1) for x in figures.interval)


def mixed_text(values: Mapping[str, int]) -> str:
    """``A``, or ``2 mixed: A ×3, B ×2``, so that a cell never mixes in silence."""
    return counted(values) if len(values) == 1 else f"{len(values)} mixed: {counted(values)}"


def minutes_text(row: TableRow) -> str:
    """One figure per condition: threads, features, execution. The one device of a row, the device column says."""
    said = set(row.devices) if len(row.devices) == 1 else set()
    texts = []
    for condition, minutes in row.minutes.items():
        own = ", ".join(part for part in condition.split(", ") if part not in said)
        texts.append(f"{minutes:.2f} ({own})" if own else f"{minutes:.2f}")
    return "; ".join(texts)


def device_text(row: TableRow) -> str:
    parts = [mixed_text(row.devices)]
    if row.precision not in ("", "fp32"):
        parts.append(row.precision)
    if len(row.versions) > 1:
        parts.append(f"PyTorch {mixed_text(row.versions)}")
    return ", ".join(parts)


def published_text(row: TableRow) -> str:
    """The metrics, time and device as published."""
    if not row.published:
        return NOTHING
    values = [(figures.metric, figures.published) for figures in row.figures.values()]
    figures = " / ".join(NOTHING if value is None else shown(metric, value) for metric, value in values)
    if "training_minutes" not in row.published:
        return f"{figures}; {row.published['source'].partition(';')[0]}"
    return f"{figures}; {float(row.published['training_minutes']):.2f} min, {row.published['device']}"


def inside_text(row: TableRow) -> str:
    known = [figures for figures in row.figures.values() if figures.inside is not None]
    return ", ".join(f"{figures.metric.label} {'yes' if figures.inside else 'no'}" for figures in known) or NOTHING


def _row_text(row: TableRow) -> str:
    """A row's number, a baseline's name, or in parentheses the row that a variant is nearest to."""
    return row.name if row.row else f"({row.name.partition(' ')[0]})"


def _row_order(row: TableRow) -> float | str:
    """Published rows by number, then baselines, then variants by the row they are nearest to."""
    if row.row.isdecimal():
        return float(row.row)
    return f"A{row.name}" if row.row else f"V{row.name.partition(' ')[0]:0>2}"


def _metric_column(metric: Metric, *, brief: bool, narrow: bool = False) -> Column:
    return Column(
        f"{metric.label.capitalize()} %" if metric.split else metric.label.capitalize(),
        f"{metric.title}: mean ± standard deviation over seeds (smallest–largest)",
        lambda row: spread_text(row.figures[metric.name]),
        lambda row: row.figures[metric.name].mean,
        brief,
        narrow,
    )


def _unseen_column(sense: str, metric: Metric, examples: str, *, brief: bool) -> Column:
    return Column(
        f"New, {sense} %",
        f"{metric.title} on {examples} that do not occur in the training split ({sense})",
        lambda row: shown(metric, row.unseen[sense].accuracy) if sense in row.unseen else NOTHING,
        lambda row: row.unseen[sense].accuracy if sense in row.unseen else math.nan,
        brief,
    )


def table_columns(task: Task, rows: Sequence[TableRow]) -> list[Column]:
    """The columns in which any row has something to say: what questions are about first."""
    headline = task.headline
    interval = Column(
        f"{headline.label.capitalize()}, 95 %",
        f"interval of the {headline.title}: Wilson's for one run, over seeds and {task.examples} for several",
        lambda row: interval_text(row.figures[headline.name]),
        lambda row: (row.figures[headline.name].interval or (math.nan,))[0],
        narrow=True,
    )
    senses = list(dict.fromkeys(sense for row in rows for sense in row.unseen))
    columns = [
        Column(
            "Row",
            "published row or baseline; (n): differs from row n as the setting says",
            _row_text,
            _row_order,
            narrow=True,
        ),
        Column(
            "Setting",
            "what differs from row 1",
            lambda row: row.description or NOTHING,
            lambda row: row.description,
            narrow=True,
        ),
        Column("Runs", "how many seeds", lambda row: str(len(row.seeds)), lambda row: len(row.seeds)),
        _metric_column(headline, brief=True, narrow=True),
        interval,
        *(_unseen_column(sense, headline, task.examples, brief=sense == senses[-1]) for sense in senses),
        *(_metric_column(metric, brief=False) for metric in reversed(task.metrics) if metric != headline),
        Column("Minutes", "training time, mean", minutes_text, lambda row: min(row.minutes.values())),
        Column("Device", "where it ran; several are named", device_text, device_text),
        Column(
            "Published",
            f"{' / '.join(metric.title for metric in task.metrics)}; training time and device",
            published_text,
            lambda row: published if (published := row.figures[headline.name].published) is not None else math.nan,
        ),
        Column("Inside", "whether the published figure lies inside our 95 % interval", inside_text, inside_text, False),
    ]
    return [column for column in columns if any(column.text(row) != NOTHING for row in rows)]


# ---- findings -------------------------------------------------------------------------------------------------------


def p_text(p: float | None) -> str:
    return NOTHING if p is None else p_words(p)


def points(value: float | None) -> str:
    """A difference in percentage points, with its sign."""
    return NOTHING if value is None else f"{100 * value:+.2f}"


def how_text(finding: Finding) -> str:
    return "; ".join([finding.method, *finding.notes])


FINDING_COLUMNS: tuple[tuple[str, Callable[[Finding], str]], ...] = (
    ("Question", lambda finding: finding.question.text),
    ("Compared", lambda finding: finding.question.name),
    ("Verdict", lambda finding: finding.verdict or NOTHING),
    ("Seeds", lambda finding: str(finding.seeds)),
    ("Difference", lambda finding: points(finding.difference)),
    ("95 %", lambda finding: " to ".join(map(points, finding.interval)) if finding.interval else NOTHING),
    ("p", lambda finding: p_text(finding.p)),
    ("p, Holm", lambda finding: p_text(finding.corrected)),
    ("p, sign flips", lambda finding: p_text(finding.sign_flip)),
    ("Could show", lambda finding: NOTHING if finding.smallest is None else f"{100 * finding.smallest:.2f}"),
    ("How, and what to know", how_text),
)
