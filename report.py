"""Make the report from what the results hold: answer, pictures, table, claims and
questions; language models have a page of their own. Trains nothing, opens no
connection.

    python report.py                                  # of results/
    python report.py --demo                           # of results/demo
    python report.py --with_reference                 # beside those that ship
    python report.py --compare 1 16                   # two rows side by side
    python report.py --task language_model            # the language models' page alone
    python report.py --results_dir results/reference  # those that ship alone
    python report.py --results_dir results/demo_reference  # the demo's that ship

Writes report.html, report.md, table.csv, language_model.html and .md, and the
pictures into ``report/`` below the results.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.commands import FAILED, FINISHED, WRONG_COMMAND, fail, say
from ablation.config.flags import Parser
from ablation.config.generation import LanguageModelConfig
from ablation.config.settings import DEMO_RESULTS_DIR, RESULTS_DIR
from ablation.environment import PROJECT, python_command, require_packages
from ablation.words import plural

if TYPE_CHECKING:
    from ablation.report.contents import Contents
    from ablation.results.task import Task

REPORT_FOLDER, DATA_DIR = "report", "data"
PAGE = "report.html"
REFERENCE = Path(RESULTS_DIR) / "reference"  # the results that ship, below the project's folder
OF_CLASSIFIERS = ("compare", "with_reference", "update_readme")  # flags that say nothing of language models
WIDEST = 120  # columns: longer lines are hard to read


@dataclass(frozen=True)
class Request:
    """What is reported.

    Attributes:
        readme: the document whose blocks are renewed, if any.
        reference_dir: other results that are shown beside, if any.
        without_texts: no example's text is shown, as where the report is passed on and the data must not be.
    """

    results_dir: Path
    data_dir: Path
    readme: Path | None = None
    reference_dir: Path | None = None
    without_texts: bool = False

    @property
    def folder(self) -> Path:
        return self.results_dir / REPORT_FOLDER

    @property
    def command(self) -> str:
        """What is typed to report on the same."""
        usual = {DEMO_RESULTS_DIR: " --demo", RESULTS_DIR: ""}
        where = usual.get(str(self.results_dir), f" --results_dir {shlex.quote(str(self.results_dir))}")
        data = "" if str(self.data_dir) == DATA_DIR else f" --data_dir {shlex.quote(str(self.data_dir))}"
        return f"python report.py{where}{data}"


def make_pages(tasks: Sequence[Task], request: Request) -> list[str]:
    """Write the page of each task of which there are results; of the first, where there are none of any.

    Returns:
        Lines for whoever started it, page by page.

    Raises:
        OSError, ValueError, ResultsError: as :func:`make_report`.
    """
    from ablation.report.keeping import holds_results

    held = [task for task in tasks if holds_results(request.results_dir, task)] or tasks[:1]
    spoken = [task for task in held if is_spoken(task)]
    classified = [task for task in (held if request.readme is None else tasks) if not is_spoken(task)]
    lines = [line for task in classified for line in make_report(task, request, spoken=bool(spoken))]
    for task in spoken:
        lines += [*([""] if lines else []), *make_language_page(task, request, beside=bool(classified))]
    return lines


def is_spoken(task: Task) -> bool:
    """Whether it is about a language model, which has another page than a classifier."""
    return issubclass(task.config_class, LanguageModelConfig)


def make_language_page(task: Task, request: Request, *, beside: bool = False) -> list[str]:
    """Write the page of a language model; it links the report ``beside`` it. Returns and raises as make_report."""
    from ablation.report.keeping import check_runs, what_a_page_would_lose
    from ablation.report.language_chapter import gather_language
    from ablation.report.language_page import write_language_page

    contents = gather_language(task, request.results_dir, request.data_dir, without_texts=request.without_texts)
    check_runs(task, request.results_dir, contents.runs, contents.notes)
    if (kept := what_a_page_would_lose(contents, request.folder)) is not None:
        return [kept]
    page = write_language_page(contents, request.folder, PAGE if beside else "")
    said = [contents.disclaimer, *contents.answer, *contents.notes]
    return [*wrapped(filter(None, said)), f"{contents.counted}: {page}"]


def make_report(task: Task, request: Request, *, spoken: bool = False) -> list[str]:
    """Write the report, which links the language models' page if ``spoken``, and the blocks of a document if given.

    Returns:
        Lines for whoever started it: what was left out, and where the report is.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the document lacks the markers, or would show the demo's figures or fewer than it has.
        ResultsError: there are runs, but no line of the results can be read.
    """
    from ablation.report.contents import gather
    from ablation.report.keeping import check_runs, what_would_be_lost
    from ablation.report.language_page import PAGE as LANGUAGE_PAGE
    from ablation.report.markdown import report_markdown
    from ablation.report.page import report_page
    from ablation.report.pictures import draw_pictures
    from ablation.report.results_blocks import blocks_of, update_document
    from ablation.report.table import table_csv

    contents = gather(task, request.results_dir, request.data_dir, request.reference_dir)
    if request.without_texts:
        contents = contents.without_texts()
    if request.readme is not None and contents.disclaimer:
        demo = f"{request.results_dir} holds demo runs"
        raise ValueError(f"--update_readme: {demo}, the README shows real ones; leave it out")
    check_runs(task, request.results_dir, contents.runs, contents.problems)
    if (kept := what_would_be_lost(contents, request.folder)) is not None:
        if request.readme is not None:
            raise ValueError(f"--update_readme: {kept}")
        return [f"{kept}: {request.folder / PAGE}"]
    (folder := request.folder).mkdir(parents=True, exist_ok=True)
    pictures = draw_pictures(contents, folder)
    beside = LANGUAGE_PAGE if spoken else ""
    markdown = report_markdown(contents, [(f"{name}.png", caption) for name, caption, _ in pictures], beside)
    (folder / "report.md").write_text(markdown, encoding="utf-8")
    (folder / "table.csv").write_text(table_csv(task, contents.rows), encoding="utf-8")
    page = report_page(contents, pictures, f"{request.command} --compare", beside)
    (folder / PAGE).write_text(page, encoding="utf-8")
    if request.readme is not None:
        flags = " --without_texts --update_readme" if request.without_texts else " --update_readme"
        command = f"python report.py --results_dir {request.results_dir}{flags} --readme {request.readme}"
        update_document(request.readme, blocks_of(contents, command))
    return summary_lines(contents, folder / PAGE)


def compare_rows(task: Task, request: Request, first: str, second: str) -> list[str]:
    """Write the page of two rows side by side.

    Returns:
        The comparison as lines for the screen, and where the page is.

    Raises:
        OSError: a file cannot be read or written.
        ComparisonError: a name means no row, or the two cannot be compared.
    """
    from ablation.report.compare import compare, page_name
    from ablation.report.compare_text import screen_lines
    from ablation.report.contents import gather
    from ablation.report.page import comparison_page

    contents = gather(task, request.results_dir, request.data_dir)
    if request.without_texts:
        contents = contents.without_texts()
    comparison = compare(contents, first, second)
    request.folder.mkdir(parents=True, exist_ok=True)
    page = request.folder / page_name(comparison)
    page.write_text(comparison_page(comparison), encoding="utf-8")
    return [*screen_lines(comparison, screen_width()), "", f"page: {page}"]


def screen_width() -> int:
    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST)


def summary_lines(contents: Contents, page: Path) -> list[str]:
    """The answer, what was left out and what is missing, and where the report is; commands on lines of their own."""
    sentences = [*filter(None, [contents.disclaimer]), *contents.answer, *contents.notes, *contents.problems]
    if contents.problems:
        sentences.append(f"{plural(len(contents.problems), 'line')} of the results left out")
    lines = wrapped(sentences)
    for what, command in contents.missing:
        lines += [*wrapped([f"{what}:"]), f"  {here(command)}"]
    if not contents.runs:
        lines += ["The results that ship:", f"  {here(f'python report.py --results_dir {REFERENCE}')}"]
    runs, configurations = plural(contents.runs, "run"), plural(len(contents.rows), "configuration")
    return [*lines, f"{runs}, {configurations}: {page}"]


def here(command: str) -> str:
    """A command as it is typed on this machine; documents, which others read, say ``python``."""
    return command.replace("python", python_command(), 1)


def wrapped(sentences: Iterable[str]) -> list[str]:
    """Each from a line of its own on, in lines that the screen has room for."""
    options: dict[str, Any] = {"subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}
    return [line for sentence in sentences for line in textwrap.wrap(sentence, screen_width(), **options)]


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = f"default: {RESULTS_DIR}; with --demo: {DEMO_RESULTS_DIR}"
    parser.add_argument("--results_dir", type=Path, metavar="FOLDER", help=usual)
    parser.add_argument("--task", help="the page of this task alone, such as language_model; if not given, of all")
    parser.add_argument("--demo", action="store_true", help=f"of the demo's runs in {DEMO_RESULTS_DIR}")
    parser.add_argument(
        "--data_dir", type=Path, default=Path(DATA_DIR), metavar="FOLDER", help="folder of the messages; default: data"
    )
    parser.add_argument(
        "--with_reference",
        action="store_true",
        help=f"show the results that ship ({REFERENCE}) beside, in a table of their own",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("ROW", "ROW"),
        help="two rows by the names of the table, such as 1 16, B3 1, or 1 '16 with --weights random'",
    )
    parser.add_argument(
        "--without_texts", action="store_true", help="show no message's text, to pass the report on without the data"
    )
    parser.add_argument(
        "--update_readme", action="store_true", help="renew the blocks results and results_table of a document as well"
    )
    parser.add_argument(
        "--readme", type=Path, default=Path("README.md"), metavar="FILE", help="of --update_readme; default: README.md"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 for a written report, even of nothing; 1 for a failure; 2 for a wrong command."""
    options = make_parser().parse_args(arguments)
    require_packages()
    from ablation.report.compare import ComparisonError
    from ablation.results.log import ResultsError
    from ablation.tasks.registry import TASKS

    if options.task and options.task not in TASKS:
        return fail([f"--task {options.task}: no such task; give {' or '.join(TASKS)}"], WRONG_COMMAND)
    results_dir = options.results_dir or Path(DEMO_RESULTS_DIR if options.demo else RESULTS_DIR)
    if not results_dir.is_dir():
        return fail([no_folder(results_dir, options)], WRONG_COMMAND)
    tasks = [TASKS[options.task]] if options.task else [*TASKS.values()]
    classified = next((task for task in tasks if not is_spoken(task)), None)
    if classified is None and (given := [f"--{name}" for name in OF_CLASSIFIERS if getattr(options, name)]):
        return fail([f"{', '.join(given)}: for classifiers; leave --task {options.task} out"], WRONG_COMMAND)
    request = Request(
        results_dir,
        options.data_dir,
        options.readme if options.update_readme else None,
        PROJECT / REFERENCE if options.with_reference else None,
        without_texts=options.without_texts,
    )
    pair = options.compare
    try:
        lines = compare_rows(classified, request, *pair) if pair and classified else make_pages(tasks, request)
    except OSError as error:
        return fail([f"{error.filename}: {error.strerror}; check the folder's permissions"], FAILED)
    except ComparisonError as error:
        return fail([str(error)], WRONG_COMMAND)
    except (ValueError, ResultsError) as error:
        return fail([str(error)], FAILED)
    say("\n".join(lines))
    return FINISHED


def no_folder(results_dir: Path, options: argparse.Namespace) -> str:
    """What to do where there is no folder of results."""
    if options.results_dir is not None:
        return f"--results_dir {results_dir}: no such folder; give that of results.csv or generation.csv"
    demo = " --demo" if options.demo else ""
    return (
        f"{results_dir}: no results yet; python additional_experiments.py{demo} makes the first,"
        f" and python report.py --results_dir {REFERENCE} shows those that ship"
    )


if __name__ == "__main__":
    sys.exit(main())
