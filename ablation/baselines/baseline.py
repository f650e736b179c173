"""What a baseline is, what it is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ablation.config.baseline import BaselineConfig
from ablation.listener import Count, Listener
from ablation.results.task import ClassifierTask

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Splits = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Asked:
    """What a baseline works on: the splits as tables of ``Label`` and ``Text``, its own settings, and the configuration
    of the command."""

    task: ClassifierTask
    config: BaselineConfig
    settings: Mapping[str, Any]
    splits: Splits
    listener: Listener


@dataclass
class Fitted:
    """What a baseline says of every message, and what there is to know of how it came to that.

    Attributes:
        scores: per split, of all its messages or of its first ones, of two classes (N,) the logit of the second (spam),
            that of the first being 0; or of any number of classes (N, C) the logit of each.
        parameters: how many were fitted.
        chosen: what was chosen on the validation split.
        counts: right answers of splits that were not answered as ``scores`` has them.
        beside: per split, what its predictions say besides, by column: (N,) each.
        columns: what its row says besides, by column name.
        files: of its folder, by name; ``further``: of its ``run.json``.
    """

    scores: dict[str, NDArray[np.float64]]
    parameters: int = 0
    chosen: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, Count] = field(default_factory=dict)
    beside: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    further: dict[str, Any] = field(default_factory=dict)

    @property
    def logits(self) -> dict[str, NDArray[np.float64]]:
        """Per split, (N, C)."""
        return {split: all_logits(scores) for split, scores in self.scores.items()}

    @property
    def predictions(self) -> dict[str, NDArray[np.int64]]:
        """Per split, (N,) the number of the class that a message is said to have; among equal logits the first."""
        return {split: logits.argmax(axis=1) for split, logits in self.logits.items()}


def all_logits(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, C) logits from the scores of :class:`Fitted`."""
    import numpy as np

    return np.stack([np.zeros(len(scores)), scores], axis=1) if scores.ndim == 1 else scores


@dataclass(frozen=True)
class Baseline:
    """A named model that a trained row has to beat.

    Attributes:
        description: what it is, as the task says it, too.
        settings: that are its own and never change; they are part of its hash.
        fit: answers the splits.
        takes: the settings of a command that it takes.
        fixed: those that its name stands for.
        needs: those that have to be given.
        draws: whether anything is drawn, so that every seed gives a row of its own.
        no_effect: why one that it takes changes nothing, by its name; empty where it does.
        check: what can be known before anything is fitted.
    """

    description: str
    settings: dict[str, Any]
    fit: Callable[[Asked], Fitted]
    takes: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    draws: Callable[[Mapping[str, Any]], bool] = lambda settings: False
    no_effect: Mapping[str, Callable[[BaselineConfig], str]] = field(default_factory=dict)
    check: Callable[[Asked], None] = lambda asked: None

    def config(self, asked: BaselineConfig) -> BaselineConfig:
        """The command as this baseline means it.

        Raises:
            ConfigError: settings that it takes contradict one another.
        """
        return asked.of(self._effective(asked), self.fixed)

    def taken(self, config: BaselineConfig) -> tuple[str, ...]:
        """The settings that it takes and that change anything, the seed among them."""
        return (*self._effective(config), *(["seed"] if self.draws(vars(config)) else []))

    def _effective(self, config: BaselineConfig) -> list[str]:
        return [name for name in self.takes if name not in self.reasons(config)]

    def reasons(self, config: BaselineConfig) -> dict[str, str]:
        """Of the settings that it takes those that change nothing, and why."""
        found = {name: reason(config) for name, reason in self.no_effect.items()}
        return {name: reason for name, reason in found.items() if reason}
