"""What the parsers of all commands have in common."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ablation.commands import WRONG_COMMAND, fail, say
from ablation.config.hints import hint
from ablation.environment import version


class Parser(argparse.ArgumentParser):
    """A parser of any command: it knows the version, refuses a wrong command in one line, as all else is refused, and
    says what an unknown flag is called here."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.add_argument("--version", action=_ShowVersion, help="say the version and the commit, and end")

    @property
    def flags(self) -> list[str]:
        return [name for action in self._actions for name in action.option_strings]

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        meant = hint(unknown.split(), self.flags) if unknown != message else ""
        self.exit(fail([f"{message}; {meant or f'{self.prog} --help lists all flags'}"], WRONG_COMMAND))


class _ShowVersion(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=options["help"])

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        say(f"{parser.prog} {version()}")
        parser.exit()


def argument(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader of ``ablation/config/values.py`` as ``type=`` of argparse, which would hide what a ValueError says."""

    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{shlex.quote(text)}: {error}") from None

    return convert
