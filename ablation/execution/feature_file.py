"""Tables of hidden states in files: the kept ones, which check themselves, and temporary ones."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ablation.files.sealed import UnusableError, open_checked

MARK = b"GPT2FEAT"
Layout = list[tuple[int, list[int]]]  # per batch of messages: positions of each, and which messages


class FeatureStorageError(Exception):
    """There is no room for features, or no folder to keep them in; the message says where and what to do."""


@dataclass(frozen=True)
class StoredFeatures:
    """A checked entry.

    Attributes:
        layout: which rows belong to which message: the batches, one behind the other.
        table: (rows, D), mapped from the file; what is written to it stays in memory.
    """

    layout: Layout
    table: Tensor


def read_entry(path: Path, key: Mapping[str, Any]) -> StoredFeatures:
    """Check a file from end to end and map it.

    Raises:
        FileNotFoundError: there is none.
        UnusableError: it was made for another key, or is damaged.
    """
    header, mapping, n_bytes = open_checked(path, key, MARK)  # the mapping ends with the last tensor that views it
    dtype, shape = getattr(torch, header["dtype"]), (header["rows"], header["width"])
    if n_bytes != shape[0] * shape[1] * dtype.itemsize:
        raise UnusableError(f"it has {n_bytes} bytes of numbers where its header promises {shape} of {dtype}")
    table = torch.frombuffer(mapping, dtype=dtype, count=shape[0] * shape[1]).view(shape)
    return StoredFeatures([(positions, messages) for positions, messages in header["layout"]], table)


def temporary_table(rows: int, width: int, dtype: torch.dtype) -> Tensor:
    """A table (rows, width) in a mapped file without a name, which ends with the last tensor that views it.

    Raises:
        FeatureStorageError: the folder of temporary files has no room for it.
    """
    n_bytes = rows * width * dtype.itemsize
    try:
        with tempfile.TemporaryFile(prefix="features-") as file:
            # Reserved now, because a disk that fills up later would kill the process without a word.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            file.truncate(n_bytes)
            mapping = mmap.mmap(file.fileno(), n_bytes)
    except OSError as error:
        raise FeatureStorageError(
            f"no room for {gigabytes(n_bytes)} of features in {tempfile.gettempdir()} ({error.strerror});"
            " set TMPDIR to a folder with more, or give a larger --feature_memory"
        ) from None
    return torch.frombuffer(mapping, dtype=dtype).view(rows, width)


def gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB"
