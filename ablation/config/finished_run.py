"""What can be asked of a finished language model, or of GPT-2 as it is: the flags, and which settings go with them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ablation.config.decoding import RANDOM, Decoding
from ablation.config.generation import DecodingSettings, LanguageModelConfig
from ablation.config.settings import PRETRAINED, ConfigError, fields_of
from ablation.config.values import integer

RUN, GENERATE, SAMPLES = "run", "generate", "samples"
USUAL_SAMPLES = 5
FLAGS: Mapping[str, tuple[str, str]] = {  # name -> what stands for its value, help
    RUN: ("RUN", "go on from a finished run, train nothing: its folder, its id, or latest; needs its --save_model"),
    GENERATE: ("TEXT", "print how a model goes on from a text, and append nothing; of --run RUN, of GPT-2 with"
               " --weights pretrained, or of the miniature with --demo"),
    SAMPLES: ("N", f"how often --generate goes on from it (default: {USUAL_SAMPLES})"),
}  # fmt: skip

# Of a run's own record, unless the command says where they are now.
FROM_THE_RUN = ("data_dir", "train_file", "validation_file", "test_file", "trust_new_hash")
SAID_ANEW = ("seed", "max_len")  # of --generate, though they are the run's
_HERE = (
    "device", "threads", "data_dir", "models_dir", "results_dir", "offline", "trust_new_hash", "demo", "train_file",
    "validation_file", "test_file",
)  # fmt: skip
_SPEAKS = tuple(DecodingSettings.__dataclass_fields__)


def add_flags(parser: argparse._ActionsContainer) -> None:
    """Those of this module; none of them has a value where it was not given."""
    for name, (metavar, help_text) in FLAGS.items():
        parser.add_argument(f"--{name}", metavar=metavar, default=argparse.SUPPRESS, help=help_text)


@dataclass(frozen=True)
class Asked:
    """What a command asks of a model that is there.

    Attributes:
        run: the finished run, as named; None for GPT-2 as it is.
        text: to go on from; None for more rows of the run.
        samples: how often.
        given: the settings that were typed.
    """

    run: str | None
    text: str | None
    samples: int
    given: frozenset[str]


def read_asked(options: Mapping[str, Any], given: Iterable[str], config: LanguageModelConfig) -> Asked | None:
    """What the flags of this module mean; None where none of them was given, so that something is to be trained.

    Args:
        options: those flags, as typed, by name; others do not matter.
        given: names of the settings and of ``row`` as far as they were typed.
        config: what the settings mean.

    Raises:
        ConfigError: all problems together.
    """
    asked = {name: options[name] for name in FLAGS if name in options}
    if not asked:
        return None
    run, text, names, problems = asked.get(RUN), asked.get(GENERATE), frozenset(given), list[str]()
    samples = USUAL_SAMPLES
    if SAMPLES in asked:
        try:
            samples = integer(1)(asked[SAMPLES])
        except ValueError as error:
            problems.append(f"--samples {shlex.quote(asked[SAMPLES])}: {error}")
        if text is None:
            problems.append(f"--samples {asked[SAMPLES]}: belongs to --generate TEXT; rows have --n_samples")
    if run is not None or text is not None:
        problems += _problems(run, text, names, config)
    if text is not None and options.get("dry_run"):
        problems.append("--dry_run: --generate trains nothing and appends nothing; leave it out")
    if problems:
        raise ConfigError(problems)
    return Asked(run, text, samples, names)


def _problems(run: str | None, text: str | None, given: frozenset[str], config: LanguageModelConfig) -> list[str]:
    allowed = {*_HERE, *_SPEAKS}
    if text is not None:
        allowed = (allowed | set(SAID_ANEW)) - {"n_samples"}
    if run is None:
        allowed |= {"weights", "model_size", "weights_path"}
    order = ["row", *fields_of(type(config))]
    odd = [f"--{name}" for name in sorted(given - allowed, key=order.index)]
    what = f"--run {run}" if run is not None else "--generate"
    problems = []
    if odd:
        them = "it" if len(odd) == 1 else "them"
        less = "; --samples says how often" if odd == ["--n_samples"] else ""
        problems.append(f"{what} trains nothing, and has no use for {', '.join(odd)}; leave {them} out{less}")
    if text is not None and run is None and not (config.demo or config.weights == PRETRAINED):
        problems.append("--generate: of which model? give --run RUN, --weights pretrained or --demo")
    if text is None and config.n_samples == 0:
        problems.append(f"{what} with --n_samples 0: adds nothing; give 1 at least")
    return problems


def ways_left_out(config: LanguageModelConfig, given: Iterable[str]) -> list[str]:
    """A warning where more than one way was typed for ``--generate``; see :func:`way_of_going_on`."""
    if not any("," in getattr(config, name) for name in {"decoding", "temperature"} & set(given)):
        return []
    way = way_of_going_on(config, given).describe()
    return [f"--generate goes on in one way, here the first: {way}; give one"]


def way_of_going_on(config: LanguageModelConfig, given: Iterable[str]) -> Decoding:
    """How ``--generate`` decodes: the first way that was typed, or any token at temperature 1."""
    first = config.decodings[0]
    typed = {name: getattr(first, name) for name in ("temperature",) if name in given}
    if "decoding" not in given:
        return Decoding(RANDOM, **typed)
    return Decoding(first.name, top_k=first.top_k, top_p=first.top_p, **typed)
