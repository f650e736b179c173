"""Several trained models asked at once: what each says of a message, and how good each is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ablation.config.experiment import ConfigError
from ablation.run import answers
from ablation.run.answers import Reply, printable, shortened
from ablation.run.evaluate import Scores, as_json_object
from ablation.run.trained_classifier import SavedRun

MODEL = "model"  # the field with the run's id


def check_together(runs: Sequence[SavedRun]) -> None:
    """Refuse models that cannot be asked together.

    Raises:
        ConfigError: one stands twice among them, or their labels differ.
    """
    problems = [f"--model {run.folder}: given twice; give it once" for run in _twice(runs)]
    first = runs[0]
    problems += [
        f"--model {run.folder}: its labels are {', '.join(run.labels)}, those of {first.folder} are"
        f" {', '.join(first.labels)}; give models of the same labels"
        for run in runs
        if run.labels != first.labels
    ]
    if problems:
        raise ConfigError(problems)


def _twice(runs: Sequence[SavedRun]) -> list[SavedRun]:
    seen = dict(zip((run.folder.resolve() for run in runs), runs, strict=True))
    return [run for run in seen.values() if sum(run.folder.resolve() == one.folder.resolve() for one in runs) > 1]


# ---- what they are called --------------------------------------------------------------------------------------------


def names_of(runs: Sequence[SavedRun]) -> list[str]:
    """For a person: row, method and seed; a number behind those that would be alike."""
    names = [_name(run) for run in runs]
    alike, seen = Counter(names), Counter[str]()
    for index, name in enumerate(names):
        seen[name] += 1
        if alike[name] > 1:
            names[index] = f"{name} ({seen[name]})"
    return names


def _name(run: SavedRun) -> str:
    row = run.record.get("row")
    return f"{f'row {row}' if row else 'variant'}, {run.config.adaptation}, seed {run.config.seed}"


def ids_of(runs: Sequence[SavedRun]) -> list[str]:
    """For a program: the runs' ids; where two are alike, the folders."""
    ids = [run.folder.resolve().name for run in runs]
    return ids if len(set(ids)) == len(ids) else [str(run.folder) for run in runs]


def legend(runs: Sequence[SavedRun]) -> list[str]:
    """Lines that say which name is which run's."""
    names = names_of(runs)
    longest = max(map(len, names))
    return [f"{name:{longest}}  {run.folder}" for name, run in zip(names, runs, strict=True)]


# ---- a message -------------------------------------------------------------------------------------------------------


def columns_of(labels: Sequence[str]) -> tuple[str, ...]:
    """The fields of one model's answer to one message."""
    line, *others = answers.columns_of(labels)
    return (line, MODEL, *others)


def records(replies: Sequence[Reply], runs: Sequence[SavedRun]) -> Iterator[dict[str, Any]]:
    """Each model's answer to a message, by the names of :func:`columns_of`."""
    for reply, run, name in zip(replies, runs, ids_of(runs), strict=True):
        fields = {**answers.record(reply, run.labels), MODEL: name}
        yield {column: fields[column] for column in columns_of(run.labels)}


def as_text(replies: Sequence[Reply], runs: Sequence[SavedRun], width: int | None = None) -> str:
    """The message, and a line below it for each model; nothing if none could answer."""
    names = names_of(runs)
    longest, widest = max(map(len, names)), max(len(label) for run in runs for label in run.labels)
    lines = []
    for reply, run, name in zip(replies, runs, names, strict=True):
        if reply.answer is None:
            continue
        fields = answers.record(reply, run.labels)
        shown = "spam_probability" if "spam_probability" in fields else "probability"
        cut = f"  (cut to {fields['tokens_read']} of {fields['tokens']} tokens)" if fields["cut"] else ""
        lines.append(f"  {name:{longest}}  {fields['label']:{widest}}  {shown} {fields[shown]:8.4%}{cut}\n")
    room = answers.SHOWN if width is None else max(width, 20)
    text = shortened(printable(replies[0].line.text[: answers.SHOWN + 1]), room)
    return "".join([f"{text}\n", *lines]) if lines else ""


def _each(write: Callable[[Mapping[str, Any]], str]) -> Callable[..., str]:
    """A record a line."""
    return lambda replies, runs, width=None: "".join(map(write, records(replies, runs)))


# format -> (replies, runs, columns of the terminal or None) -> what is written of a message
WRITERS: dict[str, Callable[[Sequence[Reply], Sequence[SavedRun], int | None], str]] = {
    "text": as_text, "csv": _each(answers.as_csv), "jsonl": _each(answers.as_json_line),
}  # fmt: skip


# ---- labelled messages -----------------------------------------------------------------------------------------------


def scores_as_json(scores: Iterable[Scores], runs: Sequence[SavedRun]) -> str:
    """A list with the figures of each model."""
    named = zip(ids_of(runs), scores, strict=True)
    return json.dumps([{MODEL: name, **as_json_object(one)} for name, one in named], ensure_ascii=False, indent=1)


def describe_scores(scores: Iterable[Scores], runs: Sequence[SavedRun]) -> list[str]:
    """A table with a line for each model, in the order in which they were given."""
    rows = [("model", "messages", "right", "accuracy", "ROC area")]
    for name, one in zip(names_of(runs), scores, strict=True):
        area = "none" if one.roc_area is None else f"{one.roc_area:.4f}"
        rows.append((name, f"{one.messages:,}", f"{one.correct:,}", f"{one.accuracy:.2%}", area))
    first = max(len(row[0]) for row in rows)
    return [f"{name:{first}}" + "".join(f"{cell:>10}" for cell in cells) for name, *cells in rows]
