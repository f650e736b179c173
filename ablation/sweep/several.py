"""Several values of one setting: in a sweep a comma between them means several runs.

Where one value may itself have commas, as the blocks 1,6,12, it is one value as it stands; several are told by the +
within them: 1+6+12,1+2+3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

from ablation.config.flags import CommandLine
from ablation.config.settings import fields_of

Values = tuple[tuple[str, str], ...]  # (setting, value as typed) of each setting that a sweep tries several values of
RATE = "learning_rate"


def takes_several(command: CommandLine) -> tuple[str, ...]:
    """The settings of which a sweep tries several values: those that define the experiment and have a value, but the
    seed, which the sweep sets, and free text, in which a comma is a comma."""
    return tuple(
        name
        for name, setting in fields_of(command.config_class).items()
        if setting.metadata["identity"]
        and not isinstance(setting.default, bool)
        and setting.metadata["parse"] is not str
        and name != "seed"
    )


def combinations(command: CommandLine, flags: Sequence[str]) -> tuple[list[Values], list[str]]:
    """What the flags of a sweep's runs ask for.

    Args:
        flags: the runner's, as typed: ``--learning_rate 1e-4,1e-3`` is two.

    Returns:
        Each combination of the values of settings that have several, in the order typed (one empty one where none
        has), and the flags without those settings.

    Raises:
        SystemExit: from argparse, for a flag without its value.
    """
    given = vars(command.parser().parse_known_args(flags)[0])
    lists = {
        name: [(name, value.strip()) for value in given[name].split(",")]
        for name in given
        if name in takes_several(command) and _is_several(command, name, given[name])
    }
    return list(product(*lists.values())), _without(flags, lists)


def _is_several(command: CommandLine, name: str, text: str) -> bool:
    """Whether a comma stands between values rather than within one."""
    one = fields_of(command.config_class)[name].metadata["commas"] and "+" not in text
    return "," in text and not one


def _without(flags: Sequence[str], names: Iterable[str]) -> list[str]:
    """The flags without those of these names and their values."""
    names, kept, of_dropped = set(names), list[str](), False
    for flag in flags:
        if of_dropped:
            of_dropped = False
            continue
        name, with_value, _ = flag.removeprefix("--").partition("=")
        if flag.startswith("--") and name in names:
            of_dropped = not with_value
        else:
            kept.append(flag)
    return kept


def as_flags(values: Values) -> list[str]:
    """A combination as the runner takes it."""
    return [f"--{name}={value}" for name, value in values]


def in_words(values: Values) -> str:
    """``, learning_rate 1e-4, lora_rank 8``: to stand behind the row; empty without any."""
    return "".join(f", {name} {value}" for name, value in values)
