"""What runs of a language model say to the published claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ablation.config.own_data import records_own_data
from ablation.report.claims import ClaimFinding, answer_claims
from ablation.report.groups import group_runs, sound_groups
from ablation.report.judgement import NOT_RUN, STATUSES
from ablation.report.language_sections import CellTable, Section
from ablation.report.language_tables import without_empty
from ablation.report.markdown import CLAIM_COLUMNS
from ablation.report.suggestions import Suggestions
from ablation.results.read import FinishedRun
from ablation.results.task import Task


def verdict_sections(task: Task, rows: Sequence[FinishedRun], results_dir: Path, *, demo: bool) -> Iterator[Section]:
    """A section of the claims; runs on own sentences, and the demo's, are asked none.

    Args:
        rows: one for each way of decoding of each run.
    """
    if demo or all(records_own_data(row.fields) for row in rows):
        return
    groups = sound_groups(group_runs(rows)[0])
    if claims := answer_claims(task, groups, None, task.claims(), Suggestions(results_dir).about(task)):
        yield claims_section(claims)


def claims_section(claims: Sequence[ClaimFinding]) -> Section:
    """The claims that were told or can be, verdict by verdict, and folded those that nothing was run for."""
    told = [claim for status in STATUSES for claim in claims if claim.status == status != NOT_RUN]
    absent = [claim for claim in claims if claim.status == NOT_RUN]
    counts = Counter(str(claim.status) for claim in claims)
    summary = ", ".join(f"{counts[str(status)]} {status}" for status in STATUSES if counts[str(status)])
    tables = [_claims_table("What the runs say", told)] if told else []
    tables += [_claims_table(f"Not run: {len(absent)}", absent, folded=True)] if absent else []
    intro = f"What is claimed of the published table, and what the runs say to it: {summary}."
    return Section("claims", "The published claims", intro, tables=tables)


def _claims_table(title: str, claims: Sequence[ClaimFinding], *, folded: bool = False) -> CellTable:
    lines = [[text(claim) for _, text in CLAIM_COLUMNS] for claim in claims]
    return without_empty(CellTable(title, [name for name, _ in CLAIM_COLUMNS], lines, folded=folded))
