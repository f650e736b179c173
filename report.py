"""Make the report from what the results hold: answer, pictures, table, claims and
questions. Trains nothing, opens no connection.

    python report.py                                  # of results/
    python report.py --demo                           # of results/demo
    python report.py --with_reference                 # beside those that ship
    python report.py --compare 1 16                   # two rows side by side
    python report.py --results_dir results/reference  # those that ship alone
    python report.py --results_dir results/demo_reference  # the demo's that ship

Writes report.html, report.md, table.csv and the pictures into ``report/`` below
the results.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.commands import FAILED, FINISHED, WRONG_COMMAND, fail, say
from ablation.config.flags import Parser
from ablation.config.settings import DEMO_RESULTS_DIR, RESULTS_DIR
from ablation.environment import PROJECT, python_command, require_packages
from ablation.words import plural

if TYPE_CHECKING:
    from ablation.report.contents import Contents
    from ablation.results.task import Task

REPORT_FOLDER, DATA_DIR = "report", "data"
REFERENCE = Path(RESULTS_DIR) / "reference"  # the results that ship, below the project's folder
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


def make_report(task: Task, request: Request) -> list[str]:
    """Write the report, and the blocks of a document if one is given.

    Returns:
        Lines for whoever started it: what was left out, and where the report is.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the document lacks the markers, or would show the demo's figures or fewer than it has.
        ResultsError: there are runs, but no line of the results can be read.
    """
    from ablation.report.contents import gather
    from ablation.report.markdown import report_markdown
    from ablation.report.page import report_page
    from ablation.report.pictures import draw_pictures
    from ablation.report.results_blocks import blocks_of, update_document
    from ablation.report.table import table_csv

    contents = gather(task, request.results_dir, request.data_dir, request.reference_dir)
    if request.without_texts:
        contents = contents.without_texts()
    check_runs(contents, request)
    if (kept := what_would_be_lost(contents, request)) is not None:
        if request.readme is not None:
            raise ValueError(f"--update_readme: {kept}")
        return [f"{kept}: {request.folder / 'report.html'}"]
    folder = request.folder
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw_pictures(contents, folder)
    markdown = report_markdown(contents, [(f"{name}.png", caption) for name, caption, _ in pictures])
    (folder / "report.md").write_text(markdown, encoding="utf-8")
    (folder / "table.csv").write_text(table_csv(task, contents.rows), encoding="utf-8")
    page = report_page(contents, pictures, f"{request.command} --compare")
    (folder / "report.html").write_text(page, encoding="utf-8")
    if request.readme is not None:
        flags = " --without_texts --update_readme" if request.without_texts else " --update_readme"
        command = f"python report.py --results_dir {request.results_dir}{flags} --readme {request.readme}"
        update_document(request.readme, blocks_of(contents, command))
    return summary_lines(contents, folder / "report.html")


def check_runs(contents: Contents, request: Request) -> None:
    """Refuse what would write an empty report over a full one, or the demo's figures into a document.

    Raises:
        ValueError, ResultsError: see :func:`make_report`.
    """
    from ablation.results.log import REBUILD_COMMAND, RUNS_FOLDER, ResultsError
    from ablation.results.runs import run_files

    results_dir = request.results_dir
    if request.readme is not None and contents.disclaimer:
        raise ValueError(f"--update_readme: {results_dir} holds demo runs, the README shows real ones; leave it out")
    if not contents.runs and any(run_files(results_dir)):
        reason = contents.problems[0] if contents.problems else f"{results_dir / contents.task.csv_name} holds no run"
        raise ResultsError(
            f"{reason}, though {results_dir / RUNS_FOLDER} has some;"
            f" {REBUILD_COMMAND} {results_dir} makes the file anew from them"
        )


def what_would_be_lost(contents: Contents, request: Request) -> str | None:
    """Why an earlier report says more than one without the examples could; None if it does not."""
    task, earlier = contents.task, request.folder / "table.csv"
    if contents.likeness is not None or not earlier.exists():
        return None
    header = earlier.read_text(encoding="utf-8").partition("\n")[0]
    if f"{task.splits[-1]}_unseen_" not in header:
        return None
    return (
        f"{contents.notes[0].partition('. Without them')[0]}; the report there was made with the {task.examples}, says"
        " more than one without, and is kept"
    )


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
    """The answer, what was left out and what is missing, and where the report is; commands stand on lines of their own,
    to be copied."""
    sentences = [contents.disclaimer] if contents.disclaimer else []
    sentences += [*contents.answer, *contents.notes, *contents.problems]
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
    parser.add_argument(
        "--results_dir",
        type=Path,
        metavar="FOLDER",
        help=f"default: {RESULTS_DIR}; with --demo: {DEMO_RESULTS_DIR}",
    )
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
    from ablation.tasks.spam import SPAM

    results_dir = options.results_dir or Path(DEMO_RESULTS_DIR if options.demo else RESULTS_DIR)
    if not results_dir.is_dir():
        return fail([no_folder(results_dir, options)], WRONG_COMMAND)
    request = Request(
        results_dir,
        options.data_dir,
        options.readme if options.update_readme else None,
        PROJECT / REFERENCE if options.with_reference else None,
        without_texts=options.without_texts,
    )
    try:
        lines = compare_rows(SPAM, request, *options.compare) if options.compare else make_report(SPAM, request)
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
        return f"--results_dir {results_dir}: no such folder; give that of results.csv"
    demo = " --demo" if options.demo else ""
    return (
        f"{results_dir}: no results yet; python additional_experiments.py{demo} makes the first,"
        f" and python report.py --results_dir {REFERENCE} shows those that ship"
    )


if __name__ == "__main__":
    sys.exit(main())
