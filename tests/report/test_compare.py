"""Two rows side by side: ``report.py --compare 1 16`` on the screen and as a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import report
from ablation.config.rows import row_config
from ablation.report import significance
from ablation.report.compare import Comparison, ComparisonError, compare, find_row
from ablation.report.compare_text import screen_lines
from ablation.report.contents import Contents, gather
from ablation.tasks.spam import SPAM
from tests.support.made_up_results import made_up_messages, make_run, publish, splits_of

SEEDS = range(6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Results of rows 1 and 16 with six seeds, of row 2 with one, and of a variant."""
    folder = tmp_path_factory.mktemp("compared")
    data = made_up_messages(folder / "data", 60)
    for seed in SEEDS:
        make_run(folder / "results", data, row_config(1, seed=seed), 0.8)
        make_run(folder / "results", data, row_config(16, seed=seed), 0.95)
    make_run(folder / "results", data, row_config(2, seed=0), 0.6)
    make_run(folder / "results", data, row_config(16, seed=0, weights="random"), 0.6)
    with pytest.MonkeyPatch.context() as patch:
        publish(patch, data)
        yield folder


@pytest.fixture(scope="module")
def contents(folder: Path) -> Contents:
    return gather(SPAM, folder / "results", folder / "data")


@pytest.fixture(scope="module")
def one_and_sixteen(contents: Contents) -> Comparison:
    return compare(contents, "1", "16")


def correct(contents: Contents, name: str) -> np.ndarray:
    """(S, N) of a row by name."""
    (group,) = [group for group in contents.groups if group.name == name]
    return np.array([run.predictions("test").correct for run in group.runs.values()])


def command(folder: Path, first: str, second: str) -> list[str]:
    return ["--results_dir", str(folder / "results"), "--data_dir", str(folder / "data"), "--compare", first, second]


def test_the_command_shows_the_difference_and_writes_the_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert report.main(command(folder, "1", "16")) == 0
    lines = capsys.readouterr().out.splitlines()
    page = folder / "results" / "report" / "compare_1_16.html"
    assert lines[-1] == f"page: {page}"
    assert max(map(len, lines[:-1])) <= 80
    assert "Row 16 is better than row 1 by" in " ".join(lines)
    text = page.read_text()
    assert "<h1>Row 1 and row 16</h1>" in text and text.count('aria-label="ROC curve"') == 2


def test_the_interval_is_that_of_the_questions(contents: Contents, one_and_sixteen: Comparison) -> None:
    assert contents.likeness is not None
    first, second = correct(contents, "1"), correct(contents, "16")
    expected = significance.paired_comparison(second, first, contents.likeness.clusters["test"])
    assert one_and_sixteen.paired.interval == pytest.approx(expected.interval())
    assert one_and_sixteen.paired.p == pytest.approx(expected.p_value())
    assert one_and_sixteen.paired.difference == pytest.approx(second.mean() - first.mean())


def test_the_messages_that_changed_sides_are_those_by_hand(
    folder: Path, contents: Contents, one_and_sixteen: Comparison
) -> None:
    first, second = correct(contents, "1").sum(0), correct(contents, "16").sum(0)
    texts = splits_of(folder / "data")["test"]["Text"].tolist()
    won, lost = one_and_sixteen.won, one_and_sixteen.lost
    assert {change.index for change in won} == set(np.flatnonzero(second > first))
    assert {change.index for change in lost} == set(np.flatnonzero(second < first))
    gains = [change.right[1] - change.right[0] for change in won]
    assert gains == sorted(gains, reverse=True)
    for change in (*won, *lost):
        assert change.text == texts[change.index]
        assert change.right == (first[change.index], second[change.index])
        assert (change.probability[1] > change.probability[0]) == (change in won)


def test_one_common_seed_is_compared_by_mcnemar(contents: Contents) -> None:
    comparison = compare(contents, "1", "2")
    first, second = correct(contents, "1")[0], correct(contents, "2")[0]
    b, c = int((first < second).sum()), int((first > second).sum())
    assert comparison.paired.p == significance.exact_mcnemar(b, c)
    assert (len(comparison.won), len(comparison.lost)) == (b, c)
    assert "Right only with row 1:" in "\n".join(screen_lines(comparison, 100))


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_screen_whatever_a_message_holds(
    one_and_sixteen: Comparison, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its length nor its escape sequences, which a terminal would obey."""
    monkeypatch.setitem(one_and_sixteen.won[0].__dict__, "text", "\x1b[31mred\x07 " + "long " * 100)
    lines = screen_lines(one_and_sixteen, width)
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    (line,) = [line for line in lines if "red" in line]
    assert line.endswith("…") and "[31mred" in line


def test_a_message_with_html_stays_text_in_the_comparison(
    one_and_sixteen: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ablation.report.page import comparison_page

    monkeypatch.setitem(one_and_sixteen.won[0].__dict__, "text", "<b onclick=x()>WIN</b>")
    page = comparison_page(one_and_sixteen)
    assert "&lt;b onclick=x()&gt;WIN&lt;/b&gt;" in page and "<b " not in page


def test_a_row_is_meant_by_its_name_in_the_table(contents: Contents) -> None:
    assert find_row(contents, "16")[1].row == "16"
    assert find_row(contents, "(16)")[0].name == find_row(contents, "16 with --weights random")[0].name
    with pytest.raises(
        ComparisonError, match=re.escape('--compare 7: no results of that; there are 1, 2, 16, "16 with')
    ):
        find_row(contents, "7")


def test_rows_that_cannot_be_compared_are_named_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(folder / "apart", folder / "data", row_config(1, seed=1), 0.8)
    make_run(folder / "apart", folder / "data", row_config(16, seed=2), 0.8)
    for first, second, words in (("1", "16", "no seed in common"), ("1", "B9", "no results of that")):
        assert report.main([*command(folder, first, second)[2:], "--results_dir", str(folder / "apart")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: --compare {'1 16' if second == '16' else second}: ") and words in line
    assert not (folder / "apart" / "report").exists()
