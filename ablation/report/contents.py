"""Everything the report says, gathered before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ablation.config.own_data import recorded_flags, records_own_data
from ablation.config.shapes import NANO
from ablation.data.demo import disclaimer
from ablation.report.answer import plain_answer
from ablation.report.chosen import Choice, choose, shown_groups
from ablation.report.claims import ClaimFinding, answer_claims
from ablation.report.findings import Finding, answer_all, with_commands
from ablation.report.groups import Group, group_runs, sound_groups
from ablation.report.learning_curves import LearningCurves, learning_curves
from ablation.report.methods_chapter import Chapter, methods_chapter
from ablation.report.missing import missing_lines
from ablation.report.suggestions import Suggestions
from ablation.report.table import TableRow, lost_text, make_table
from ablation.report.tried import TriedTable, own_rate_note, tried_tables
from ablation.results.questions import Family
from ablation.results.read import DATA_DIGEST, FinishedRun, as_row, read_results
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
        answer: what the results say, in plain sentences, to be read before any table.
        claims: what the runs say to the published claims.
        reference_rows: rows of other results, shown beside and never mixed in.
        choices: of learning rates, where several were tried; ``tried`` says what they are.
        chapter: on the ways to fine-tune; empty where too few were run.
        curves: over the number of training examples; empty where none was run on two of them.
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
    answer: list[str] = field(default_factory=list)
    claims: list[ClaimFinding] = field(default_factory=list)
    reference_rows: list[TableRow] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    tried: list[TriedTable] = field(default_factory=list)
    chapter: Chapter = field(default_factory=Chapter)
    curves: LearningCurves = field(default_factory=LearningCurves)

    @property
    def runs(self) -> int:
        tried = [one.group for choice in self.choices for one in choice.tried]
        return sum(len(group.runs) for group in {group.key: group for group in [*self.groups, *tried]}.values())

    def on_all_examples(self) -> Contents:
        """The same without the rows that were trained on the first so many examples alone, if there are others."""
        kept = [one for one in zip(self.groups, self.rows, strict=True) if one[0].first_examples is None]
        return replace(self, groups=[g for g, _ in kept], rows=[r for _, r in kept]) if kept else self

    def without_texts(self) -> Contents:
        """The same without any example's text."""
        likeness = None if self.likeness is None else replace(self.likeness, texts={})
        return replace(self, likeness=likeness)

    @property
    def left_out(self) -> list[str]:
        return [*self.notes, *self.problems]

    @property
    def families(self) -> list[Family]:
        """Those that belong to no chapter."""
        return [family for family in self._families if not family.chapter]

    @property
    def chapter_families(self) -> list[Family]:
        """Those of the chapter."""
        return [family for family in self._families if family.chapter]

    @property
    def _families(self) -> list[Family]:
        return list(dict.fromkeys(finding.question.family for finding in self.findings))

    def answered(self, family: Family) -> list[Finding]:
        return [finding for finding in self.findings if finding.question.family == family and not finding.absent]

    def unanswered(self, family: Family) -> list[Finding]:
        """Those for whose questions results are absent."""
        return [finding for finding in self.findings if finding.question.family == family and finding.absent]


def gather(task: Task, results_dir: Path, data_dir: Path, reference_dir: Path | None = None) -> Contents:
    """Read the results of a task and its data, and work everything out.

    Args:
        reference_dir: of other results, whose rows are shown beside; they take no part in anything else.

    Raises:
        OSError: the results cannot be read.
        ResultsError: what is published of the task is not there.
    """
    runs, problems = read_results(results_dir, task)
    demo = bool(runs) and all("demo" in run.settings for run in runs)
    own = bool(runs) and all(records_own_data(run.fields) for run in runs)
    likeness, reason = task.likeness(data_dir, demo=demo, recorded=runs[-1].fields if own else {})
    if demo:
        runs = [as_row(run, likeness.digest if likeness else run[DATA_DIGEST]) for run in runs]
    every, notes = group_runs(runs)
    choices = choose(task, every)
    groups = shown_groups(task, every, choices)
    if likeness is not None and groups and not any(group.own(likeness) for group in groups):
        reason, likeness = _of_others(task, data_dir, demo=demo), None
    if likeness is None:
        notes.insert(0, _without_likeness(task, reason))
    rows = make_table(task, groups, likeness, demo=demo)
    notes += _notes(task, runs, rows, demo=demo)

    sound = sound_groups(every)  # questions and claims are about rows as declared, whatever rate is chosen
    suggest = Suggestions(results_dir, demo, recorded_flags(runs[-1].fields) if own else {}).about(task)
    questions = task.demo_questions if demo else task.questions
    declared = () if demo else task.claims()
    if own:
        questions = declared = ()
        notes.append(f"claims and questions are about the published {task.examples}: runs on your own are asked none")
    claims = answer_claims(task, sound, likeness, declared, suggest)
    chosen = sound_groups(groups)
    sound_rows = make_table(task, chosen, likeness, demo=demo) if any(row.lost for row in rows) else rows
    lines = list(zip(chosen, sound_rows, strict=True))
    chapter = methods_chapter(task, lines)
    asked = [question for question in questions if chapter or not question.family.chapter]
    answers = [with_commands(finding, suggest) for finding in answer_all(task, sound, likeness, asked)]
    findings = [with_own_rates(finding, choices) for finding in answers]
    reference_rows: list[TableRow] = []
    if reference_dir is not None:
        reference_rows, remarks = _reference(task, reference_dir, results_dir, likeness, demo=demo)
        notes += remarks
    return Contents(
        task, groups, rows, findings, likeness, problems, notes,
        [] if own else missing_lines(task, sound, questions, declared, suggest, chapter=bool(chapter)),
        disclaimer(own).long if demo else "", plain_answer(task, lines, likeness, claims, suggest), claims,
        reference_rows, choices, tried_tables(choices, suggest), chapter, learning_curves(task, lines, likeness),
    )  # fmt: skip


def with_own_rates(finding: Finding, choices: Sequence[Choice]) -> Finding:
    """With what a reader must know where another learning rate than a row's own is chosen."""
    if finding.absent or finding.question.family.overrides:
        return finding
    asked = [choice for choice in choices if choice.row and choice.row.group.first.row in finding.question.sides]
    return replace(finding, notes=(*finding.notes, *filter(None, map(own_rate_note, asked))))


def _of_others(task: Task, data_dir: Path, *, demo: bool) -> str:
    """Why the examples at hand say nothing of the results."""
    if demo:
        return f"all results are of an older miniature, whose {task.examples} were others; train anew"
    return f"the {task.examples} in {data_dir} are not those of the results; give their folder with --data_dir"


def _without_likeness(task: Task, reason: str) -> str:
    return (
        f"{reason}. Without them: no accuracy on new {task.examples}, and intervals that take {task.examples} that"
        " are alike for different ones"
    )


def _notes(task: Task, runs: Sequence[FinishedRun], rows: Sequence[TableRow], *, demo: bool) -> list[str]:
    """What a reader of the table has to know of its runs."""
    notes = []
    if demo:
        notes.append(f"rows that name a larger GPT-2 ran with {NANO}, as row 1 did; questions about size are left out")
    known = "this miniature's" if demo else "the published ones"
    digests = Counter(run.settings[DATA_DIGEST] for run in runs if DATA_DIGEST in run.settings)
    notes += [
        f"{plural(count, 'run')} on other {task.examples} than {known}"
        f" (data digest {digest[:8]}): variants of their own, compared with no row"
        for digest, count in digests.items()
    ]
    for row in rows:
        notes += [f"{row.name}: no interval over {task.examples}: {problem}" for problem in row.problems]
        if row.lost:
            notes.append(
                f"{row.name}: {lost_text(row.lost)}: flagged in the table, and left out of the answer, of claims and of"
                " questions"
            )
    return notes


def _reference(
    task: Task, reference_dir: Path, results_dir: Path, likeness: Likeness | None, *, demo: bool
) -> tuple[list[TableRow], list[str]]:
    """The table of other results, and what of them is not shown."""
    if demo:
        return [], [f"the rows of {reference_dir} are not shown: nothing stands beside the demo's"]
    if reference_dir.resolve() == results_dir.resolve():
        return [], [f"{reference_dir} is the folder of these results, so nothing stands beside them"]
    runs, problems = read_results(reference_dir, task)
    if not runs:
        problems.append(f"{reference_dir}: no results to show beside")
    return make_table(task, group_runs(runs)[0], likeness), problems
