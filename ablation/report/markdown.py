"""The report as Markdown, and the part of it that stands in the README."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from ablation.report.cells import FINDING_COLUMNS, how_text, table_columns
from ablation.report.contents import Contents
from ablation.report.documents import replace_block
from ablation.report.findings import Finding
from ablation.words import plural


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
        " Satterthwaite's degrees of freedom; one seed is compared by exact McNemar; two to five seeds give figures and"
        " a cautious sentence. “p, Holm” is corrected for all questions of the family, unanswered ones included."
        " “Could show” is the difference that these data would have found with 80 % probability (one seed: the smallest"
        f" that is significant). Differences up to {margin:.0f} points count as none that matters."
    )
    return on_table, on_findings if contents.findings else ""


def plain(text: str) -> str:
    """A text of the results as one line that no renderer takes for HTML."""
    return html.escape(" ".join(text.split()), quote=False)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [[plain(cell).replace("|", "\\|") for cell in line] for line in (header, ["---"] * len(header), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def results_table(contents: Contents, *, brief: bool = False) -> str:
    columns = [column for column in table_columns(contents.task, contents.rows) if column.brief or not brief]
    rows = [[column.text(row) for column in columns] for row in contents.rows]
    return markdown_table([column.title for column in columns], rows)


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


def report_markdown(contents: Contents, pictures: Sequence[tuple[str, str]]) -> str:
    """The whole report; ``pictures`` are (file name, what it shows)."""
    on_table, on_findings = explanations(contents)
    parts = ["# Results", contents.disclaimer, f"{plural(contents.runs, 'run')}. {likeness_text(contents)}".strip()]
    parts += ["## Table", results_table(contents) if contents.rows else "No results yet.", on_table]
    for family in contents.families:
        findings = [[text(finding) for _, text in FINDING_COLUMNS] for finding in contents.answered(family)]
        table = markdown_table([title for title, _ in FINDING_COLUMNS], findings)
        parts += [f"## {family.title}", table if findings else "None is answered yet."]
        if unanswered := contents.unanswered(family):
            lines = "\n".join(f"* {finding.question.text} {plain(how_text(finding))}" for finding in unanswered)
            parts.append(f"<details><summary>{unanswered_text(unanswered)}</summary>\n\n{lines}\n\n</details>")
    parts.append(on_findings)
    if pictures:
        parts += ["## Pictures", *(f"![{caption}]({name})\n\n{caption}" for name, caption in pictures)]
    if contents.missing:
        parts += ["## Missing", "\n".join(f"* {what}: `{command}`" for what, command in contents.missing)]
    if contents.left_out:
        parts += ["## Left out", "\n".join(f"* {plain(note)}" for note in contents.left_out)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def readme_block(contents: Contents, command: str) -> str:
    """What stands between the README's markers: the table in short, the verdicts, and the command that renews it."""
    parts = [f"<!-- written by: {command} -->", contents.disclaimer, likeness_text(contents)]
    parts.append(results_table(contents, brief=True) if contents.rows else "No results yet.")
    answered = [finding for finding in contents.findings if finding.verdict]
    if answered:
        parts.append("\n".join(f"* {f.question.text} ({f.question.name}) {f.verdict}." for f in answered))
    return "\n\n".join(part.strip() for part in parts if part.strip())


def update_readme(path: Path, block: str) -> None:
    """Replace what stands between ``<!-- results:begin -->`` and ``<!-- results:end -->``.

    Raises:
        ValueError: the markers are not there, once each and in order.
        OSError: the file cannot be read or written.
    """
    try:
        text = replace_block(path.read_text(encoding="utf-8"), "results", block)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    path.write_text(text, encoding="utf-8")
