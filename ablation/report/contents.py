"""Everything the report says, gathered before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.config.shapes import NANO
from ablation.data.demo import DISCLAIMER
from ablation.report.findings import Finding, answer_all, baselines_command, row_key, sweep_command, with_commands
from ablation.report.groups import Group, group_runs
from ablation.report.significance import SEEDS_FOR_A_TEST
from ablation.report.table import TableRow, make_table
from ablation.results.questions import BEST_BASELINE, Family, Question
from ablation.results.read import DATA_DIGEST, as_row, read_results
from ablation.results.task import Likeness, Task
from ablation.words import plural


@dataclass(frozen=True)
class Contents:
    """The report.

    Attributes:
        problems: lines of the results that could not be read.
        notes: runs that were left out, and what is missing besides.
        missing: (what is missing, the command that makes it).
        disclaimer: of a report on demo runs.
    """

    task: Task
    groups: list[Group]
    rows: list[TableRow]
    findings: list[Finding]
    likeness: Likeness | None
    problems: list[str]
    notes: list[str]
    missing: list[tuple[str, str]]
    disclaimer: str = ""

    @property
    def runs(self) -> int:
        return sum(len(group.runs) for group in self.groups)

    @property
    def left_out(self) -> list[str]:
        return [*self.notes, *self.problems]

    @property
    def families(self) -> list[Family]:
        return list(dict.fromkeys(finding.question.family for finding in self.findings))

    def answered(self, family: Family) -> list[Finding]:
        return [finding for finding in self.findings if finding.question.family == family and not finding.absent]

    def unanswered(self, family: Family) -> list[Finding]:
        """Those for whose questions results are absent."""
        return [finding for finding in self.findings if finding.question.family == family and finding.absent]


def gather(task: Task, results_dir: Path, data_dir: Path) -> Contents:
    """Read the results of a task and its data, and work everything out.

    Raises:
        OSError: the results cannot be read.
    """
    runs, problems = read_results(results_dir, task)
    demo = bool(runs) and all("demo" in run.settings for run in runs)
    likeness, reason = task.likeness(data_dir, demo=demo)
    if demo:
        runs = [as_row(run, likeness.digest if likeness else run[DATA_DIGEST]) for run in runs]
    groups, notes = group_runs(runs)
    if likeness is not None and groups and not any(group.own(likeness) for group in groups):
        reason = (
            f"all results are of an older miniature, whose {task.examples} were others; train anew"
            if demo
            else f"the {task.examples} in {data_dir} are not those of the results; give their folder with --data_dir"
        )
        likeness = None
    if likeness is None:
        notes.insert(
            0,
            f"{reason}. Without them: no accuracy on new {task.examples}, and intervals that take {task.examples} that"
            " are alike for different ones",
        )
    if demo:
        notes.append(f"rows that name a larger GPT-2 ran with {NANO}, as row 1 did; questions about size are left out")
    known = "this miniature's" if demo else "the published ones"
    digests = Counter(run.settings[DATA_DIGEST] for run in runs if DATA_DIGEST in run.settings)
    notes += [
        f"{plural(count, 'run')} on other {task.examples} than {known}"
        f" (data digest {digest[:8]}): variants of their own, compared with no row"
        for digest, count in digests.items()
    ]
    rows = make_table(task, groups, likeness, demo=demo)
    for row in rows:
        notes += [f"{row.name}: no interval over {task.examples}: {problem}" for problem in row.problems]
    questions = task.demo_questions if demo else task.questions
    findings = [with_commands(finding, demo=demo) for finding in answer_all(task, groups, likeness, questions)]
    return Contents(
        task, groups, rows, findings, likeness, problems, notes,
        _missing(task, groups, questions, demo=demo), DISCLAIMER if demo else "",
    )  # fmt: skip


def _missing(task: Task, groups: list[Group], questions: Sequence[Question], *, demo: bool) -> list[tuple[str, str]]:
    """Rows, each as its family has it, and baselines that the questions need and have not enough of."""
    seeds = {group.key: len(group.runs) for group in groups}
    missing = []
    for family in dict.fromkeys(question.family for question in questions):
        sides = {side for question in questions if question.family == family for side in question.sides}
        rows = sorted(sides - {BEST_BASELINE}, key=int)
        counts = {row: seeds.get(row_key(task, family, row), 0) for row in rows}
        few = [row for row in rows if 0 < counts[row] < SEEDS_FOR_A_TEST]
        none = [row for row in rows if counts[row] == 0]
        for what, chosen in (("no results", none), (f"fewer than {SEEDS_FOR_A_TEST} seeds", few)):
            if chosen:
                command = sweep_command(chosen, family, demo=demo)
                missing.append((f"{what}: rows {', '.join(chosen)}{family.suffix}", command))
    absent = [name for name in task.baselines if name not in seeds]
    if absent:
        missing.append((f"no results: baselines {', '.join(absent)}", baselines_command(absent, demo=demo)))
    return missing
