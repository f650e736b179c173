"""Messages as token ids, and batches of them in the published order.

The order of every random draw is part of the experiment; see :func:`make_loaders`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ablation.config.experiment import LONGEST_TRAINING_EXAMPLE, MODEL_CONTEXT_LENGTH, ExperimentConfig
from ablation.config.padding import LEFT, PaddingSettings
from ablation.data.labels import DataError
from ablation.data.message import MessageError, check_message, cut
from ablation.data.placement import Placement, place

if TYPE_CHECKING:
    import tiktoken

PUBLISHED_PADDING = PaddingSettings()

# ---- tokens ----------------------------------------------------------------------------------------------------------


def load_tokenizer(vocabulary_dir: Path) -> tiktoken.Encoding:
    """GPT-2's byte-pair encoding from a folder in tiktoken's cache layout; opens no connection if it is complete."""
    import tiktoken

    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(vocabulary_dir)
    try:
        return tiktoken.get_encoding("gpt2")
    finally:
        del os.environ["TIKTOKEN_CACHE_DIR"]
        if before is not None:
            os.environ["TIKTOKEN_CACHE_DIR"] = before


@dataclass(frozen=True)
class EncodedMessages:
    """The messages of one split as token ids.

    Attributes:
        tokens: (N, W) ids, a message's real tokens one behind the other, and pads.
        lengths: (N,) number of real tokens; a token that happens to be the pad token counts as real.
        labels: (N,) number of each message's class: 0 ham, 1 spam, or as own data have them.
        padded: whether a message is seen at the full width W, or, without padding, at its own length.
        placement: where the real tokens stand.
        cut: (N,) how many tokens of each message were cut off.
    """

    tokens: Tensor
    lengths: Tensor
    labels: Tensor
    padded: bool
    placement: Placement
    cut: Tensor

    @property
    def starts(self) -> Tensor:
        """(N,) pads before each message's first token."""
        starts = self.placement.starts
        return torch.zeros_like(self.lengths) if starts is None else starts

    def real_tokens(self) -> list[list[int]]:
        """Each message's token ids without pads."""
        ends = (self.starts + self.lengths).tolist()
        rows = zip(self.tokens.tolist(), self.starts.tolist(), ends, strict=True)
        return [tokens[start:end] for tokens, start, end in rows]

    def widths(self) -> Tensor:
        """(N,) number of positions at which each message enters the model."""
        return torch.full_like(self.lengths, self.tokens.shape[1]) if self.padded else self.lengths

    def batch(self, indices: Tensor) -> Tensor:
        """The token ids (B, T) of some messages; without padding T is the length of the longest among them."""
        tokens = self.tokens[indices]
        return tokens if self.padded else tokens[:, : int(self.lengths[indices].max())]

    def part(self, part: slice) -> EncodedMessages:
        """Some of the messages, as wide as all are."""
        rows = {name: getattr(self, name)[part] for name in ("tokens", "lengths", "labels", "cut")}
        return replace(self, **rows, placement=self.placement.of(part, self.tokens.shape[1]))

    def __len__(self) -> int:
        return len(self.labels)


def encode_splits(
    splits: dict[str, pd.DataFrame], tokenizer: tiktoken.Encoding, config: ExperimentConfig
) -> dict[str, EncodedMessages]:
    """Tokenise the splits and pad or cut them as the configuration says.

    Special tokens are not interpreted: a message that contains ``<|endoftext|>`` contains those thirteen characters.

    Raises:
        DataError: the tokenizer would fail at a message; or without padding, one is longer than the model's context.
    """
    for name, split in splits.items():
        for number, text in enumerate(split["Text"], start=1):
            try:
                check_message(text)
            except MessageError as error:
                raise DataError(f"message {number} of the {name} split: {error}") from None
    token_lists = {name: tokenizer.encode_ordinary_batch(list(split["Text"])) for name, split in splits.items()}
    if config.no_padding:
        width = max(len(tokens) for lists in token_lists.values() for tokens in lists)
        if width > config.shape.context_length:
            raise DataError(
                f"a message has {width} tokens, the model reads {config.shape.context_length};"
                " --no_padding cuts nothing, so leave it out"
            )
    elif config.context_length == LONGEST_TRAINING_EXAMPLE:
        width = min(max(map(len, token_lists["train"])), config.shape.context_length)
    elif config.context_length == MODEL_CONTEXT_LENGTH:
        width = config.shape.context_length
    else:
        width = int(config.context_length)
    pad, padded = tokenizer.eot_token, not config.no_padding
    return {
        name: encode_messages(token_lists[name], split["Label"].tolist(), width, pad, padded=padded, padding=config)
        for name, split in splits.items()
    }


def encode_messages(
    token_lists: list[list[int]],
    labels: list[int],
    width: int,
    pad_token: int,
    *,
    padded: bool,
    padding: PaddingSettings = PUBLISHED_PADDING,
) -> EncodedMessages:
    """Put token lists into one matrix of the given width, longer ones cut, shorter ones padded.

    Args:
        padded: whether pads are seen; where not, they only fill the matrix up, behind the tokens.
        padding: on which side, and how pads are seen.
    """
    kept = [cut(ids, width, padding.truncation_side) for ids in token_lists]
    lengths = torch.tensor([len(ids) for ids in kept])
    placement = place(lengths, width, padding) if padded else Placement()
    tokens = torch.full((len(kept), width), pad_token)
    cut_off = torch.tensor([len(ids) for ids in token_lists]) - lengths
    messages = EncodedMessages(tokens, lengths, torch.tensor(labels), padded, placement, cut_off)
    for row, start, ids in zip(tokens, messages.starts.tolist(), kept, strict=True):
        row[start : start + len(ids)] = torch.tensor(ids)
    return messages


def cutting_in_words(messages: Mapping[str, EncodedMessages], padding: PaddingSettings) -> str:
    """How many messages of all splits were cut, and where; empty if none was and nobody asked for it."""
    n_cut, total = sum(int((split.cut > 0).sum()) for split in messages.values()), sum(map(len, messages.values()))
    width, side = max(split.tokens.shape[1] for split in messages.values()), padding.truncation_side
    if n_cut:
        end = "beginning" if side == LEFT else "end"
        return f"cut at their {end}: {n_cut:,} of {total:,} messages, to {width} tokens"
    if side == LEFT and all(split.padded for split in messages.values()):
        return f"--truncation_side left has no effect: no message has more than {width} tokens"
    return ""


UNUSED = "unused"  # training messages beyond those that are used, where they are kept beside the splits


def first_encoded(messages: dict[str, EncodedMessages], count: int, *, keep_rest: bool) -> dict[str, EncodedMessages]:
    """The first ``count`` training messages, as wide as all of them, and the other splits.

    Args:
        keep_rest: leave the other training messages in their place, as a split that nothing trains on or evaluates:
            so messages and their order are the same for every count, and so is what a feature cache keeps of them.
    """
    training = messages["train"]
    rest = {UNUSED: training.part(slice(count, None))} if keep_rest and count < len(training) else {}
    return {"train": training.part(slice(count)), **rest, **{s: m for s, m in messages.items() if s != "train"}}


def send(indices: Tensor, device: torch.device) -> Tensor:
    """Indices on the device, without waiting for what it still has to compute. (A plain ``to`` waits, on CUDA.)"""
    return indices.to(device, non_blocking=True)


# ---- batches ---------------------------------------------------------------------------------------------------------


def check_batch_size(batch_size: int, training_messages: int, why: str = "") -> None:
    """Refuse a training split of less than one batch, and say ``why`` it is so small.

    Raises:
        DataError: it is one.
    """
    if batch_size > training_messages:
        raise DataError(
            f"--batch_size {batch_size}: the training split has {training_messages} messages{why}; give that or less"
        )


def make_loaders(messages: Mapping[str, Sized], batch_size: int) -> dict[str, DataLoader]:
    """Loaders over the *indices* of each split's messages.

    They are real ``DataLoader``s, because every pass over one draws from PyTorch's global generator, also a pass over
    an unshuffled one: only so do the batches hold the same messages as in the published script. The training loader
    shuffles and drops a last partial batch; the others keep order and rest.

    Raises:
        DataError: the training split has less than one batch.
    """
    check_batch_size(batch_size, len(messages["train"]))
    return {
        name: DataLoader(
            range(len(split)),  # type: ignore[arg-type]  # a range is a map-style data set
            batch_size=batch_size,
            shuffle=name == "train",
            drop_last=name == "train",
        )
        for name, split in messages.items()
    }
