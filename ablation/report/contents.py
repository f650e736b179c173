"""Everything the report says, gathered before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.config.shapes import NANO
from ablation.data.demo import DISCLAIMER
from ablation.report.answers import (
    DEFAULT_SEEDS,
    Answer,
    answer_all,
    baselines_command,
    sweep_command,
    with_commands,
)
from ablation.report.groups import Group, group_runs
from ablation.report.messages import Messages, load_demo_messages, load_messages
from ablation.report.questions import DEMO_QUESTIONS, MAIN, QUESTIONS, RANDOM_TWINS, Question
from ablation.report.significance import SEEDS_FOR_A_TEST
from ablation.report.table import Line, make_table
from ablation.results.read import as_row, read_results


@dataclass(frozen=True)
class Contents:
    """The report.

    Attributes:
        problems: lines of the results that could not be read.
        notes: runs that were left out, and what is missing besides.
        missing: (what is missing, the command that makes it).
    """

    groups: list[Group]
    lines: list[Line]
    answers: list[Answer]
    messages: Messages | None
    problems: list[str]
    notes: list[str]
    missing: list[tuple[str, str]]
    disclaimer: str = ""  # of a report on demo runs

    @property
    def runs(self) -> int:
        return sum(len(group.runs) for group in self.groups)

    def answered(self, family: str) -> list[Answer]:
        return [a for a in self.answers if a.question.family == family and not a.absent]

    def unanswered(self, family: str) -> list[Answer]:
        """Those for whose questions results are absent."""
        return [a for a in self.answers if a.question.family == family and a.absent]


def gather(results_dir: Path, data_dir: Path, baselines: Mapping[str, str]) -> Contents:
    """Read results and messages and work everything out; ``baselines`` describes them by name.

    Raises:
        OSError: the results cannot be read.
    """
    runs, problems = read_results(results_dir)
    messages, reason = load_messages(data_dir)
    is_demo = bool(runs) and all("demo" in run.settings for run in runs)
    if is_demo:
        runs, messages, reason = [as_row(run) for run in runs], load_demo_messages(), ""
    groups, notes = group_runs(runs, None if messages is None else messages.digest)
    if messages is not None and groups and groups[0].first["data_digest"] != messages.digest:
        reason = f"the messages in {data_dir} are not those of the results; give their folder with --data_dir"
        messages = None
    if messages is None:
        notes.insert(
            0,
            f"{reason}. Without them: no accuracy on new messages, and intervals that take messages of the same letters"
            " for different ones",
        )
    if is_demo:
        notes.append(f"rows that name a larger GPT-2 ran with {NANO}, as row 1 did; questions about size are left out")
    lines = make_table(groups, messages, baselines, demo=is_demo)
    for line in lines:
        notes += [f"{line.name}: no interval over messages: {note}" for note in line.notes]
    questions = DEMO_QUESTIONS if is_demo else QUESTIONS
    answers = [with_commands(answer, demo=is_demo) for answer in answer_all(groups, messages, questions)]
    return Contents(
        groups, lines, answers, messages, problems, notes,
        _missing(groups, questions, list(baselines), demo=is_demo), DISCLAIMER if is_demo else "",
    )  # fmt: skip


def _missing(
    groups: list[Group], questions: Sequence[Question], baselines: list[str], *, demo: bool
) -> list[tuple[str, str]]:
    """Published rows, their twins with random weights, and baselines that the questions need and have not enough of."""
    seeds = {group.key: len(group.runs) for group in groups}
    missing = []
    for family in (MAIN, RANDOM_TWINS):
        counts: dict[str, int] = {}
        for question in (question for question in questions if question.family == family):
            for side in (question.first, question.second):
                if (key := question.key(side)) is not None:
                    counts[side] = seeds.get(key, 0)
        counts = dict(sorted(counts.items(), key=lambda item: int(item[0])))
        suffix = ", random weights" if family == RANDOM_TWINS else ""
        for what, rows in (
            ("no results", [row for row, count in counts.items() if count == 0]),
            (
                f"fewer than {SEEDS_FOR_A_TEST} seeds",
                [row for row, count in counts.items() if 0 < count < SEEDS_FOR_A_TEST],
            ),
        ):
            if rows:
                command = sweep_command(rows, random=family == RANDOM_TWINS, seeds=DEFAULT_SEEDS, demo=demo)
                missing.append((f"{what}: rows {', '.join(rows)}{suffix}", command))
    absent = [name for name in baselines if name not in seeds]
    if absent:
        missing.append((f"no results: baselines {', '.join(absent)}", baselines_command(absent, demo=demo)))
    return missing
