"""What questions and claims still need: rows, variants of rows and baselines, with the commands that make them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablation.config.flags import typed
from ablation.report.findings import keyed, row_key
from ablation.report.groups import Group
from ablation.report.significance import SEEDS_FOR_A_TEST
from ablation.report.suggestions import Suggestions
from ablation.results.claims import Claim
from ablation.results.questions import (
    BEST_BASELINE,
    Family,
    Question,
    Side,
    apart,
    base_of_side,
    beside_row,
    is_baseline_name,
    row_and_settings,
    side_name,
)
from ablation.results.task import Task

# What rows are run with besides their own settings, on which language model, and how they are evaluated.
Conditions = tuple[str, str, str]


def missing_lines(
    task: Task,
    groups: Sequence[Group],
    questions: Sequence[Question],
    claims: Sequence[Claim],
    suggest: Suggestions,
    *,
    chapter: bool,
) -> list[tuple[str, str]]:
    """(What is missing, the command that makes it), rows each as its family has it.

    Args:
        chapter: whether the report has the chapter that some families belong to; if not, the rows that would begin it
            are listed, and no variants of them.
    """
    seeds = {key: len(group.runs) for key, group in keyed(groups).items()}
    lines: list[tuple[str, str]] = []
    seen: set[str] = set()
    for family, suffix, sides in _wanted(task, questions, claims, chapter=chapter):
        counts = {side: seeds.get(row_key(task, family, side), 0) for side in sides}
        new = [side for side in sides if not family.chapter or row_key(task, family, side) not in seen]
        seen |= {row_key(task, family, side) for side in sides}
        few = [side for side in new if 0 < counts[side] < SEEDS_FOR_A_TEST]
        none = [side for side in new if counts[side] == 0]
        for what, chosen in (("no results", none), (f"fewer than {SEEDS_FOR_A_TEST} seeds", few)):
            if chosen:
                names = ", ".join(row_and_settings(side)[0] for side in chosen)
                rows = "rows" if isinstance(chosen[0], str) else "row"
                lines.append((f"{what}: {rows} {names}{suffix}", suggest.sweep(chosen, family)))
    for family, side in _baselines_asked_for(questions):
        if side not in task.quick_baselines and not seeds.get(row_key(task, family, side)):
            lines.append((f"no results: {side_name(side)}{family.suffix}", suggest.baseline(side, family)))
    absent = [name for name in task.quick_baselines if name not in seeds]
    if absent:
        lines.append((f"no results: baselines {', '.join(absent)}", suggest.baselines(absent)))
    return lines


def _wanted(
    task: Task, questions: Sequence[Question], claims: Sequence[Claim], *, chapter: bool
) -> Iterator[tuple[Family, str, list[Side]]]:
    """A family, what follows the rows' names, and its sides with the same settings in the same set of rows, ascending;
    those of the published table before those of a chapter."""
    found: dict[tuple[str, Conditions, str], tuple[Family, str, dict[int, Side]]] = {}
    set_of = {row: name for name, rows in reversed(list(task.command_line.row_sets.items())) for row in rows}
    asked = [(claim.family, pair) for claim in claims if not claim.why_not for pair in claim.compared]
    asked += [(question.family, question.sides) for question in questions]
    for family, sides in sorted(asked, key=lambda one: one[0].chapter):
        for side in sides:
            row, settings = row_and_settings(side)
            if row == BEST_BASELINE or is_baseline_name(row) or (settings and not chapter):
                continue
            base = "" if base_of_side(side) is None else beside_row(side)
            conditions = typed({**family.overrides, **settings}), base, typed(family.evaluation)
            suffix = family.suffix + beside_row(side)
            key = family.chapter, conditions, set_of.get(int(row), "")
            found.setdefault(key, (family, suffix, {}))[2][int(row)] = side
    for family, suffix, by_row in found.values():
        yield family, suffix, [by_row[row] for row in sorted(by_row)]


def _baselines_asked_for(questions: Sequence[Question]) -> Iterator[tuple[Family, Side]]:
    """Each baseline that a question names, once; no variants of them, as of rows without their chapter."""
    seen = set()
    for question in questions:
        for side in apart(question.sides)[0]:
            if isinstance(side, str) and (name := side_name(side) + question.family.suffix) not in seen:
                seen.add(name)
                yield question.family, side
