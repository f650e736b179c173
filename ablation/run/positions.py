"""What a classifier would say at every position of a message, not only at the one it was trained to read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from ablation.execution.reach import find_reach
from ablation.execution.setup import arithmetic
from ablation.run import answers
from ablation.run.answers import Reply, printable, probability_columns
from ablation.run.trained_classifier import TrainedClassifier

LEAST_PADS_FOLDED = 4
PAGE = 100  # columns where no terminal says how many


@dataclass(frozen=True)
class Position:
    """One position of a message, counted from 1.

    Attributes:
        token: its text; bytes that are no whole character are written ``\\xNN``.
        pad: whether it stands before or behind the message.
        counts: whether the answer is read here, alone or in a mean.
        probabilities: of each label, from this position's hidden state.
    """

    position: int
    token_id: int
    token: str
    pad: bool
    counts: bool
    probabilities: tuple[float, ...]


@torch.inference_mode()
def read_positions(classifier: TrainedClassifier, text: str) -> list[Position]:
    """Every position that the model has of a message, pads as in training: the hidden state behind the last block,
    through the final norm and the head.

    Raises:
        MessageError: the message cannot be classified.
    """
    config, model, tokenizer = classifier.config, classifier.model, classifier.tokenizer
    messages = classifier.encode([classifier.tokens_of(text).kept])
    reach, placed = find_reach(config, model, {"all": messages}), messages.placement.to(classifier.device)
    taken_in, skipped = int(reach.taken_in["all"]), int(reach.skipped["all"])
    with arithmetic(config, classifier.device):
        logits = model(messages.tokens.to(classifier.device), placed.positions, placed.hidden)[0]  # (1, T) -> (T, C)
    rows = logits.double().softmax(-1).tolist()
    first_read = skipped + 1 if config.average_embeddings else taken_in
    first_token, last_token = int(messages.starts) + 1, int(messages.starts + messages.lengths)
    return [
        Position(
            position=position,
            token_id=token_id,
            token=tokenizer.decode_single_token_bytes(token_id).decode("utf-8", "backslashreplace"),
            pad=not first_token <= position <= last_token,
            counts=first_read <= position <= taken_in,
            probabilities=tuple(probabilities),
        )
        for position, (token_id, probabilities) in enumerate(
            zip(messages.tokens[0].tolist(), rows, strict=True), start=1
        )
    ]


def which_counts(positions: Sequence[Position]) -> str:
    """Where the answer is read, in words."""
    counting = [position for position in positions if position.counts]
    first, last = counting[0], counting[-1]
    pad = f", a pad behind the message's {sum(not one.pad for one in positions)} tokens" if last.pad else ""
    if first is last:
        return f"the answer is read at position {last.position}{pad}"
    pads = f", {sum(one.pad for one in counting)} of them pads" if last.pad else ""
    return f"the answer is read from the mean of the states at positions {first.position} to {last.position}{pads}"


def position_fields(position: Position, labels: Sequence[str]) -> dict[str, Any]:
    """A position as a record."""
    fields = dataclasses.asdict(position)
    probabilities = fields.pop("probabilities")
    return {**fields, **{name: probabilities[index] for name, index in probability_columns(labels).items()}}


def _table(positions: Sequence[Position], labels: Sequence[str], width: int) -> list[str]:
    """A position a line, those that count marked; of many pads only the first and the last, of many labels as many as
    there is room for: those that are likeliest where the answer is read."""
    own = probability_columns(labels)
    titles = list(own) if len(own) == 1 else list(labels)
    cell = max(10, *(len(title) + 2 for title in titles))
    last_read = [position for position in positions if position.counts][-1]
    likeliest = sorted(own.values(), key=lambda index: -last_read.probabilities[index])
    shown = sorted(likeliest[: max(1, (width - 36) // cell)])
    columns = dict(zip(own.values(), titles, strict=True))
    lines = [f"{'position':>8} {'id':>6}  {'token':16}" + "".join(f"{columns[index]:>{cell}}" for index in shown)]
    for one in _folded(positions):
        if isinstance(one, int):
            lines.append(f"{'...':>8} {'':>6}  {one} more pads")
            continue
        token = "pad" if one.pad else f"'{printable(one.token)[:14]}'"
        values = "".join(f"{one.probabilities[index]:>{cell}.4%}" for index in shown)
        lines.append(f"{one.position:>8} {one.token_id:>6}  {token:16}{values}{' *' if one.counts else ''}")
    if len(shown) < len(own):
        lines.append(f"(the likeliest {len(shown)} of {len(own)} labels; with --json all)")
    return lines


def _folded(positions: Sequence[Position]) -> Iterator[Position | int]:
    """The positions, but for the middle of a long run of pads, which is its number."""
    for pad, run in groupby(positions, key=lambda position: position.pad):
        part = list(run)
        if pad and len(part) > LEAST_PADS_FOLDED:
            yield from (part[0], len(part) - 2, part[-1])
        else:
            yield from part


# ---- formats --------------------------------------------------------------------------------------------------------


def columns_of(labels: Sequence[str]) -> tuple[str, ...]:
    """The columns of a CSV."""
    return ("line", "position", "token_id", "token", "pad", "counts", *probability_columns(labels))


def as_text(reply: Reply, positions: Sequence[Position], labels: Sequence[str], width: int | None) -> str:
    answer = answers.as_text(answers.record(reply, labels), width)
    lines = [*_table(positions, labels, width or PAGE), f"* {which_counts(positions)}"]
    return answer + "\n".join([*lines, "", ""])


def as_csv(reply: Reply, positions: Sequence[Position], labels: Sequence[str], width: int | None) -> str:
    records = ({"line": reply.line.number, **position_fields(position, labels)} for position in positions)
    return "".join(answers.as_csv({name: fields[name] for name in columns_of(labels)}) for fields in records)


def as_json_line(reply: Reply, positions: Sequence[Position], labels: Sequence[str], width: int | None) -> str:
    records = [position_fields(position, labels) for position in positions]
    return answers.as_json_line({**answers.record(reply, labels), "positions": records})


# format -> (a reply, its positions, the labels, columns of the terminal or None) -> what is written of it
WRITERS: dict[str, Callable[[Reply, Sequence[Position], Sequence[str], int | None], str]] = {
    "text": as_text, "csv": as_csv, "jsonl": as_json_line,
}  # fmt: skip
