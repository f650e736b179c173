"""The messages behind the predictions: which test messages stand in the training split too, and which are alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablation.data.demo import read_demo_messages
from ablation.data.spam import DataError, data_digest, read_messages, split_messages
from ablation.files.published import DATASET_NAME


def letters(text: str) -> str:
    """A message's letters alone, whatever their case: copies of a chain message differ in the rest."""
    return "".join(character for character in text.casefold() if character.isalpha())


@dataclass(frozen=True)
class Messages:
    """What the report needs to know of the messages.

    Attributes:
        digest: of the splits, as the results record it.
        clusters: per split (N,), equal numbers for messages of the same letters.
        in_training: (N,) per sense, "verbatim" and "letters": whether a test message stands in training too.
    """

    digest: str
    clusters: Mapping[str, NDArray[np.int64]]
    in_training: Mapping[str, NDArray[np.bool_]]


def describe_splits(splits: dict[str, pd.DataFrame]) -> Messages:
    """Clusters and duplicates of three splits with a column ``Text``."""
    texts = {name: split["Text"] for name, split in splits.items()}
    bare = {name: split["Text"].map(letters) for name, split in splits.items()}
    return Messages(
        digest=data_digest(splits),
        clusters={name: pd.factorize(bare[name])[0].astype(np.int64) for name in splits},
        in_training={
            "verbatim": texts["test"].isin(set(texts["train"])).to_numpy(),
            "letters": bare["test"].isin(set(bare["train"])).to_numpy(),
        },
    )


def load_messages(data_dir: Path) -> tuple[Messages | None, str]:
    """The messages of ``data_dir``, or None and what to do about it.

    Other messages than the published ones are taken too: whether they are those of the results, their digest tells.
    """
    path = data_dir / DATASET_NAME
    if not path.exists():
        return None, f"{path} is missing: python gpt_download.py --dataset --data_dir {data_dir} fetches it"
    try:
        return describe_splits(split_messages(read_messages(path, trust_new_hash=True))), ""
    except DataError as error:
        return None, str(error)


def load_demo_messages() -> Messages:
    """The messages of runs with ``--demo``, which come with the code."""
    return describe_splits(split_messages(read_demo_messages()))
