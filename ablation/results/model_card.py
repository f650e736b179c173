"""The model card of a classifier: what it is, as the ``README.md`` beside it, from the run's own record alone."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ablation.config.own_data import records_own_data
from ablation.environment import python_command
from ablation.results.card_parts import (
    OURS,
    Use,
    assembled,
    cannot_merge,
    cell,
    code,
    licence_of,
    repeated,
    settings_table,
    title_of,
)
from ablation.results.costs import merging_in_words
from ablation.results.interval import LEVEL, wilson_interval
from ablation.results.log import RUNS_FOLDER
from ablation.results.table import read_table
from ablation.results.task import Task


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


# ---- parts -----------------------------------------------------------------------------------------------------------


def _data(task: Task, run: Mapping[str, Any], labels: list[str]) -> Iterator[str]:
    if records_own_data(run):
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


def _data_licence(task: Task, run: Mapping[str, Any]) -> str:
    if records_own_data(run):
        return "Data: its author's own."
    return f"Data: this project's own, {OURS}." if run.get("demo") else f"Data: {task.source}"
