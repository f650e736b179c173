"""The report as Markdown."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ablation.report import tried
from ablation.report.cells import FINDING_COLUMNS, NOTHING, how_text, table_columns
from ablation.report.claims import ClaimFinding
from ablation.report.contents import Contents
from ablation.report.findings import Finding
from ablation.report.judgement import STATUSES
from ablation.report.learning_curves import PICTURE
from ablation.report.methods_chapter import TITLE
from ablation.report.signs import signs
from ablation.report.table import TableRow
from ablation.results.questions import Family
from ablation.results.task import Task
from ablation.words import plural

LOST = "LOSS NOT FINITE"
BESIDE = "The language models, on a page of their own"
TABLE_SIGNS = ("±", "(n)", "–", "New", "95 %", "Inside", LOST)
FINDING_SIGNS = ("95 %", "p", "p, Holm", "p, sign flips", "Could show", "seeds")

CLAIM_COLUMNS: tuple[tuple[str, Callable[[ClaimFinding], str]], ...] = (
    ("Claim", lambda claim: claim.text),
    ("Verdict", lambda claim: claim.status),
    ("Compared", lambda claim: f"{claim.first} {claim.relation} {claim.second}"),
    ("Published", lambda claim: _both(claim.published_first, claim.published_second)),
    ("Own", lambda claim: _both(claim.own_first, claim.own_second)),
    ("95 %", lambda claim: claim.interval or NOTHING),
    ("p, Holm", lambda claim: claim.p or NOTHING),
    ("How", lambda claim: claim.how or NOTHING),
    ("To run", lambda claim: claim.command or NOTHING),
)


def _both(first: str, second: str) -> str:
    return f"{first or NOTHING} / {second or NOTHING}" if first or second else NOTHING


def explanations(contents: Contents) -> tuple[str, str]:
    """How to read the table, and the findings where there are any."""
    task = contents.task
    margin = max((100 * family.margin for family in contents.families), default=0)
    on_table = (
        "Accuracies in percent: one run, or mean ± standard deviation (smallest–largest) over seeds. Intervals at 95 %:"
        f" Wilson's for one run; for several over seeds and {task.examples}, {task.examples} that are alike counting"
        f" once. “New” leaves out the {task.splits[-1]} {task.examples} that occur in the training split. A"
        " published figure is one run and has an error of its own."
    )
    on_findings = (
        f"Differences are the second configuration minus the first, in points of {task.headline.title}. From six common"
        f" seeds on the standard error comes from seeds, groups of like {task.examples} and the rest, crossed, with"
        " Satterthwaite's degrees of freedom. Each family is corrected for all its questions, unanswered ones included."
        f" Differences up to {margin:.0f} points count as none that matters."
    )
    return on_table, on_findings if contents.findings else ""


def some_signs(contents: Contents, names: Sequence[str]) -> dict[str, str]:
    """What these signs mean; that of a broken training only where there was one."""
    known = signs(contents.task)
    return {name: known[name] for name in names if name != LOST or any(row.lost for row in contents.rows)}


def signs_list(meanings: Mapping[str, str]) -> str:
    return "\n".join(f"* **{sign}**: {plain(meaning)}" for sign, meaning in meanings.items())


def plain(text: str) -> str:
    """A text of the results as one line that no renderer takes for HTML."""
    return html.escape(" ".join(text.split()), quote=False)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [[plain(cell).replace("|", "\\|") for cell in line] for line in (header, ["---"] * len(header), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def table_of(task: Task, rows: Sequence[TableRow], titles: Sequence[str] = ()) -> str:
    """A table of these rows, with the columns of these titles; all if none is given."""
    columns = [column for column in table_columns(task, rows) if not titles or column.title in titles]
    return markdown_table(
        [column.title for column in columns], [[column.text(row) for column in columns] for row in rows]
    )


def results_table(contents: Contents) -> str:
    return table_of(contents.task, contents.rows)


def unanswered_text(findings: Sequence[Finding]) -> str:
    return f"{len(findings)} not answered, for want of results"


def likeness_text(contents: Contents) -> str:
    """How many examples of the last split occur in training, as a sentence; empty where that is not known."""
    if contents.likeness is None:
        return ""
    task, senses = contents.task, contents.likeness.in_training
    known = ", ".join(f"{int(known.sum())} ({sense})" for sense, known in senses.items())
    count = len(contents.likeness.clusters[task.splits[-1]])
    return f"Of the {count} {task.splits[-1]} {task.examples} these occur in the training split, too: {known}."


def _tried(table: tried.TriedTable) -> list[str]:
    command = f"`{table.command}`" if table.command else ""
    return [f"### {plain(table.name)}", markdown_table(table.titles, table.rows), " ".join(table.sentences), command]


def chapter_intro(contents: Contents) -> str:
    """What the chapter on ways to fine-tune compares."""
    alike = (
        f"The same model on the same {contents.task.examples}, read alike and trained as long; what differs is what"
        " trains, and the learning rate, for each method has its own."
    )
    return " ".join([alike, *contents.chapter.notes])


def _chapter(contents: Contents, pictures: Sequence[tuple[str, str]]) -> list[str]:
    parts = [f"## {TITLE}", chapter_intro(contents), *map(_embedded, pictures)]
    for table in contents.chapter.tables:
        parts += [f"### {table.title}", markdown_table(table.header, table.lines), plain(table.note)]
    for family in contents.chapter_families:
        parts += [f"### {family.title}", *_findings(contents, family)]
    return parts


def _embedded(picture: tuple[str, str]) -> str:
    name, caption = picture
    return f"![{plain(caption)}]({name})\n\n{plain(caption)}"


def _findings(contents: Contents, family: Family) -> list[str]:
    """The answered questions of a family as a table, and the others folded."""
    findings = [[text(finding) for _, text in FINDING_COLUMNS] for finding in contents.answered(family)]
    table = markdown_table([title for title, _ in FINDING_COLUMNS], findings)
    parts = [table if findings else "None is answered yet."]
    if unanswered := contents.unanswered(family):
        lines = "\n".join(f"* {finding.question.text} {plain(how_text(finding))}" for finding in unanswered)
        parts.append(f"<details><summary>{unanswered_text(unanswered)}</summary>\n\n{lines}\n\n</details>")
    return parts


def report_markdown(contents: Contents, pictures: Sequence[tuple[str, str]], beside: str = "") -> str:
    """The whole report, but the single rows' own parts; ``pictures`` are (file name, what it shows), ``beside`` the
    HTML page of language models, if there is one."""
    on_table, on_findings = explanations(contents)
    parts = ["# Results", contents.disclaimer, *map(plain, contents.answer)]
    parts.append(f"{plural(contents.runs, 'run')}. {likeness_text(contents)}".strip())
    parts += [f"[{BESIDE}]({Path(beside).with_suffix('.md')})"] if beside else []
    curve_pictures = [picture for picture in pictures if Path(picture[0]).stem == PICTURE]
    others = [picture for picture in pictures if picture not in curve_pictures]
    places = [(contents.chapter.place_of(Path(picture[0]).stem), picture) for picture in others]
    own = [picture for _, picture in sorted(one for one in places if one[0] is not None)]
    if others := [picture for place, picture in places if place is None]:
        parts += ["## Pictures", *map(_embedded, others)]
    parts += ["## Table", results_table(contents) if contents.rows else "No results yet.", on_table]
    parts += [signs_list(some_signs(contents, TABLE_SIGNS))] if contents.rows else []
    if contents.tried:
        parts += [f"## {tried.TITLE}", tried.RULE, *(text for table in contents.tried for text in _tried(table))]
    if contents.curves:
        curves = contents.curves
        parts += [f"## {curves.title}", plain(curves.answer), *map(_embedded, curve_pictures)]
        parts += [markdown_table(curves.table.header, curves.table.lines), plain(f"{curves.table.note} {curves.note}")]
    if contents.chapter:
        parts += _chapter(contents, own)
    if contents.reference_rows:
        parts += ["## The results that ship with this project", table_of(contents.task, contents.reference_rows)]
    if contents.claims:
        claims = [[text(claim) for _, text in CLAIM_COLUMNS] for claim in contents.claims]
        parts += ["## The published claims", markdown_table([title for title, _ in CLAIM_COLUMNS], claims)]
        parts.append(signs_list(some_signs(contents, STATUSES)))
    for family in contents.families:
        parts += [f"## {family.title}", *_findings(contents, family)]
    parts += [on_findings, signs_list(some_signs(contents, FINDING_SIGNS))] if on_findings else []
    if contents.missing:
        parts += ["## Missing", "\n".join(f"* {what}: `{command}`" for what, command in contents.missing)]
    if contents.left_out:
        parts += ["## Left out", "\n".join(f"* {plain(note)}" for note in contents.left_out)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"
