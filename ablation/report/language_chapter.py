"""All that is said of trained language models, gathered before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ablation.data.demo import disclaimer
from ablation.report.language_answer import language_answer
from ablation.report.language_comparisons import Compared, comparisons
from ablation.report.language_corpus import Texts, between_table, texts_of
from ablation.report.language_curves import curves, draw_curves
from ablation.report.language_pictures import AGAINST, against_setting, forward_backward
from ablation.report.language_runs import Configuration, configurations_of
from ablation.report.language_samples import samples_section
from ablation.report.language_sections import Drawing, Section
from ablation.report.language_tables import bleu_table, perplexity_table, variety_table
from ablation.report.language_verdicts import verdict_sections
from ablation.results.read import DATA_DIGEST, as_row, read_results
from ablation.results.task import Task
from ablation.words import plural

SPLITS = "splits"  # the section that needs the sentences
MOST_ALONE = 6  # configurations that are compared with none, in the picture of their losses


@dataclass(frozen=True)
class LanguageContents:
    """The page.

    Attributes:
        notes: runs that were left out, lines that could not be read, and what is missing besides.
    """

    title: str
    configurations: Sequence[Configuration]
    sections: Sequence[Section]
    answer: Sequence[str] = ()
    notes: Sequence[str] = ()
    disclaimer: str = ""
    source: str = ""

    @property
    def runs(self) -> int:
        return sum(len(one.trainings) for one in self.configurations)

    @property
    def counted(self) -> str:
        return f"{plural(self.runs, 'run')}, {plural(len(self.configurations), 'configuration')}"

    @property
    def summary(self) -> str:
        return f"{self.counted}. {self.source}".strip()


def gather_language(task: Task, results_dir: Path, data_dir: Path, *, without_texts: bool = False) -> LanguageContents:
    """Read the results of a task with a language model, and its sentences where they are at hand.

    Args:
        without_texts: no sentence is shown, also none that was generated: it may be one of the training split.

    Raises:
        OSError: the results cannot be read.
    """
    rows, problems = read_results(results_dir, task)
    demo = bool(rows) and all("demo" in row.settings for row in rows)
    if demo:
        rows = [as_row(row, row[DATA_DIGEST]) for row in rows]
    configurations, notes = configurations_of(task, rows, demo=demo)
    texts, why_not = texts_of(task, configurations[0], data_dir) if configurations else (None, "")
    sections = list(_sections(configurations, texts, why_not, without_texts=without_texts))
    sections += verdict_sections(task, rows, results_dir, demo=demo)
    if why_not:
        notes.append(f"{why_not}. Without them: no new words marked, no BLEU between the splits")
    own = any(row["train_file"] for row in rows)
    published = any(one.row for one in configurations) and not demo
    return LanguageContents(
        task.title, configurations, sections, language_answer(configurations), [*notes, *problems],
        disclaimer(own).long if demo else "", task.source if published else "",
    )  # fmt: skip


def _sections(
    configurations: Sequence[Configuration], texts: Texts | None, why_not: str, *, without_texts: bool
) -> Iterator[Section]:
    """Those that have something to show, in the order of the page."""
    if not configurations:
        return
    compared = comparisons(configurations)
    yield Section("perplexity", "Perplexity", tables=[perplexity_table(configurations)])
    spoke = [one for one in configurations if one.ways]
    if spoke:
        yield Section("bleu", "BLEU", tables=[bleu_table(spoke), variety_table(spoke)])
    if losses := _curves(configurations, compared):
        yield Section("training", "During training", pictures=losses)
    against = {f"language_{one.name}": partial(against_setting, one) for one in compared if one.setting in AGAINST}
    if against:
        yield Section("settings", "Heads and blocks", pictures=against)
    if spoke:
        real = None if texts is None else texts.between["validation", "test"]
        picture = {"language_forward_backward": partial(forward_backward, spoke, real)}
        yield Section("diversity", "Quality against diversity", pictures=picture)
    samples = None if without_texts else samples_section(spoke, texts, why_not)
    if samples is not None:
        yield samples
    if texts is not None:
        yield Section(SPLITS, "How alike the splits are", tables=[between_table(texts)])


def _curves(configurations: Sequence[Configuration], compared: Sequence[Compared]) -> Mapping[str, Drawing]:
    """A picture for each comparison, and one of those that are compared with none."""
    pictures: dict[str, Drawing] = {f"language_losses_{one.name}": partial(curves, one) for one in compared}
    within = {side.name for one in compared for _, side in one.sides}
    alone = [(one.label, one) for one in configurations if one.name not in within][:MOST_ALONE]
    if alone:
        title = "Compared with no other" if compared else "Loss"
        pictures["language_losses"] = partial(draw_curves, alone, title)
    return pictures
