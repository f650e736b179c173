"""Bytes of tensors that an algorithm holds at once, whatever the system has in memory for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Held(TorchDispatchMode):
    """A context manager that looks at the results of all operations, backward passes included.

    Args:
        counts: whether a result's storage is one to count.

    Attributes:
        most: the largest sum of bytes that were alive at once.
    """

    def __init__(self, counts: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self.most = 0
        self._counts = counts
        self._sizes: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and self._counts(tensor):
                storage = tensor.untyped_storage()
                self._sizes[StorageWeakRef(storage)] = storage.nbytes()
        self._sizes = {reference: size for reference, size in self._sizes.items() if not reference.expired()}
        self.most = max(self.most, sum(self._sizes.values()))
        return result
