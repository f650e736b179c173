"""The page on the report: its commands are the command's own, and its example is what the results that ship say.

``python -m tests.docs.test_report`` renews the example.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import report
from ablation.environment import PROJECT
from ablation.report.documents import replace_block
from ablation.report.pictures import PICTURES

PAGE = PROJECT / "docs" / "report.md"


def example(folder: Path) -> str:
    """What ``--compare B3 10`` says of a copy of the results that ship, before it comes to single messages."""
    for name in ("results.csv", "runs"):
        source = PROJECT / report.REFERENCE / name
        shutil.copytree(source, folder / name) if source.is_dir() else shutil.copyfile(source, folder / name)
    screen = io.StringIO()
    arguments = ["--results_dir", str(folder), "--data_dir", str(folder), "--compare", "B3", "10"]
    with mock.patch.dict(os.environ, COLUMNS="80"), contextlib.redirect_stdout(screen):
        assert report.main(arguments) == 0
    assert (folder / "report" / "compare_B3_10.html").exists()
    return f"```\n{screen.getvalue().partition('What changed sides')[0].strip()}\n```"


def test_the_example_is_what_the_command_says(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == replace_block(text, "compare", example(tmp_path))


def test_its_commands_and_files_are_those_of_the_command() -> None:
    text = PAGE.read_text(encoding="utf-8")
    listed = re.findall(r"^python report\.py.*$", text, flags=re.MULTILINE)
    assert listed == re.findall(r"^ *(python report\.py.*)$", report.__doc__ or "", flags=re.MULTILINE)
    for command in listed:
        report.make_parser().parse_args(command.partition("#")[0].split()[2:])
    assert ", ".join(f"`{name}`" for name in PICTURES) in text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        PAGE.write_text(
            replace_block(PAGE.read_text(encoding="utf-8"), "compare", example(Path(scratch))), encoding="utf-8"
        )
