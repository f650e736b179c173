"""Make the report from what the results hold: table, questions, pictures. Trains nothing, opens no connection.

    python report.py [--results_dir results] [--data_dir data] [--update_readme]

Writes report.md, report.html, table.csv and the pictures into ``report/`` below the results.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.commands import FAILED, FINISHED, WRONG_COMMAND, fail
from ablation.config.flags import Parser
from ablation.environment import require_packages
from ablation.words import plural

if TYPE_CHECKING:
    from ablation.report.contents import Contents
    from ablation.results.task import Task

REPORT_FOLDER = "report"


def make_report(task: Task, results_dir: Path, data_dir: Path, readme: Path | None) -> list[str]:
    """Write the report, and the README's block if a README is given.

    Returns:
        Lines for whoever started it: what was left out, and where the report is.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the README lacks the markers, or would show the demo's figures.
        ResultsError: there are runs, but no line of the results can be read.
    """
    from ablation.report.contents import gather
    from ablation.report.markdown import readme_block, report_markdown, update_readme
    from ablation.report.page import report_page
    from ablation.report.pictures import draw_pictures
    from ablation.report.table import table_csv
    from ablation.results.log import REBUILD_COMMAND, RUNS_FOLDER, ResultsError
    from ablation.results.runs import run_files

    contents = gather(task, results_dir, data_dir)
    if readme is not None and contents.disclaimer:
        raise ValueError(f"--update_readme: {results_dir} holds demo runs, the README shows real ones; leave it out")
    if not contents.runs and any(run_files(results_dir)):  # keep what an earlier report says
        reason = contents.problems[0] if contents.problems else f"{results_dir / task.csv_name} holds no run"
        raise ResultsError(
            f"{reason}, though {results_dir / RUNS_FOLDER} has some;"
            f" {REBUILD_COMMAND} {results_dir} makes the file anew from them"
        )
    folder = results_dir / REPORT_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw_pictures(contents, folder)
    markdown = report_markdown(contents, [(f"{name}.png", caption) for name, caption, _ in pictures])
    (folder / "report.md").write_text(markdown, encoding="utf-8")
    (folder / "table.csv").write_text(table_csv(task, contents.rows), encoding="utf-8")
    (folder / "report.html").write_text(report_page(contents, pictures, "python report.py --compare"), encoding="utf-8")
    if readme is not None:
        command = f"python report.py --results_dir {results_dir} --update_readme"
        update_readme(readme, readme_block(contents, command))
    return summary_lines(contents, folder / "report.html")


def summary_lines(contents: Contents, page: Path) -> list[str]:
    """What was left out and what is missing, and where the report is."""
    lines = [contents.disclaimer] if contents.disclaimer else []
    lines += [*contents.notes, *contents.problems]
    if contents.problems:
        lines.append(f"{plural(len(contents.problems), 'line')} of the results left out")
    lines += [f"{what}: {command}" for what, command in contents.missing]
    runs, configurations = plural(contents.runs, "run"), plural(len(contents.rows), "configuration")
    lines.append(f"{runs}, {configurations}: {page}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 for a written report, even of nothing; 1 for a failure; 2 for a wrong command."""
    parser = Parser(description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results_dir", type=Path, default=Path("results"), metavar="FOLDER", help="default: results")
    parser.add_argument(
        "--data_dir", type=Path, default=Path("data"), metavar="FOLDER", help="folder of the messages; default: data"
    )
    parser.add_argument("--update_readme", action="store_true", help="renew the results block of the README as well")
    parser.add_argument(
        "--readme", type=Path, default=Path("README.md"), metavar="FILE", help="of --update_readme; default: README.md"
    )
    options = parser.parse_args(arguments)
    require_packages()
    from ablation.results.log import ResultsError
    from ablation.tasks.spam import SPAM

    results_dir, readme = options.results_dir, options.readme if options.update_readme else None
    if not results_dir.is_dir():
        return fail([f"--results_dir {results_dir}: no such folder; give that of results.csv"], WRONG_COMMAND)
    try:
        lines = make_report(SPAM, results_dir, options.data_dir, readme)
    except OSError as error:
        return fail([f"{error.filename}: {error.strerror}; check the folder's permissions"], FAILED)
    except (ValueError, ResultsError) as error:
        return fail([str(error)], FAILED)
    print("\n".join(lines))
    return FINISHED


if __name__ == "__main__":
    sys.exit(main())
