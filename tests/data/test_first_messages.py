"""The first so many training messages, and what is refused."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from ablation.data.encode import UNUSED, EncodedMessages, encode_messages, first_encoded
from ablation.data.first_messages import first_messages
from ablation.data.labels import DataError


def frame(*labels: int) -> pd.DataFrame:
    return pd.DataFrame({"Label": labels, "Text": [f"message {number}" for number in range(len(labels))]})


SPLITS = {"train": frame(1, 1, 0, 1, 0), "validation": frame(0, 1), "test": frame(1, 0, 1)}
NAMES = ("ham", "spam")


def test_they_are_the_first_in_the_order_of_the_split() -> None:
    used = first_messages(SPLITS, 3, NAMES)
    assert used["train"].equals(SPLITS["train"].head(3))
    assert all(used[name] is SPLITS[name] for name in ("validation", "test"))
    assert first_messages(SPLITS, None, NAMES) is SPLITS
    assert len(first_messages(SPLITS, 5, NAMES)["train"]) == 5


def test_more_than_there_are_or_too_few_for_each_label_is_refused() -> None:
    with pytest.raises(DataError, match=r"^--n_train 6: the training split has 5 messages; give that or less$"):
        first_messages(SPLITS, 6, NAMES)
    alone = r"^--n_train 2: none of the first 2 training messages is ham, so that cannot be learned; give 3 or more$"
    with pytest.raises(DataError, match=alone):
        first_messages(SPLITS, 2, NAMES)
    three = {**SPLITS, "train": frame(0, 0, 1, 2)}
    with pytest.raises(DataError, match="is b or c, so that cannot be learned; give 4 or more"):
        first_messages(three, 2, ("a", "b", "c"))


def encoded(count: int) -> EncodedMessages:
    return encode_messages([[number] * (number + 1) for number in range(count)], [0] * count, 6, 9, padded=True)


def test_ids_stay_as_wide_as_all_and_the_rest_stands_where_it_stood() -> None:
    whole = {"train": encoded(5), "test": encoded(2)}
    few = first_encoded(whole, 2, keep_rest=False)
    assert list(few) == ["train", "test"] and few["train"].tokens.shape == (2, 6)
    kept = first_encoded(whole, 2, keep_rest=True)
    assert list(kept) == ["train", UNUSED, "test"] and len(kept["train"]) == 2
    for part in ("tokens", "lengths", "labels"):
        joined = torch.cat([getattr(kept[name], part) for name in ("train", UNUSED)])
        assert torch.equal(joined, getattr(whole["train"], part))
    assert UNUSED not in first_encoded(whole, 5, keep_rest=True)
