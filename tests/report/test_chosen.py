"""Learning rates and sizes that were tried: validation chooses, test figures are shown for the chosen one alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import report
from ablation.config.rows import row_config
from ablation.listener import Count
from ablation.report.chosen import choose, shown_groups
from ablation.report.contents import Contents, gather, with_own_rates
from ablation.report.findings import Finding
from ablation.report.groups import Group, group_runs
from ablation.report.markdown import report_markdown
from ablation.report.page import report_page
from ablation.report.sizes import accuracy_against_sizes, difference_text, largest_difference, size_lines
from ablation.report.suggestions import Suggestions
from ablation.report.table import make_table
from ablation.report.tried import tried_tables
from ablation.results.questions import Family, Question
from ablation.results.read import FinishedRun, row_settings
from ablation.tasks.spam import SPAM
from tests.support.made_up_results import made_up_messages, make_run, publish


def run(
    folder: Path, rate: float, seed: int, validation: float, test: float, loss: float, row: int = 28
) -> FinishedRun:
    """A run as it is read back, of a row at this rate."""
    own = folder / f"{row}-{rate:g}-{seed}"
    own.mkdir()
    (own / "losses.csv").write_text(f"step,train_loss,validation_loss\n0,0.7,0.7\n50,0.1,{loss}\n")
    settings = row_settings(SPAM, row, learning_rate=rate)
    values = {"training_acc": 1.0, "validation_acc": validation, "test_acc": test}
    return FinishedRun(SPAM, settings, (seed, None), values, {}, 1.0, {"timestamp_utc": f"{seed}"}, own, {})


def groups_of(*runs: FinishedRun) -> list[Group]:
    return group_runs(runs)[0]


def test_validation_chooses_and_never_the_test(tmp_path: Path) -> None:
    figures = {1e-3: (0.90, 0.99), 1e-2: (0.95, 0.80), 1e-1: (0.93, 0.97)}
    runs = [run(tmp_path, rate, seed, *figures[rate], 0.1) for rate in figures for seed in (1, 2)]
    groups = groups_of(*runs)
    (choice,) = choose(SPAM, groups)
    assert [one.rate for one in choice.tried] == [1e-3, 1e-2, 1e-1]
    assert choice.chosen is not None and choice.chosen.rate == 1e-2
    assert choice.next_rate is None
    assert [group.first.settings["learning_rate"] for group in shown_groups(SPAM, groups, [choice])] == [1e-2]
    (table,) = tried_tables([choice], Suggestions())
    assert table.rows[1] == ("0.01", "2", "95.00", "0.1000", "chosen")
    assert not any("99" in cell or "97" in cell for line in table.rows for cell in line)
    assert table.command == "" and table.name == "Row 28"


def test_among_equals_the_lowest_last_validation_loss_chooses(tmp_path: Path) -> None:
    """The same answers in another order of seeds are equal, though sums of fractions may differ in the last bit."""
    shares = {1e-3: (141 / 149, 146 / 149, 143 / 149), 1e-2: (143 / 149, 145 / 149, 142 / 149)}
    losses = {1e-3: 0.3, 1e-2: 0.2}
    runs = [run(tmp_path, r, seed, shares[r][seed], 0.5, losses[r]) for r in shares for seed in range(3)]
    (choice,) = choose(SPAM, groups_of(*runs))
    assert choice.chosen is not None and choice.chosen.rate == 1e-2


def test_only_common_seeds_are_compared_and_without_one_nothing_is_chosen(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    runs = [run(tmp_path / "a", 1e-3, 1, 0.9, 0.9, 0.1), run(tmp_path / "a", 1e-2, 1, 0.8, 0.9, 0.1)]
    runs.append(run(tmp_path / "a", 1e-2, 2, 1.0, 0.9, 0.1))  # a seed that the other has not run
    (choice,) = choose(SPAM, groups_of(*runs))
    assert choice.chosen is not None and choice.chosen.rate == 1e-3
    (table,) = tried_tables([choice], Suggestions())
    assert "Not run at it, or failed: 1 seed of other rates;" in " ".join(table.sentences)
    groups = groups_of(runs[0], runs[2])
    (choice,) = choose(SPAM, groups)
    assert choice.chosen is None
    assert [group.name for group in shown_groups(SPAM, groups, [choice])] == ["28"]  # at its own, declared rate
    (table,) = tried_tables([choice], Suggestions())
    assert "no seed is common" in table.sentences[0]
    assert table.command == "python sweep.py --rows 28 --seeds 123-132 --learning_rate 0.001,0.01"


def test_a_rate_whose_loss_is_not_finite_is_never_chosen(tmp_path: Path) -> None:
    runs = [run(tmp_path, 1e-1, 1, 1.0, 0.9, float("nan")), run(tmp_path, 1e-2, 1, 0.8, 0.9, 0.1)]
    (choice,) = choose(SPAM, groups_of(*runs))
    assert choice.chosen is not None and choice.chosen.rate == 1e-2
    (table,) = tried_tables([choice], Suggestions())
    assert table.rows[1][2:] == ("loss not finite", "–", "")


@pytest.mark.parametrize(("best", "word", "then"), [(1e-3, "smallest", "0.0001"), (1e-1, "largest", "1")])
def test_a_best_one_at_the_edge_is_marked_with_what_to_try(tmp_path: Path, best: float, word: str, then: str) -> None:
    runs = [run(tmp_path, rate, 7, 0.9 + 0.05 * (rate == best), 0.5, 0.1) for rate in (1e-3, 1e-2, 1e-1)]
    (table,) = tried_tables(choose(SPAM, groups_of(*runs)), Suggestions())
    assert [line[0] for line in table.rows if line[-1] == "chosen, at the edge"] == [f"{best:g}"]
    assert f"is the {word}" in " ".join(table.sentences)
    assert table.command == f"python sweep.py --rows 28 --seeds 7 --learning_rate {then}"
    assert "questions about row 28" in " ".join(table.sentences).lower()  # whose own rate is 1e-2


def test_other_settings_and_published_rows_stay_apart(tmp_path: Path) -> None:
    one = [run(tmp_path, rate, 1, 0.9, 0.9, 0.1, row=row) for row in (24, 26) for rate in (3e-4,)]
    assert choose(SPAM, groups_of(*one)) == []
    rows = [run(tmp_path, rate, 1, 0.9 + rate, 0.9, 0.1, row=1) for rate in (5e-5, 1e-3)]
    groups = groups_of(*rows)
    (choice,) = choose(SPAM, groups)
    assert choice.chosen is not None and choice.chosen.rate == 1e-3
    assert len(shown_groups(SPAM, groups, [choice])) == 2  # published figures stand beside row 1, whatever is chosen


def test_a_question_about_a_row_says_that_another_rate_is_chosen(tmp_path: Path) -> None:
    (choice,) = choose(SPAM, groups_of(*[run(tmp_path, rate, 1, 1 - rate, 0.5, 0.1) for rate in (1e-3, 1e-2)]))
    asked = Question("1", "28", "Better?", Family("Some", 0.01))
    (note,) = with_own_rates(Finding(asked, seeds=1), [choice]).notes
    assert note.startswith("questions about row 28 are answered from its own learning rate, 0.01")
    assert with_own_rates(Finding(replace(asked, second="30"), seeds=1), [choice]).notes == ()


# ---- the report -----------------------------------------------------------------------------------------------------

ACCURACY = {1e-4: 0.80, 1e-3: 0.99, 1e-2: 0.89}
TRAINED = {4: 9_000, 16: 36_000, 64: 140_000}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results of row 30 at three rates and of row 24 in three sizes; with the folder of the messages."""
    folder = tmp_path_factory.mktemp("chosen")
    data, results = made_up_messages(folder / "data"), folder / "results"
    for seed in (1, 2):
        for rate, accuracy in ACCURACY.items():
            make_run(results, data, row_config(30, seed=seed, learning_rate=rate), accuracy)
        for width, trained in TRAINED.items():
            config = row_config(24, seed=seed, bottleneck=width)
            make_run(results, data, config, 0.84 + width / 1000, trainable_parameters=trained)
    return results, data


@pytest.fixture(scope="module")
def contents(made: tuple[Path, Path]) -> Contents:
    with pytest.MonkeyPatch.context() as patch:
        publish(patch, made[1])
        return gather(SPAM, *made)


def test_the_table_the_answer_and_the_chapter_have_the_chosen_rate_alone(contents: Contents) -> None:
    names = [row.name for row in contents.rows]
    assert [name for name in names if name.startswith("30")] == ["30 with --learning_rate 0.001"]
    assert contents.runs == 12
    assert "30 with --learning_rate 0.001" in " ".join(contents.answer)
    assert {way.group.name for way in contents.chapter.ways} == set(names)


def test_the_report_says_which_rates_were_tried_without_test_figures(contents: Contents) -> None:
    found = accuracy_against_sizes(contents)
    assert found is not None and "farthest apart in validation" in found[1]
    plt.close(found[0])
    for written in (report_page(contents, []), report_markdown(contents, [])):
        assert "Learning rates tried" in written and "Tried: 0.0001, 0.001, 0.01" in written
        assert "30 with --learning_rate 0.001" in written
        assert not re.search(r"30 with --learning_rate 0\.(0001|01)\b", written)  # whose figures have its name beside


def test_sizes_at_one_rate_or_each_at_its_chosen_one_are_a_line(contents: Contents, tmp_path: Path) -> None:
    pairs = list(zip(contents.groups, contents.rows, strict=True))
    (line,) = size_lines(SPAM, pairs, contents.choices)
    assert [size.parameters for size in line.sizes] == [9_000, 36_000, 140_000]
    assert (line.name, line.rate) == ("serial adapter (row 24)", 3e-4)
    found = largest_difference(SPAM, line, contents.likeness)
    figures = [size.row.figures["validation_acc"].mean for size in line.sizes]
    compared = {size.row.figures["validation_acc"].mean for size in (found.smaller, found.larger)}
    assert compared == {min(figures), max(figures)} and found.smaller.parameters < found.larger.parameters
    assert found.comparison.interval is not None
    low, high = (f"{100 * bound:+.2f}" for bound in found.comparison.interval)
    assert f"(95 % interval {low} to {high})" in difference_text(SPAM, line, contents.likeness)
    assert difference_text(SPAM, line, contents.likeness).startswith("Serial adapter (row 24): bottleneck ")


def test_sizes_at_rates_of_their_own_are_compared_only_where_each_was_chosen(made: tuple[Path, Path]) -> None:
    results, data = made
    folder = results.parent / "rates"
    for width, rates in {16: (1e-4, 1e-3), 64: (1e-3, 3e-3)}.items():
        for rate in rates:
            accuracy = 0.95 if rate in (1e-4, 3e-3) else 0.8
            config = row_config(24, seed=1, bottleneck=width, learning_rate=rate)
            make_run(folder, data, config, accuracy, trainable_parameters=1000 * width)
    gathered = gather(SPAM, folder, data)
    runs, choices = gathered.groups, gathered.choices
    pairs = list(zip(runs, make_table(SPAM, runs, None), strict=True))
    (line,) = size_lines(SPAM, pairs, choices)
    assert line.rate is None and len(line.sizes) == 2
    assert size_lines(SPAM, pairs, choices[:1]) == []  # one of the two rates was not chosen among several


def test_ranks_of_published_lora_are_sizes_too(tmp_path: Path) -> None:
    """Though its default rank is in no settings."""
    runs = [run(tmp_path, 5e-5, 1, 0.9, 0.9, 0.1, row=11)]
    for rank in (8, 4):
        settings = row_settings(SPAM, 11, lora_rank=rank)
        fields = {**runs[0].fields, "trainable_parameters": str(rank), "lora_rank": str(rank)}
        runs.append(replace(runs[0], settings=settings, fields=fields))
    groups = groups_of(*runs[1:])
    rows = make_table(SPAM, [replace_counts(group) for group in groups], None)
    (line,) = size_lines(SPAM, zip(groups, rows, strict=True))
    assert [line.called(size) for size in line.sizes] == ["lora rank 4", "lora rank 8"]


def replace_counts(group: Group) -> Group:
    """With counts, which the table needs."""
    counts = dict.fromkeys(("train", "validation", "test"), Count(9, 10))
    runs = {seeds: replace(run, counts=counts) for seeds, run in group.runs.items()}
    return Group(group.key, group.name, runs)


def test_a_rate_that_is_not_shown_is_not_compared_either(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(monkeypatch, made[1])
    flags = ["--results_dir", str(made[0]), "--data_dir", str(made[1]), "--compare", "24 with --bottleneck 4"]
    assert report.main([*flags, "30 with --learning_rate 0.01"]) == 2
    assert "another learning rate is chosen by validation" in capsys.readouterr().err
