"""What the cards of all models have: front matter as Hugging Face's hub reads it, settings, licences, the command.

All of it is from the run's own record. What the record does not say is not said.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ablation.config.effects import why_no_effect
from ablation.config.experiment import ConfigError
from ablation.config.methods import DECLARATIONS, Declaration
from ablation.config.own_data import OWN_DATA_FIELDS, records_own_data
from ablation.config.settings import LANGUAGE_MODEL, RANDOM, fields_of
from ablation.environment import python_command
from ablation.files.published import RELEASES
from ablation.results.task import Task

CARD = "README.md"
# Options that say where messages and base weights came from: not what a run is, but how to repeat it.
ORIGINS = ("data_dir", *OWN_DATA_FIELDS, "weights_path", "trust_new_hash")
OURS = "Apache-2.0"


@dataclass(frozen=True)
class Use:
    """How the model is used, as its card says it.

    Attributes:
        text: Markdown.
        matter: lines of the front matter that belong to it.
        limits: sentences.
    """

    text: str
    matter: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


def assembled(
    task: Task, run: Mapping[str, Any], title: str, parts: Mapping[str, str], matter: Iterable[str] = ()
) -> str:
    """A card of its parts, by their titles; those without text are left out.

    Args:
        matter: further lines of the front matter.
    """
    note = f"> {run['note']}\n\n" if run.get("note") else ""
    body = "\n\n".join(f"## {name}\n\n{text}" for name, text in parts.items() if text)
    front = "\n".join(["---", *_matter(task, run), *matter, "---"])
    return f"{front}\n\n# {title}\n\n{note}{body}\n"


def _matter(task: Task, run: Mapping[str, Any]) -> Iterator[str]:
    ours = run.get("demo") and not records_own_data(run) and not run.get("weights_path")
    yield f"license: {OURS.lower() if ours else 'other'}"
    if base := hub_name(run):
        yield f"base_model: {base}"


def hub_name(run: Mapping[str, Any]) -> str:
    """Where on Hugging Face's hub the base weights are; empty if they are no published ones."""
    published = run.get("weights") != RANDOM and not any(run.get(name) for name in ("demo", "weights_path"))
    if not published or run.get("trust_new_hash") or run.get("model_size") not in RELEASES:
        return ""
    return f"openai-community/{RELEASES[str(run['model_size'])].huggingface_name}"


def title_of(run: Mapping[str, Any]) -> str:
    """Which model, row and seed."""
    name = f"row {run['row']}" if run.get("row") else "a variant"
    model = "Own language model" if run.get("weights") == LANGUAGE_MODEL else run.get("model_size")
    return f"{'Demo model' if run.get('demo') else model}, {name}, seed {run.get('seed')}"


# ---- what a run is ---------------------------------------------------------------------------------------------------


def cannot_merge(run: Mapping[str, Any]) -> str:
    """Why what was trained cannot be had as plain weights; empty if it can."""
    return _declaration(run).cannot_merge


def _declaration(run: Mapping[str, Any]) -> Declaration:
    """Of the run's method; of one that only another version knows, what trains everything."""
    return DECLARATIONS.get(str(run.get("method") or run.get("trainable_layers")), DECLARATIONS["all"])


def settings_table(task: Task, run: Mapping[str, Any]) -> Iterator[str]:
    """The settings that define the run, as lines of a table of three columns."""
    yield "| setting | value | what it is |"
    yield "| --- | --- | --- |"
    for name, value in _settings(task, run).items():
        field = fields_of(task.config_class)[name]
        yield f"| `{name}` | {cell(value)} | {cell(field.metadata['help'])} |"


def _settings(task: Task, run: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that define the run, and have an effect in it."""
    fields = fields_of(task.config_class)
    own = [name for name, field in fields.items() if field.metadata["identity"] and name in run]
    try:
        config = task.config_class(**{name: run[name] for name in own})
    except (ConfigError, TypeError):  # of another version: all that it says
        return {name: run[name] for name in own}
    shown = {name: run[name] for name in own if run[name] not in (None, False) and not why_no_effect(name, config)}
    if run.get("demo") and run["weights"] != RANDOM:
        del shown["weights"]  # which are not OpenAI's
    return shown


def licence_of(run: Mapping[str, Any], data: str) -> str:
    """Whose what is.

    Args:
        data: a sentence on the data's.
    """
    parts = [f"Code: {OURS}."]
    if run.get("weights") == RANDOM:
        parts.append("No base weights: they were random.")
    elif run.get("weights") == LANGUAGE_MODEL:
        parts.append("Base weights: those of a language model that its author trained.")
    elif run.get("weights_path"):
        parts.append("Base weights: those of a file of its author's, under its licence.")
    elif run.get("demo"):
        parts.append(f"Base weights: this project's own, {OURS}.")
    else:
        parts.append("Base weights and vocabulary: OpenAI's GPT-2, under their licence.")
    return " ".join([*parts, data])


# ---- the command that gives it again ---------------------------------------------------------------------------------


def repeated(task: Task, run: Mapping[str, Any]) -> str:
    """The command that gives the run again, and what it ran on."""
    return (
        f"```sh\n{python_command()} {task.command} {_typed(flags_of(task, run))} --save_model\n```\n\n"
        f"Run `{run['run_id']}` of {run['timestamp_utc']}, commit {run.get('git_commit') or 'unknown'},"
        f" PyTorch {run.get('torch_version')} on {run.get('device_name')}."
    )


def flags_of(task: Task, run: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that give the run again: its row and what differs from it, and where its parts came from."""
    row = run.get("row") or None
    expected = vars(task.config_class(**(task.rows.get(row, {}) if isinstance(row, int) else {})))
    origins = [name for name in ORIGINS if not (name == "labels" and not records_own_data(run))]
    names = [name for name, field in fields_of(task.config_class).items() if field.metadata["identity"]]
    # With a method, what equals the defaults of all may be another than the method's own.
    always = _declaration(run).defaults or () if run.get("method") and row is None else ()
    flags = {} if row is None else {"row": row}
    for name in [*names, *origins]:
        value = run.get(name, expected.get(name))
        if isinstance(value, list):
            value = ",".join(value)
        if (value != expected.get(name) or name in always) and value not in (None, False):
            flags[name] = value
    return flags


def _typed(flags: Mapping[str, Any]) -> str:
    """As a shell takes them, whatever stands in a file's name or a label."""
    words = ((f"--{name}",) if value is True else (f"--{name}", str(value)) for name, value in flags.items())
    return " ".join(shlex.join(pair) for pair in words)


# ---- texts of others -------------------------------------------------------------------------------------------------


def code(text: str) -> str:
    """A name from outside, which must not become Markdown."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    fence = "`" * (max(map(len, re.findall("`+", plain)), default=0) + 1)
    return f"{fence}{' ' * (len(fence) > 1)}{plain}{' ' * (len(fence) > 1)}{fence}"


def cell(value: object) -> str:
    """What stands in a table."""
    return " ".join(str(value).split()).replace("|", r"\|")
