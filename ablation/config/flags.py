"""From the flags of a command to a configuration; whatever is wrong with the command is found together."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablation.config.base_run import BaseRunError, base_settings
from ablation.config.effects import REASONS, why_no_effect
from ablation.config.experiment import ExperimentConfig
from ablation.config.methods import DECLARATIONS, METHOD_OPTIONS, own_settings
from ablation.config.parser import Parser
from ablation.config.rows import ROW_SETS, ROWS
from ablation.config.settings import (
    DEMO_RESULTS_DIR,
    PRETRAINED,
    RESULTS_DIR,
    SHAPE_OVERRIDES,
    CommonSettings,
    ConfigError,
    fields_of,
)
from ablation.environment import python_command

READ_FROM = ("data_dir", "models_dir")  # folders that a run reads, and fetches what is missing into
COMMAND_OPTIONS = ("row", "dry_run", "force", "list_rows", "quiet", "progress_file")
FORCE = "try even if the memory looks too small"


@dataclass(frozen=True)
class CommandLine:
    """How experiments of one task are asked for.

    Attributes:
        program: the command at the root that runs one.
        description: of its ``--help``.
        config_class: what flags make; each field of it is a flag.
        rows: what differs from the defaults, by the number that ``--row`` takes.
        row_sets: rows that have a name together.
        files: settings that name files to read, which have to be there.
        further_flags: adds flags that are no settings to a parser; they are read as the command's own options.
        further: their names.
    """

    program: str
    description: str
    config_class: type[CommonSettings]
    rows: Mapping[int, Mapping[str, Any]]
    row_sets: Mapping[str, Sequence[int]] = field(default_factory=dict)
    files: Sequence[str] = ()
    further_flags: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    further: tuple[str, ...] = ()

    def parser(self) -> Parser:
        """The flags. Values are read and checked by :meth:`configure`, all at once."""
        parser = Parser(
            self.program,
            usage="%(prog)s [--demo] [--row N] [--FLAG VALUE ...]",
            description=self.description,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        span = f"{min(self.rows)} to {max(self.rows)}"
        parser.add_argument("--row", metavar="N", help=f"row of the table, {span}; other flags override it")
        parser.add_argument(
            "--dry_run", action="store_true", help="say what would be done and downloaded; load nothing"
        )
        parser.add_argument("--force", action="store_true", help=FORCE)
        parser.add_argument("--list_rows", action="store_true", help="show the rows and their published figures")
        parser.add_argument("--quiet", action="store_true", help="print the result and nothing else, but for warnings")
        parser.add_argument("--progress_file", help=argparse.SUPPRESS)  # a sweep's: where to say how far the run is
        self.further_flags(parser)
        self.add_settings(parser)
        return parser

    def add_settings(self, parser: argparse._ActionsContainer, without: Iterable[str] = ()) -> None:
        """The flags that are settings; none of them has a value where it was not given."""
        for name, setting in fields_of(self.config_class).items():
            help_text = setting.metadata["help"].replace("%", "%%")
            given: dict[str, Any] = {"default": argparse.SUPPRESS}
            if isinstance(setting.default, bool):
                given |= {"action": "store_true", "help": help_text}
            else:
                usual = setting.metadata["usual"]
                default = "" if usual is None else f" (default: {usual})"
                choices = setting.metadata["choices"]
                among = f"; one of {', '.join(choices)}" if choices else ""
                given |= {"metavar": "VALUE", "help": help_text + among + default}
            if name in self.config_class.OF_OTHERS:
                given["help"] = argparse.SUPPRESS
            if name not in without:
                parser.add_argument(f"--{name}", **given)

    def read(self, arguments: Sequence[str] | None = None) -> tuple[Any, list[str], dict[str, Any]]:
        """The configuration that a command line means, remarks on it, and the command's own options.

        Raises:
            ConfigError: the command is wrong.
            SystemExit: from argparse, for an unknown flag or ``--help``.
        """
        parser = self.parser()
        known, rest = parser.parse_known_args(arguments)
        flags = vars(known)
        if missing := self._missing_blanks(flags, rest, parser.flags):
            raise ConfigError(missing)
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        options = {name: flags.pop(name) for name in (*COMMAND_OPTIONS, *self.further) if name in flags}
        config, warnings = self.configure(flags, options.get("row"))
        return config, warnings, options

    def given(self, arguments: Sequence[str] | None = None) -> frozenset[str]:
        """Names of the settings, and ``row``, that a command line gives."""
        named = vars(self.parser().parse_known_args(arguments)[0])
        return frozenset(name for name in named if name == "row" or name in fields_of(self.config_class))

    def _missing_blanks(self, flags: Mapping[str, str | bool], rest: Sequence[str], known: Sequence[str]) -> list[str]:
        """Where a flag was typed without a blank before it, so that the shell made it a part of the value before: row 9
        is printed so. Only where the command is wrong as it stands, because folders may have such names."""
        problems = []
        for name, value in flags.items():
            cut = max((str(value).find(flag, 1) for flag in known if str(value).endswith(flag)), default=-1)
            if isinstance(value, str) and cut > 0 and (rest or self._refused(name, value)):
                before, flag = value[:cut].rstrip(), value[cut:]
                problems.append(
                    f"--{name} {shlex.quote(value)}: a blank is missing before {flag};"
                    f" type {typed({name: before})} {' '.join([flag, *rest])}"
                )
        return problems

    def _refused(self, name: str, value: str) -> bool:
        setting = fields_of(self.config_class).get(name)
        try:
            if setting is not None:
                setting.metadata["parse"](value)
        except ValueError:
            return True
        return False

    def configure(self, flags: Mapping[str, str | bool], row: str | None = None) -> tuple[Any, list[str]]:
        """Build the configuration of one command.

        Args:
            flags: the flags that were given, by field name; strings as typed, ``True`` for a switch.
            row: the value of ``--row`` as typed; the given flags override the row's.

        Returns:
            The configuration, and remarks on what was given (see :func:`remarks`).

        Raises:
            ConfigError: all problems of the command together.
        """
        problems: list[str] = []
        values: dict[str, Any] = {}
        if row is not None:
            if row.isdecimal() and int(row) in self.rows:
                values.update(_without_replaced(self.rows[int(row)], flags))
            else:
                span = f"rows {min(self.rows)} to {max(self.rows)}"
                problems.append(f"--row {row}: the table has {span}; give one of them{_sweep(row, flags)}")
        if "method" in flags and "trainable_layers" in flags:
            problems.append(
                f"--method {flags['method']} with --trainable_layers {flags['trainable_layers']}: both say what trains;"
                " give one of the two"
            )
        fields = fields_of(self.config_class)
        for name, text in flags.items():
            if isinstance(text, bool):
                values[name] = text
                continue
            try:
                values[name] = fields[name].metadata["parse"](text)
            except ValueError as error:
                problems.append(f"--{name} {shlex.quote(text)}: {error}")
                values.pop(name, None)  # checked on with the default, so that the other problems are found too
        if "method" in flags and "method" not in values:  # nobody knows which settings it would have
            values = {name: value for name, value in values.items() if name not in own_settings()}
        try:
            values |= base_settings(self.config_class, values)
        except BaseRunError as error:
            problems.append(str(error))
            values = {name: value for name, value in values.items() if name not in ("weights", *SHAPE_OVERRIDES)}
        try:
            config = self.config_class(**values)
        except ConfigError as error:
            problems.extend(error.problems)
        default_dir = DEMO_RESULTS_DIR if values.get("demo") else RESULTS_DIR
        if not values.get("demo"):  # which reads and fetches nothing there
            problems.extend(folder_problems({name: values[name] for name in READ_FROM if name in values}))
        problems.extend(file_problems({name: values[name] for name in self.files if name in values}))
        problems.extend(path_problems(values.get("results_dir", default_dir), values.get("weights_path")))
        if problems:
            raise ConfigError(problems)
        return config, remarks(config, given=flags.keys())


EXPERIMENTS = CommandLine(
    "additional_experiments.py",
    "Fine-tune GPT-2 as an SMS spam classifier, one row of the ablation table per command,"
    " and append the row to a CSV.",
    ExperimentConfig,
    ROWS,
    ROW_SETS,
)


def _without_replaced(row: Mapping[str, Any], flags: Mapping[str, str | bool]) -> dict[str, Any]:
    """What remains of a row's settings where flags name another method: none of the settings of its own one."""
    method, named = row.get("method"), str(flags["method"]).lower() if "method" in flags else None
    gone: set[str] = set()
    if method is None and named is not None:  # a published row, whose options the method may have, too
        new = DECLARATIONS.get(named)
        gone = {"trainable_layers", *(name for name in METHOD_OPTIONS if new is None or not new.takes(name))}
    elif method is not None and ("trainable_layers" in flags or named not in (None, method)):
        own = DECLARATIONS[method]
        gone = {"method", *own.options, *(own.defaults or ())}
    return {name: value for name, value in row.items() if name not in gone}


def typed(settings: Mapping[str, Any]) -> str:
    """Settings as the flags that a person types; a value that no flag can give reads ``name=value``."""
    parts = []
    for name, value in settings.items():
        if value is True:
            parts.append(f"--{name}")
        elif value is False or value is None:
            parts.append(f"{name}={value}")
        else:
            text = str(value)
            parts.append(f'--{name} "{text}"' if " " in text else f"--{name} {text}")
    return " ".join(parts)


def _sweep(rows: str, flags: Mapping[str, str | bool]) -> str:
    """The command for several rows, with the data and the results of this one; empty if only one was asked for."""
    if not re.fullmatch(r"all|\d+([,-]\d+)+", rows):
        return ""
    kept = {name: flags[name] for name in ("demo", "results_dir") if name in flags}
    return f", or several to {python_command()} sweep.py {typed({'rows': rows, **kept})}"


def folder_problems(folders: Mapping[str, str | Path]) -> list[str]:
    """One line for each of some flags (by name) that is given a file, or something below one, for a folder."""
    problems = []
    for name, given in folders.items():
        folder = Path(given).absolute()
        obstacle = next((path for path in (folder, *folder.parents) if path.exists()), folder)
        if obstacle.is_file():
            problems.append(f"--{name} {given}: {obstacle} is a file; give a folder")
    return problems


def file_problems(files: Mapping[str, str]) -> list[str]:
    """One line for each of some flags (by name) that names no file."""
    return [
        f"--{name} {file}: {'is a folder' if Path(file).is_dir() else 'no such file'}; check the path"
        for name, file in files.items()
        if not Path(file).is_file()
    ]


def report_command(results_dir: str, data_dir: str) -> str:
    """The command that reports on these results, as a person types it."""
    if results_dir == DEMO_RESULTS_DIR:
        return f"{python_command()} report.py --demo"
    places = {"results_dir": (results_dir, RESULTS_DIR), "data_dir": (data_dir, "data")}
    flags = [part for name, (own, usual) in places.items() if own != usual for part in (f"--{name}", own)]
    return f"{python_command()} {shlex.join(['report.py', *flags])}"


def path_problems(results_dir: str, weights_path: str | None) -> list[str]:
    """What is wrong with the paths of a command, one line per problem."""
    problems = []
    folder = Path(results_dir).absolute()
    obstacle = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if obstacle is not None and not obstacle.is_dir():
        problems.append(f"--results_dir {results_dir}: {obstacle} is a file; give a folder")
    elif obstacle is not None and not os.access(obstacle, os.W_OK):
        problems.append(f"--results_dir {results_dir}: {obstacle} cannot be written to; give another folder")
    return problems + weights_path_problems(weights_path)


def weights_path_problems(weights_path: str | None) -> list[str]:
    """Whether there is nothing at the path, neither as such nor as the prefix of a TensorFlow checkpoint."""
    if weights_path is None or Path(weights_path).exists() or Path(f"{weights_path}.index").exists():
        return []
    return [f"--weights_path {weights_path}: no such file or folder; check the path"]


def threshold_problems(threshold: float | None) -> list[str]:
    """Whether a threshold is given that is no probability."""
    if threshold is None or 0 <= threshold <= 1:
        return []
    return [f"--threshold {threshold:g}: is a probability; give 0 to 1"]


def remarks(config: CommonSettings, given: Iterable[str]) -> list[str]:
    """One line for each setting among ``given`` that changes nothing in this configuration, or means more than it
    says."""
    given = set(given)
    reasons = {name: why_no_effect(name, config) for name in REASONS if name in given}
    lines = [f"--{name} has no effect {reason}" for name, reason in reasons.items() if reason]
    if "weights_path" in given and "model_size" not in given and config.weights == PRETRAINED and not config.demo:
        lines.append(f"--weights_path is read as {config.model_size}; give --model_size if it is another size")
    return lines
