"""Whose results ``report.py`` reports on, and what it leaves as it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import report
from ablation.config.rows import row_config
from ablation.data.spam import load_splits
from ablation.environment import PROJECT
from tests.support.made_up_results import made_up_messages, make_run

pytestmark = pytest.mark.usefixtures("published")

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_messages(tmp_path_factory.mktemp("messages"))


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have tests of their own, and take the longest."""
    monkeypatch.setattr("ablation.report.pictures.PICTURES", {})


def test_a_report_made_with_the_messages_is_kept_without_them(
    tmp_path: Path, data: Path, capsys: Capture, no_pictures: None
) -> None:
    results = tmp_path / "results"
    make_run(results, data, row_config(1), 0.9)
    assert report.main(["--results_dir", str(results), "--data_dir", str(data)]) == 0
    before = {path.name: path.read_bytes() for path in (results / "report").iterdir()}
    assert b"test_unseen_letters" in before["table.csv"]
    capsys.readouterr()
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results:begin -->\nas it was\n<!-- results:end -->\n")
    without = ["--results_dir", str(results), "--data_dir", str(tmp_path / "nowhere")]
    assert report.main(without) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "SMSSpamCollection.tsv is missing" in line and "python gpt_download.py --dataset" in line
    assert "is kept" in line and line.endswith(str(results / "report" / "report.html"))
    assert report.main([*without, "--update_readme", "--readme", str(readme)]) == 1
    assert "as it was" in readme.read_text()
    assert before == {path.name: path.read_bytes() for path in (results / "report").iterdir()}


@pytest.mark.slow
def test_a_report_in_a_clone_without_the_messages_changes_no_tracked_file(tmp_path: Path, capsys: Capture) -> None:
    """As typed: ``python report.py``, and ``--results_dir results/reference``."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (PROJECT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, tmp_path / name)
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    for arguments in ([], ["--results_dir", "results/reference"]):
        done = subprocess.run([sys.executable, "report.py", *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        changed = subprocess.run(
            ["git", "diff", "--name-only"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert changed.stdout == "", arguments


def test_without_results_it_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, no_pictures: None
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, flags in (([], ""), (["--demo"], " --demo")):
        assert report.main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"python additional_experiments.py{flags} makes the first" in line
        assert "python report.py --results_dir results/reference shows those that ship" in line
    (tmp_path / "results").mkdir()
    assert report.main([]) == 0
    assert "  python report.py --results_dir results/reference\n" in capsys.readouterr().out


def test_demo_means_the_folder_of_the_demo(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, no_pictures: None
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("results"), data, row_config(1), 0.9)
    make_run(Path("results/demo"), data, row_config(2, demo=True), 0.9)
    assert report.main(["--demo"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 run, 1 configuration: results/demo/report/report.html"
    page = Path("results/demo/report/report.html").read_text()
    assert "python report.py --demo --compare" in page
    assert not Path("results/report").exists()


def test_the_results_that_ship_stand_in_a_table_of_their_own(
    tmp_path: Path, data: Path, capsys: Capture, no_pictures: None
) -> None:
    make_run(tmp_path, data, row_config(1), 0.9)
    command = ["--results_dir", str(tmp_path), "--data_dir", str(data)]
    assert report.main(command) == 0
    alone = (tmp_path / "report" / "table.csv").read_text()
    assert "results that ship" not in (tmp_path / "report" / "report.html").read_text()
    assert report.main([*command, "--with_reference"]) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    own, _, shipped = page.partition('<h2 id="reference">')
    assert "1 run." in own and "B3" not in own.partition("<table")[2]
    table = shipped.partition("</table>")[0]
    assert "B3" in table and "16 with" in table and 'href="#row' not in table
    assert (tmp_path / "report" / "table.csv").read_text() == alone
    assert "## The results that ship with this project" in (tmp_path / "report" / "report.md").read_text()


def test_a_document_may_hold_the_short_block_or_the_whole_table_or_both(
    tmp_path: Path, data: Path, no_pictures: None
) -> None:
    for row in range(1, 10):
        make_run(tmp_path, data, row_config(row), 0.6 + 0.04 * row)
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- results:begin -->\n<!-- results:end -->\n<!-- results_table:begin -->\n<!-- results_table:end -->\n"
    )
    command = ["--results_dir", str(tmp_path), "--data_dir", str(data), "--update_readme", "--readme", str(page)]
    assert report.main(command) == 0
    brief, whole = page.read_text().split("<!-- results:end -->")
    assert len(brief.strip().splitlines()) - 1 <= 12  # but the marker
    assert "| 9 |" in brief and "| 2 |" not in brief  # the six best
    assert all(f"| {row} |" in whole for row in range(1, 10))


def test_a_report_to_be_passed_on_has_no_message_in_it(tmp_path: Path, data: Path, no_pictures: None) -> None:
    results = tmp_path / "results"
    make_run(results, data, row_config(1), 0.8)
    command, pages = ["--results_dir", str(results), "--data_dir", str(data)], []
    for flags in ([], ["--without_texts"]):
        assert report.main([*command, *flags]) == 0
        pages.append((results / "report" / "report.html").read_text(encoding="utf-8"))
    texts = load_splits(data, trust_new_hash=True)["test"]["Text"]
    assert [any(text in page for text in texts) for page in pages] == [True, False]
