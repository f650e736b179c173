"""How many of the training messages are used: the first so many, in the order of the split as it stands."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ablation.data.labels import DataError


def first_messages(
    splits: dict[str, pd.DataFrame], count: int | None, labels: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """The splits with the first ``count`` messages of the training split alone; as they are where it is None.

    Args:
        splits: columns ``Label`` (number of the class) and ``Text``.
        labels: what the classes are called; each must be among the messages.

    Raises:
        DataError: there are not so many, or one label is not among the first.
    """
    training = splits["train"]
    if count is None:
        return splits
    if count > len(training):
        raise DataError(f"--n_train {count}: the training split has {len(training)} messages; give that or less")
    first = training["Label"].drop_duplicates()  # of each label the first message, by its place
    places = first.index.tolist()
    late = [labels[label] for place, label in zip(places, first.tolist(), strict=True) if place >= count]
    if late:
        raise DataError(
            f"--n_train {count}: none of the first {count} training messages is {' or '.join(late)}, so that cannot be"
            f" learned; give {places[-1] + 1} or more"
        )
    return {**splits, "train": training[:count]}
