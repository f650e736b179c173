"""Starting values of what a method attaches, where the base's weights decide them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Derived:
    """The starting value of one parameter.

    Attributes:
        source: the name of a parameter of the plain model.
        make: its value -> the starting value.
    """

    source: str
    make: Callable[[Tensor], Tensor]
