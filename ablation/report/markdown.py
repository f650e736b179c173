"""The report as Markdown, and the part of it that stands in the README."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ablation.report.answers import Answer
from ablation.report.cells import ANSWER_COLUMNS, filled_columns, how_text
from ablation.report.contents import Contents
from ablation.report.questions import MAIN, MARGIN, RANDOM_TWINS
from ablation.report.readme import replace_block
from ablation.words import plural

README_BLOCK = "results"  # between <!-- results:begin --> and <!-- results:end -->
README_COLUMNS = ("Row", "Setting", "Runs", "Test %", "Test, 95 %", "New, letters %", "Minutes", "Device", "Published")
FAMILIES = {MAIN: "Questions", RANDOM_TWINS: "The same questions with random weights"}

EXPLANATION = (
    "Accuracies in percent: one run, or mean ± standard deviation (smallest–largest) over seeds. Intervals at 95 %:"
    " Wilson's for one run; for several over seeds and messages, messages of the same letters counting once."
    " “New” leaves out the test messages that occur in the training split, verbatim or by their letters. A published"
    " figure is one run and has an error of its own.",
    "Differences are the second configuration minus the first, in points of test accuracy. From six common seeds on the"
    " standard error comes from seeds, groups of like messages and the rest, crossed, with Satterthwaite's degrees of"
    " freedom; one seed is compared by exact McNemar; two to five seeds give figures and no verdict. “p, Holm” is"
    " corrected for all questions of the family, unanswered ones included. “Could show” is the difference that these"
    f" data would have found with 80 % probability (one seed: the smallest that is significant). Differences up to"
    f" {100 * MARGIN:.0f} points count as none that matters.",
)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def results_table(contents: Contents, titles: Sequence[str] | None = None) -> str:
    columns = [column for column in filled_columns(contents.lines) if titles is None or column.title in titles]
    rows = [[column.text(line) for column in columns] for line in contents.lines]
    return markdown_table([column.title for column in columns], rows)


def answers_table(contents: Contents, family: str) -> str:
    rows = [[text(answer) for _, text in ANSWER_COLUMNS] for answer in contents.answered(family)]
    return markdown_table([title for title, _ in ANSWER_COLUMNS], rows) if rows else "None is answered yet."


def unanswered_text(answers: Sequence[Answer]) -> str:
    return f"{len(answers)} not answered, for want of results"


def messages_text(contents: Contents) -> str:
    """How many test messages occur in training, as a sentence; empty without the messages."""
    if contents.messages is None:
        return ""
    known, count = contents.messages.in_training, len(contents.messages.clusters["test"])
    return (
        f"Of the {count} test messages {known['verbatim'].sum()} stand verbatim in the training split,"
        f" {known['letters'].sum()} when only letters count."
    )


def report_markdown(contents: Contents, pictures: Sequence[tuple[str, str]]) -> str:
    """The whole report; ``pictures`` are (file name, what it shows)."""
    parts = ["# Results", contents.disclaimer, f"{plural(contents.runs, 'run')}. {messages_text(contents)}".strip()]
    parts += ["## Table", results_table(contents) if contents.lines else "No results yet.", EXPLANATION[0]]
    for family, title in FAMILIES.items():
        parts += [f"## {title}", answers_table(contents, family)]
        if unanswered := contents.unanswered(family):
            lines = "\n".join(f"* {a.question.text} {how_text(a)}" for a in unanswered)
            parts.append(f"<details><summary>{unanswered_text(unanswered)}</summary>\n\n{lines}\n\n</details>")
    parts.append(EXPLANATION[1])
    if pictures:
        parts += ["## Pictures", *(f"![{caption}]({name})\n\n{caption}" for name, caption in pictures)]
    if contents.missing:
        parts.append("## Missing")
        parts.append("\n".join(f"* {what}: `{command}`" for what, command in contents.missing))
    if contents.notes or contents.problems:
        parts.append("## Left out")
        parts.append("\n".join(f"* {note}" for note in [*contents.notes, *contents.problems]))
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def readme_block(contents: Contents, command: str) -> str:
    """What stands between the README's markers: the table in short, the verdicts, and the command that renews it."""
    parts = [f"<!-- written by: {command} -->", contents.disclaimer, messages_text(contents)]
    parts.append(results_table(contents, README_COLUMNS) if contents.lines else "No results yet.")
    answered = [answer for answer in contents.answers if answer.verdict]
    if answered:
        parts.append("\n".join(f"* {a.question.text} ({a.question.name}) {a.verdict}." for a in answered))
    return "\n\n".join(part.strip() for part in parts if part.strip())


def update_readme(path: Path, block: str) -> None:
    """Replace what stands between the two markers.

    Raises:
        ValueError: the markers are not there, once each and in order.
        OSError: the file cannot be read or written.
    """
    try:
        text = replace_block(path.read_text(encoding="utf-8"), README_BLOCK, block)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    path.write_text(text, encoding="utf-8")
