"""Which messages are alike, and which test messages stand in the training split too: what their letters say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablation.config.own_data import recorded_own_data, records_own_data
from ablation.data.demo import read_demo_messages
from ablation.data.own import load_own_examples
from ablation.data.spam import DataError, data_digest, read_messages, split_messages
from ablation.files.published import DATASET_NAME
from ablation.results.task import Likeness


def letters(text: str) -> str:
    """A message's letters alone, whatever their case: copies of a chain message differ in the rest."""
    return "".join(character for character in text.casefold() if character.isalpha())


def likeness_of(splits: dict[str, pd.DataFrame], digest: str | None = None) -> Likeness:
    """Clusters and duplicates of three splits with a column ``Text``; messages of the same letters are alike.

    Args:
        digest: that rows record of them, if it is not the one of published messages.
    """
    texts = {name: split["Text"] for name, split in splits.items()}
    bare = {name: split["Text"].map(letters) for name, split in splits.items()}
    places = {"verbatim": _first_places(texts), "letters": _first_places(bare)}
    return Likeness(
        digest=digest or data_digest(splits),
        clusters={name: pd.factorize(bare[name])[0].astype(np.int64) for name in splits},
        in_training={sense: np.isfinite(place) for sense, place in places.items()},
        texts={name: own.tolist() for name, own in texts.items()},
        first_alike=places,
    )


def _first_places(texts: Mapping[str, pd.Series]) -> NDArray[np.float64]:
    """Of each test message the place of the first training message of this text; infinite where there is none."""
    places = {text: place for place, text in reversed(list(enumerate(texts["train"])))}
    return np.array([places.get(text, np.inf) for text in texts["test"]])


def load_likeness(
    data_dir: Path, *, demo: bool = False, recorded: Mapping[str, str] = {}
) -> tuple[Likeness | None, str]:
    """Likeness of the messages of ``data_dir``, of the demo's, or of the own data that a row has ``recorded``; or None,
    and what to do about it.

    Other messages than the published ones are taken too: whether they are those of the results, their digest tells.
    """
    if records_own_data(recorded):
        return _own_likeness(recorded)
    path = data_dir / DATASET_NAME
    if not demo and not path.exists():
        return None, f"{path} is missing: python gpt_download.py --dataset --data_dir {data_dir} fetches it"
    try:
        messages = read_demo_messages() if demo else read_messages(path, trust_new_hash=True)
        return likeness_of(split_messages(messages)), ""
    except DataError as error:
        return None, str(error)


def _own_likeness(recorded: Mapping[str, str]) -> tuple[Likeness | None, str]:
    files = recorded.get("data_file") or recorded.get("train_file")
    try:
        examples = load_own_examples(recorded_own_data(recorded))
    except (DataError, ValueError) as error:
        return None, f"{error} (a path is as the run was given it, from the folder that it ran in)"
    if examples.digest != recorded["data_digest"]:
        return None, f"{files}: its messages are no longer those of the newest run"
    return likeness_of(examples.splits, examples.digest), ""
