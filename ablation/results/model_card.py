"""The model card: what a trained model is, as the ``README.md`` beside it, from the run's own record alone.

Front matter as Hugging Face's hub reads it, then Markdown. What the record does not say is not said.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.config.effects import why_no_effect
from ablation.config.experiment import ConfigError
from ablation.config.methods import DECLARATIONS, Declaration
from ablation.config.own_data import OWN_DATA_FIELDS
from ablation.config.settings import LANGUAGE_MODEL, RANDOM, fields_of
from ablation.environment import python_command
from ablation.files.published import RELEASES
from ablation.results.costs import merging_in_words
from ablation.results.interval import LEVEL, wilson_interval
from ablation.results.log import RUNS_FOLDER
from ablation.results.table import read_table
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


def use_here(run: Mapping[str, Any], results_dir: Path) -> Use:
    """Of the run's own folder: with the commands of this project."""
    python, folder = python_command(), shlex.quote(str(results_dir / RUNS_FOLDER / str(run["run_id"])))
    commands = [f'{python} classify.py --model {folder} "a message"']
    if not cannot_merge(run):
        commands.append(f"{python} export.py {folder} --to huggingface FOLDER")
    return Use(
        "This folder holds what was trained, `trained.safetensors`; all other parameters are those of the base weights."
        f"\n\n```sh\n{chr(10).join(commands)}\n```"
    )


def model_card_here(task: Task, run: Mapping[str, Any], results_dir: Path) -> str:
    """The card of a run's model in the run's own folder."""
    return model_card(task, run, results_dir, use_here(run, results_dir))


def model_card(task: Task, run: Mapping[str, Any], results_dir: Path, use: Use) -> str:
    """The card of a run's model.

    Args:
        run: its ``run.json``.
        results_dir: where baselines on the same examples are looked for.
    """
    labels = [str(label) for label in run.get("labels") or ()]
    parts = {
        "Use": use.text,
        "Data": "\n".join(_data(task, run, labels)),
        "Method": "\n".join(_method(task, run)),
        "Accuracy": "\n".join(_accuracy(task, run, results_dir)),
        "Seeds": _seeds(run),
        "Limits": "\n".join(f"* {limit}" for limit in (*use.limits, *_limits(run, labels))),
        "Licence": licence_of(run, _data_licence(task, run)),
        "Command": repeated(task, run),
    }
    return assembled(task, run, title_of(run), parts, use.matter)


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


# ---- parts -----------------------------------------------------------------------------------------------------------


def title_of(run: Mapping[str, Any]) -> str:
    """Which model, row and seed."""
    name = f"row {run['row']}" if run.get("row") else "a variant"
    model = "Own language model" if run.get("weights") == LANGUAGE_MODEL else run.get("model_size")
    return f"{'Demo model' if run.get('demo') else model}, {name}, seed {run.get('seed')}"


def _matter(task: Task, run: Mapping[str, Any]) -> Iterator[str]:
    ours = run.get("demo") and not _own(run) and not run.get("weights_path")
    yield f"license: {OURS.lower() if ours else 'other'}"
    if base := hub_name(run):
        yield f"base_model: {base}"


def hub_name(run: Mapping[str, Any]) -> str:
    """Where on Hugging Face's hub the base weights are; empty if they are no published ones."""
    published = run.get("weights") != RANDOM and not any(run.get(name) for name in ("demo", "weights_path"))
    if not published or run.get("trust_new_hash") or run.get("model_size") not in RELEASES:
        return ""
    return f"openai-community/{RELEASES[str(run['model_size'])].huggingface_name}"


def cannot_merge(run: Mapping[str, Any]) -> str:
    """Why what was trained cannot be had as plain weights; empty if it can."""
    return _declaration(run).cannot_merge


def _declaration(run: Mapping[str, Any]) -> Declaration:
    """Of the run's method; of one that only another version knows, what trains everything."""
    return DECLARATIONS.get(str(run.get("method") or run.get("trainable_layers")), DECLARATIONS["all"])


def _own(run: Mapping[str, Any]) -> bool:
    return bool(run.get("data_file") or run.get("train_file"))


def _data(task: Task, run: Mapping[str, Any], labels: list[str]) -> Iterator[str]:
    if _own(run):
        files = (run.get(name) for name in ("data_file", "train_file", "validation_file", "test_file"))
        yield f"* {task.examples} of its author's own: {', '.join(code(Path(file).name) for file in files if file)}"
    elif run.get("demo"):
        yield f"* {task.examples} of the demo, this project's own"
    elif run.get("data_digest") == task.published_data_digest:
        yield f"* {task.source}"
    else:
        yield f"* other {task.examples} than the published ones"
    sizes = [f"{run[f'{split}_total']:,} {split}" for split in task.splits if run.get(f"{split}_total")]
    if sizes:
        yield f"* {task.examples} counted at the end: {', '.join(sizes)}"
    yield f"* SHA-256 of the splits: `{run.get('data_digest')}`"
    if labels:
        yield f"* labels, in the order of the logits: {', '.join(map(code, labels))}"


def _method(task: Task, run: Mapping[str, Any]) -> Iterator[str]:
    if run.get("method"):
        yield f"Trained by {code(str(run['method']))}, a method of parameter-efficient fine-tuning. Merges into plain"
        yield f"weights: {merging_in_words(cannot_merge(run))}.\n"
    yield from settings_table(task, run)
    padded = run.get("effective_context_length")
    yield f"| | {padded or 'none'} | tokens that every message was padded or cut to |"
    if run.get("trainable_parameters"):
        yield f"| | {run['trainable_parameters']:,} of {run['total_parameters']:,} | parameters that were trained |"
    if run.get("added_parameters"):
        yield f"| | {run['added_parameters']:,} | of them added beside the model's own |"
        yield f"| | {run['added_multiply_adds']:,} | multiply-adds a token more than the base at inference |"
    yield f"\nBase weights: SHA-256 of their tensors `{run.get('weights_digest')}`."


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


def _accuracy(task: Task, run: Mapping[str, Any], results_dir: Path) -> Iterator[str]:
    splits = [metric.split for metric in task.metrics if metric.split is not None and run.get(f"{metric.split}_total")]
    yield f"| | {' | '.join(f'{split}, right' for split in splits)} |"
    yield f"| --- |{' --- |' * len(splits)}"
    beside = [(f"{name}: {task.baselines[name]}", row) for name, row in _baselines(task, run, results_dir)]
    for name, row in [("this model", run), *beside]:
        yield f"| {cell(name)} | {' | '.join(_share(row, split) for split in splits)} |"
    yield f"\nIn brackets Wilson's interval, {LEVEL:.0%}: how far chance in which {task.examples} were drawn reaches."
    if not beside:
        yield f"No baseline on these {task.examples} was in the results; `{python_command()} baselines.py` adds some."


def _share(row: Mapping[str, Any], split: str | None) -> str:
    try:
        right, total = int(row[f"{split}_correct"]), int(row[f"{split}_total"])
        low, high = wilson_interval(right, total)
    except (KeyError, TypeError, ValueError):
        return ""
    return f"{right / total:.2%} ({right} of {total}) [{low:.1%}, {high:.1%}]"


def _baselines(task: Task, run: Mapping[str, Any], results_dir: Path) -> list[tuple[str, Mapping[str, str]]]:
    """The newest row of each baseline on the run's examples, as far as the results have one; of its variants none."""
    try:
        rows = read_table(results_dir / task.csv_name, task.columns).rows
    except OSError:
        return []
    same = ("data_digest", "n_train")
    plain = (row for row in rows if not row.get("baseline_settings"))
    alike = {
        row["row"]: row for row in plain if all((row.get(name) or "") == str(run.get(name) or "") for name in same)
    }
    return [(name, alike[name]) for name in task.baselines if name in alike]


def _seeds(run: Mapping[str, Any]) -> str:
    order = f", and {run['order_seed']} for the order of batches" if run.get("order_seed") is not None else ""
    return (
        f"One run, with seed {run.get('seed')}{order}. Another seed gives another model, of another accuracy; the"
        " interval above says nothing about that."
    )


def _limits(run: Mapping[str, Any], labels: list[str]) -> Iterator[str]:
    yield "It answers whatever it is given, with one of its labels; messages of a kind that it never saw, too."
    if len(labels) == 2:
        yield "Its probabilities are those of the training's mix of labels, not of anyone's inbox."
    if run.get("precision") not in (None, "fp32"):
        yield f"It was trained in {run['precision']}; computed in float32 its logits differ in the last digits."


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


def _data_licence(task: Task, run: Mapping[str, Any]) -> str:
    if _own(run):
        return "Data: its author's own."
    return f"Data: this project's own, {OURS}." if run.get("demo") else f"Data: {task.source}"


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
    origins = [name for name in ORIGINS if not (name == "labels" and not _own(run))]
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
