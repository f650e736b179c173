"""The examples of docs/python.md, as they stand: they give what the page shows, figures aside."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path

import pytest

import ablation
from ablation.environment import PROJECT
from tests.docs.test_classify import without_figures

PAGE = PROJECT / "docs" / "python.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = doctest.DocTestParser().get_examples("\n".join(re.findall(r"```pycon\n(.*?)```", TEXT, re.DOTALL)))


class FiguresAside(doctest.OutputChecker):
    """Every line that the page shows is printed, in this order; more may be, where a run tells how it goes on."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        printed = iter(without_figures(got))
        return all(line in printed for line in without_figures(want)) and bool(want.strip()) == bool(got.strip())


def test_the_page_shows_the_whole_interface() -> None:
    assert "from ablation import load_classifier, load_results, run_experiment" in EXAMPLES[0].source
    functions = [name for name in ablation.__all__ if inspect.isfunction(getattr(ablation, name))]
    assert len(functions) == 3 and all(f"{name}(" in TEXT for name in functions)
    assert len(EXAMPLES) >= 16 and sum(bool(example.exc_msg) for example in EXAMPLES) == 4


def test_figures_are_all_that_may_differ() -> None:
    same = FiguresAside().check_output
    assert same("ham 99.1 %\n", "first\nham 98.1 %\n", 0)
    assert not same("ham 99.1 %\n", "spam 99.1 %\n", 0)
    assert not same("a\nb\n", "b\na\n", 0) and not same("", "something", 0)


@pytest.mark.slow
def test_the_examples_give_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTest(EXAMPLES, {}, PAGE.name, str(PAGE), 0, TEXT)
    told: list[str] = []
    runner = doctest.DocTestRunner(FiguresAside(), verbose=False)
    runner.run(test, out=told.append)
    assert runner.tries == len(EXAMPLES) and runner.failures == 0, "".join(told)
