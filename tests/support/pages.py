"""What a page of the documents says is tried: its examples, and its commands of ``baselines.py``."""

from __future__ import annotations

import argparse
import doctest
import re
import shlex
from collections.abc import Sequence

import baselines
from ablation.environment import PROJECT


def page(name: str) -> str:
    """The text of ``docs/NAME.md``."""
    return (PROJECT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def examples_that_hold(name: str) -> int:
    """How many examples a page shows, after each has printed what is shown.

    Raises:
        AssertionError: one has not.
    """
    examples = "\n".join(re.findall(r"```pycon\n(.*?)```", page(name), re.DOTALL))
    test = doctest.DocTestParser().get_doctest(examples, {}, f"{name}.md", f"docs/{name}.md", 0)
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
    return len(test.examples)


def baseline_commands(name: str) -> list[list[str]]:
    """The arguments of every ``python baselines.py`` on a page."""
    lines = re.findall(r"^python (baselines.*)$", page(name), re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def planned_baselines(arguments: Sequence[str], seeds: Sequence[int]) -> tuple[argparse.Namespace, list[str], int]:
    """What such a command is read as, its baselines by name, and how many runs it makes with these seeds, if it names
    any.

    Raises:
        AssertionError: a setting has no effect.
    """
    options = baselines.make_parser().parse_args(list(arguments))
    names = baselines.parse_rows(options.rows)
    planned = baselines.plan(names, baselines.read_config(options), seeds if options.seeds else [123])
    given = [setting for setting, value in vars(options).items() if value is not None]
    assert baselines.remarks(names, planned, given) == []
    return options, names, len(planned)
