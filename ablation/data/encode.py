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
from ablation.data.labels import DataError
from ablation.data.message import MessageError, check_message

if TYPE_CHECKING:
    import tiktoken

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
        tokens: (N, W) ids, real tokens first, pads behind them.
        lengths: (N,) number of real tokens; a token that happens to be the pad token counts as real.
        labels: (N,) number of each message's class: 0 ham, 1 spam, or as own data have them.
        padded: whether a message is seen at the full width W, or, without padding, at its own length.
    """

    tokens: Tensor
    lengths: Tensor
    labels: Tensor
    padded: bool

    def widths(self) -> Tensor:
        """(N,) number of positions at which each message enters the model."""
        return torch.full_like(self.lengths, self.tokens.shape[1]) if self.padded else self.lengths

    def batch(self, indices: Tensor) -> Tensor:
        """The token ids (B, T) of some messages; without padding T is the length of the longest among them."""
        tokens = self.tokens[indices]
        return tokens if self.padded else tokens[:, : int(self.lengths[indices].max())]

    def part(self, part: slice) -> EncodedMessages:
        """Some of the messages, as wide as all are."""
        return replace(self, tokens=self.tokens[part], lengths=self.lengths[part], labels=self.labels[part])

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
    return {
        name: encode_messages(
            token_lists[name], split["Label"].tolist(), width, tokenizer.eot_token, padded=not config.no_padding
        )
        for name, split in splits.items()
    }


def encode_messages(
    token_lists: list[list[int]], labels: list[int], width: int, pad_token: int, *, padded: bool
) -> EncodedMessages:
    """Put token lists into one matrix of the given width, longer ones cut, shorter ones padded on the right."""
    tokens = torch.full((len(token_lists), width), pad_token)
    for row, ids in zip(tokens, token_lists, strict=True):
        kept = ids[:width]
        row[: len(kept)] = torch.tensor(kept)
    lengths = torch.tensor([min(len(ids), width) for ids in token_lists])
    return EncodedMessages(tokens, lengths, torch.tensor(labels), padded)


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
