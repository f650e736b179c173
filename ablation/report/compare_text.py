"""A comparison of two configurations as text for a terminal."""

from __future__ import annotations

import textwrap

from ablation.report.cells import p_text, percent, points
from ablation.report.compare import Change, Comparison
from ablation.words import plural

SHOWN_ON_SCREEN = 8  # examples of each direction; the page has them all
SHORTEST_TEXT = 20


def difference_line(comparison: Comparison) -> str:
    """The difference with its interval and p, in one line."""
    paired = comparison.paired
    low, high = paired.interval or (None, None)
    p = "" if paired.p is None else f", p {p_text(paired.p)} (this one comparison, not corrected for others)"
    return (
        f"{comparison.names[1]} minus {comparison.names[0]}, {plural(paired.seeds, 'common seed')}:"
        f" {points(paired.difference)} points of {comparison.split} accuracy, 95 % {points(low)} to {points(high)}{p}"
    )


def screen_lines(comparison: Comparison, width: int) -> list[str]:
    """The comparison as text of at most ``width`` columns."""
    sentences = [comparison.disclaimer] if comparison.disclaimer else []
    for name, row in zip(comparison.names, comparison.rows, strict=True):
        sentences += [f"{_sentence(name)}: {row.description}"] if row.description != row.name else []
    sentences += [f"{_sentence(comparison.verdict)}.", f"{_sentence(difference_line(comparison))}."]
    lines = [line for sentence in sentences for line in textwrap.wrap(sentence, width, subsequent_indent="  ")]
    how = "; ".join([comparison.paired.method, *comparison.paired.notes])
    lines += textwrap.wrap(f"({how})", width) if how not in comparison.verdict else []
    lines += ["", *_figure_lines(comparison, width)]
    how = "in how many runs right, and " if comparison.paired.seeds > 1 else ""
    lines += ["", *textwrap.wrap(f"What changed sides: {how}the probability given to the true label, (a) → (b)", width)]
    for heading, found in comparison.headings:
        lines += ["", *textwrap.wrap(_sentence(heading), width)]
        lines += [_change_line(change, comparison, width) for change in found[:SHOWN_ON_SCREEN]]
        if len(found) > SHOWN_ON_SCREEN:
            lines.append(f"  … and {len(found) - SHOWN_ON_SCREEN} more, on the page")
    return lines


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _figure_lines(comparison: Comparison, width: int) -> list[str]:
    heads = [f"({letter})" for letter in "ab"]
    lines = textwrap.wrap(f"(a) {comparison.names[0]}, (b) {comparison.names[1]}, each over all its seeds:", width)
    table = [("", *heads), *comparison.figures]
    widths = [max(len(line[i]) for line in table) for i in range(3)]
    for what, one, other in table:
        lines.append(f"  {what:<{widths[0]}}  {one:>{widths[1]}}  {other:>{widths[2]}}"[:width].rstrip())
    return lines


def _change_line(change: Change, comparison: Comparison, width: int) -> str:
    """``  spam  0/6 → 6/6   5 % → 98 %  Text …``; what a terminal would take for a command is left out."""
    seeds = comparison.paired.seeds
    counts = f"{change.right[0]}/{seeds} → {change.right[1]}/{seeds}  " if seeds > 1 else ""
    chances = " → ".join(f"{percent(probability):>8}" for probability in change.probability)
    widest = max(len(other.label) for other in (*comparison.won, *comparison.lost))
    start = f"  {counts}{change.label:<{widest}} {chances}  "
    text = "".join(c if c.isprintable() else " " for c in change.text) or f"number {change.index} of the split"
    return start + textwrap.shorten(text, max(SHORTEST_TEXT, width - len(start)), placeholder=" …")
