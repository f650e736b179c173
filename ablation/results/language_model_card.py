"""The card of a trained language model: what it is and what it can be used for, as the ``README.md`` beside it, from
the run's own record alone."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ablation.config.decoding import Decoding
from ablation.config.generation import SMS
from ablation.config.generation_rows import NAMES
from ablation.config.settings import RANDOM
from ablation.environment import python_command
from ablation.results.card_parts import OURS, Use, assembled, cell, code, licence_of, repeated, settings_table, title_of
from ablation.results.log import RUNS_FOLDER
from ablation.results.runs import rows_of
from ablation.results.task import Task

CLASSIFIER = "additional_experiments.py"
FILES = ("train_file", "validation_file", "test_file")
SIZES = {
    "train_sentences": "to train on", "validation_sentences": "to choose the epoch by", "test_sentences": "to test on",
}  # fmt: skip


def language_model_card(task: Task, run: Mapping[str, Any], results_dir: Path) -> str:
    """The card of a run's model, in the run's own folder.

    Args:
        run: its ``run.json``.
        results_dir: the results folder that it is in.
    """
    return card_of_use(task, run, Use(_use(task, run, results_dir)))


def card_of_use(task: Task, run: Mapping[str, Any], use: Use) -> str:
    """The card of a run's model where it is used so."""
    parts = {
        "Use": use.text,
        "Data": "\n".join(f"* {line}" for line in _data(task, run)),
        "Training": "\n".join(_training(task, run)),
        "Perplexity": "\n".join(_perplexity(run)),
        "Generated sentences": "\n".join(_generated(run)),
        "Seeds": f"One run, with seed {run.get('seed')}. Another seed gives another model; no interval here says how"
        " much another.",
        "Limits": "\n".join(_limits(run)),
        "Licence": licence_of(run, f"Data: {_whose(task, run)}."),
        "Command": repeated(task, run),
    }
    name = NAMES.get(run.get("row") or 0, "")
    return assembled(task, run, f"{title_of(run)}{f' ({name})' if name else ''}", parts, use.matter)


def _use(task: Task, run: Mapping[str, Any], results_dir: Path) -> str:
    python, folder = python_command(), shlex.quote(str(results_dir / RUNS_FOLDER / str(run["run_id"])))
    demo = " --demo" if run.get("demo") else ""
    commands = [
        f'{python} {task.command} --run {folder} --generate "A man"',
        f"{python} {task.command} --run {folder} --decoding top_k --temperature 0.5",
        f"{python} {CLASSIFIER}{demo} --weights_path {folder}",
    ]
    listed = "\n".join(commands)
    return (
        "This folder holds the whole model, `trained.safetensors`, in float32. The first command lets it go on from"
        " a text, the second adds sentences of another way of decoding and their figures to the results, the third"
        f" fine-tunes it as a classifier.\n\n```sh\n{listed}\n```"
    )


def _data(task: Task, run: Mapping[str, Any]) -> Iterator[str]:
    files = [Path(run[name]).name for name in FILES if run.get(name)]
    if files:
        yield f"sentences of its author's own: {', '.join(map(code, files))}"
    elif run.get("demo") or run.get("data") == SMS:
        yield f"texts of SMS messages, {_whose(task, run)}"
    else:
        yield f"image captions, {_whose(task, run)}" if run.get("trust_new_hash") else task.source.rstrip(".")
    sizes = [f"{run[name]:,} {use}" for name, use in SIZES.items() if run.get(name)]
    yield f"sentences: {', '.join(sizes)}"
    yield f"SHA-256 of the sentences: `{run.get('data_digest')}`"


def _whose(task: Task, run: Mapping[str, Any]) -> str:
    if any(run.get(name) for name in FILES):
        return "its author's own"
    if run.get("demo"):
        return f"this project's own, {OURS}"
    if run.get("trust_new_hash"):
        return "other than the published ones, under a licence that is not known here"
    return "the SMS Spam Collection's, CC BY 4.0" if run.get("data") == SMS else task.source.rstrip(".")


def _training(task: Task, run: Mapping[str, Any]) -> Iterator[str]:
    start = "random values" if run.get("weights") == RANDOM else "blocks of pretrained weights"
    yield f"A GPT-2 with its vocabulary head, trained from {start} to predict the next token of each sentence."
    yield f"The end token starts and ends every sentence. Epochs: {run.get('epochs')}; kept are the parameters after"
    yield f"epoch {run.get('best_epoch')}. Steps: {run.get('steps')}.\n"
    yield from settings_table(task, run)
    if run.get("weights") != RANDOM:
        yield f"\nBase weights: SHA-256 of their tensors `{run.get('weights_digest')}`."


def _perplexity(run: Mapping[str, Any]) -> Iterator[str]:
    yield "| | validation | test |"
    yield "| --- | --- | --- |"
    for name, title in (("perplexity", "per sentence"), ("token_perplexity", "per token")):
        yield f"| {title} | {_number(run.get(f'validation_{name}'))} | {_number(run.get(f'test_{name}'))} |"
    yield "\nPer sentence: of the mean over sentences of each one's mean loss, as published. Per token: of the mean"
    yield "over all tokens, as usual elsewhere. The validation split chose the epoch."


def _generated(run: Mapping[str, Any]) -> Iterator[str]:
    rows = [row for row in rows_of(run) if row.get("n_samples")]
    if not rows:
        yield "None were generated in this run."
        return
    yield "| decoding | sentences | BLEU forward | backward | harmonic | stand in training |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in rows:
        way = Decoding(str(row["decoding"]), float(row["temperature"]), row.get("top_k"), row.get("top_p"))
        figures = [_number(row.get(f"{kind}_bleu"), 3) for kind in ("forward", "backward", "harmonic")]
        copied = row.get("in_training")
        share = "" if copied is None else f"{copied:.1%}"
        yield f"| {cell(way.describe())} | {row['n_samples']:,} | {' | '.join(figures)} | {share} |"
    yield "\nBLEU-4 with the test sentences as references, and the other way round."


def _number(value: Any, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if isinstance(value, int | float) else ""


def _limits(run: Mapping[str, Any]) -> Iterator[str]:
    yield f"* It knows sentences of {run.get('max_len')} tokens at most, of the kind that it was trained on."
    yield "* What it says is likely, not true; it can repeat what it was trained on, word for word."
