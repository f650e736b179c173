"""What a person sees of a run while it goes on, and lines that fit the terminal."""

from __future__ import annotations

import io
from contextlib import closing

import pytest

from ablation.commands import fail, fold, tell, terminal_width
from ablation.config.rows import row_config
from ablation.listener import Count, Listener, StepLosses
from ablation.run.console import BAR, Console
from ablation.run.experiment import run_experiment
from ablation.tasks.spam import SPAM
from tests.support.terminal import a_terminal
from tests.support.tiny import few_demo_messages


def test_lines_are_folded_on_a_terminal_alone() -> None:
    line = " ".join(["word"] * 40)
    with a_terminal(80) as terminal:
        assert fail([line]) == 1
        tell(line)
        assert terminal_width(terminal) == 80
    assert [len(one) <= 80 for one in terminal.getvalue().splitlines()] == [True] * 6
    assert terminal.getvalue().replace("\n  ", " ") == f"error: {line}\n{line}\n"
    piped = io.StringIO()
    tell(line, piped)
    assert piped.getvalue() == f"{line}\n"
    assert (terminal_width(piped), terminal_width(None)) == (None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("as short as that", "as short as that"),
        ("a path: /a-very/long-path/that-has/no-blank.json", "a path:\n  /a-very/long-path/that-has/no-blank.json"),
        ("plan    one two three four", "plan    one two\n        three four"),  # under the second column
        ("a very long first column  and more", "a very long first\n  column  and more"),
        ("  python report.py --results_dir x", "  python report.py --results_dir x"),  # to copy
        ("one\n\ntwo", "one\n\ntwo"),
    ],
)
def test_nothing_is_cut_within_a_word(text: str, expected: str) -> None:
    assert fold(text, 18) == expected


def test_a_quiet_console_says_nothing() -> None:
    for quiet in (True, False):
        with a_terminal(80) as terminal, closing(Console(quiet=quiet)) as console:
            console.message("a message")
            console.work_started("frozen pass", 2, "messages")
            console.work_advanced(1)
            console.evaluated(StepLosses(1, 0, 0.5, 0.5))
            console.epoch_ended(1, Count(1, 2), Count(1, 2))
        assert bool(terminal.getvalue()) is not quiet
    assert "Ep 1 done: training accuracy 50.00%, validation 50.00% (of 2 and 2)\n" in terminal.getvalue()


def test_a_rate_is_per_second_in_words_that_people_know() -> None:
    with a_terminal(80) as terminal, closing(Console()) as console:
        console.work_started("frozen pass", 1494, "messages")
    assert "0/1494 [" in terminal.getvalue() and "messages/s]" in terminal.getvalue()
    assert "noinv" in BAR  # else a slow one would be seconds per message


@pytest.mark.parametrize("row", [1, 3, 4])
def test_the_work_of_a_run_is_counted_in_messages_and_batches(row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of what was announced is done at the end, whatever of a message one piece of work is."""
    announced, done = dict[str, tuple[int, str]](), dict[str, int]()

    class Counting(Listener):
        def work_started(self, what: str, amount: int, unit: str) -> None:
            self._what = what if what not in announced else f"{what}, the rest"
            announced[self._what], done[self._what] = (amount, unit), 0

        def work_advanced(self, amount: int) -> None:
            done[self._what] += amount

    monkeypatch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
    run_experiment(SPAM, row_config(row, demo=True, max_steps=3, eval_iter=1, context_length=8), Counting())
    assert announced["training"] == (3, "batches")
    assert {unit for _, unit in announced.values()} == {"batches", "messages"}
    assert announced["frozen pass"][0] + announced["frozen pass, the rest"][0] <= 120  # the distinct ones
    assert done == {what: amount for what, (amount, _) in announced.items()}
