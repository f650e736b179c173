"""How a setting is declared: a field of a dataclass that says what its flag does and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

from ablation.config.values import one_of


class ConfigError(ValueError):
    """A configuration that cannot be run; ``problems`` has one line for each thing that is wrong with it."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def option(
    default: Any,
    help_text: str,
    parse: Callable[[str], Any] = str,
    *,
    choices: tuple[str, ...] = (),
    identity: bool = True,
    usual: Any = None,
    commas: bool = False,
    meanings: Mapping[str, str] | None = None,
) -> Any:
    """A field with its help text, the reader of its flag (or ``choices`` in its place), and whether it is part of what
    defines the experiment.

    Args:
        usual: what the default None of a setting stands for where no method says something else.
        commas: one value may have commas in it; with + in their place, a comma in a sweep begins the next value.
        meanings: choices -> words that people type for them.
    """
    usual = default if usual is None else usual
    metadata = {"help": help_text, "choices": choices, "identity": identity, "usual": usual, "commas": commas}
    return field(default=default, metadata={**metadata, "parse": one_of(choices, meanings or {}) if choices else parse})


def run_option(default: Any, help_text: str, parse: Callable[[str], Any] = str, choices: tuple[str, ...] = ()) -> Any:
    """An :func:`option` that changes nothing about what the experiment is."""
    return option(default, help_text, parse, choices=choices, identity=False)
