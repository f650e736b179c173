"""README and docs say what the code does: their tables, flags, files, links and commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import baselines
import classify
import export
import report
import sweep
from ablation.config.experiment import FIELDS
from ablation.config.flags import EXPERIMENTS
from ablation.config.generation_rows import GENERATION
from ablation.config.settings import fields_of
from ablation.environment import PROJECT
from ablation.report import documents
from ablation.report.documents import BLOCKS, renew, replace_block

README = PROJECT / "README.md"
DOCUMENTS = [README, *sorted((PROJECT / "docs").glob("*.md"))]
OF_OTHERS = {"address", "generate", "head", "help", "port"}  # flags of Ray, and what argparse adds
MADE_BY_USE = re.compile(r"results/|runs/|report/|run\.json|make_mail\.py")

SETTINGS = {*FIELDS, *fields_of(GENERATION.config_class), *GENERATION.further}
PARSERS = {
    "additional_experiments.py": EXPERIMENTS.parser,
    "baselines.py": baselines.make_parser,
    "classify.py": classify.make_parser,
    "export.py": export.make_parser,
    "generation_experiments.py": GENERATION.parser,
    "report.py": report.make_parser,
}

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def commands(text: str) -> list[list[str]]:
    """The project's commands in a text's code, fenced or indented, as a shell would split them."""
    found = re.findall(r"^(?: {4})?(?:\.venv/bin/)?python (\w+\.py\b.*)$", text, flags=re.MULTILINE)
    return [shlex.split(line.partition(" | ")[0].partition(" > ")[0], comments=True) for line in found]


@pytest.mark.parametrize("document", BLOCKS)
def test_blocks_are_as_the_code_makes_them(document: str) -> None:
    """Renew them with ``python -m ablation.report.documents``."""
    assert renew(document) == (PROJECT / document).read_text(encoding="utf-8")


def test_the_latest_record_of_a_benchmark_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "RECORDS", tmp_path)
    assert documents.newest("speed") == "Not measured yet."
    for record in ("2026-01-09_speed", "2026-11-02_speed", "2026-03-20_speed", "2026-12-01_token_speed"):
        (tmp_path / record).mkdir()
        (tmp_path / record / "table.md").write_text(record)
    assert documents.newest("speed") == "2026-11-02_speed"


@pytest.mark.parametrize("document", BLOCKS)
def test_no_block_of_a_page_is_forgotten(document: str) -> None:
    blocks = re.findall(r"^<!-- (\w+):begin -->$", (PROJECT / document).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(blocks) == set(BLOCKS[document])


def test_the_readme_is_short() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert len(re.sub(r"<!-- results:begin.*results:end -->", "", text, flags=re.DOTALL).split()) < 1000  # four minutes


def test_the_readme_leads_to_every_page() -> None:
    text = README.read_text(encoding="utf-8")
    assert [path.name for path in DOCUMENTS[1:] if f"(docs/{path.name})" not in text] == []


@each_document
def test_every_flag_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    modules = [PROJECT / "ablation" / name for name in ("config/flags.py", "config/parser.py", "tasks/__main__.py")]
    sources = [*PROJECT.glob("*.py"), *PROJECT.glob("benchmarks/*.py"), *modules]
    scripts = "".join(path.read_text(encoding="utf-8") for path in sources)
    for flag in set(re.findall(r"(?<![\w-])--([a-z_]+)(?![\w-])", text)) - OF_OTHERS:
        assert flag in SETTINGS or f'"--{flag}"' in scripts, flag


@each_document
def test_every_command_is_one_that_the_program_takes(document: Path) -> None:
    for program, *arguments in commands(document.read_text(encoding="utf-8")):
        if "$" in "".join(arguments):
            continue
        if program == "sweep.py":
            sweep.parser_for(arguments).parse_args(arguments)  # ends the test where it refuses
        elif program in PARSERS:
            PARSERS[program]().parse_args(arguments)


@each_document
def test_every_file_and_link_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for name in set(re.findall(r"`([a-z_/]+(?:\.py|\.json|\.txt|/))`", text)):
        made_here = f"--- {name}\n" in text or MADE_BY_USE.match(name)
        assert made_here or (PROJECT / name).exists() or any((PROJECT / "ablation").glob(f"*/{name}")), name
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / link).exists(), link


def test_a_missing_marker_is_a_clear_error() -> None:
    assert replace_block("a <!-- x:begin -->old<!-- x:end --> b", "x", "new") == (
        "a <!-- x:begin -->\nnew\n<!-- x:end --> b"
    )
    with pytest.raises(ValueError, match="x:begin"):
        replace_block("nothing here", "x", "new")
