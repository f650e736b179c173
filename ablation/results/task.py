"""The seam between the house and what an experiment is about: run, sweep and report know a task by this alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ablation.config.flags import CommandLine
from ablation.config.own_data import PUBLISHED_LABELS
from ablation.config.settings import CommonSettings
from ablation.listener import Count, Listener

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ablation.data.encode import EncodedMessages
    from ablation.results.claims import Claim
    from ablation.results.questions import Question


@dataclass(frozen=True)
class Metric:
    """A figure that rows of a task have.

    Attributes:
        name: its column in the CSV.
        title: what people call it, such as ``test accuracy``.
        split: whose examples it is a share of, where it is one: the row then has ``<split>_correct`` and
            ``<split>_total``, and the value is shown in percent.
        more_is_better: whether a larger value is the better one.
        optional: whether a row may lack it, as one of a run that generated nothing lacks BLEU.
    """

    name: str
    title: str
    split: str | None = None
    more_is_better: bool = True
    optional: bool = False

    @property
    def label(self) -> str:
        """What tables call it: ``test`` for ``test_acc``."""
        return self.name.removesuffix("_acc")

    @property
    def scale(self) -> int:
        """What its values are multiplied by to be shown: a share is shown in percent."""
        return 1 if self.split is None else 100


@dataclass(frozen=True)
class Measurement:
    """The value of a metric; a share has its count, too."""

    metric: Metric
    value: float
    count: Count | None = None


@dataclass(frozen=True)
class Evaluation:
    """One way in which a trained model was evaluated: one row of the results.

    Attributes:
        measurements: in the order of the task's metrics.
        settings: columns that tell this row from others of the same run; none where a run has one row.
    """

    measurements: tuple[Measurement, ...]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Examples:
    """What a run trains and is evaluated on.

    Attributes:
        splits: per split, as token ids.
        digest: SHA-256 (hex) of which examples, which labels, which order.
        published: whether they are the published ones; others make the run a variant by their digest.
    """

    splits: dict[str, EncodedMessages]
    digest: str
    published: bool


class PredictionsError(Exception):
    """A run's predictions cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Predictions:
    """What one run said of one split: ``labels`` (N,), ``logits`` (N, C), and ``correct`` (N,), 1 where it is right;
    ``names`` are those of the C classes."""

    labels: NDArray[np.int64]
    logits: NDArray[np.float64]
    correct: NDArray[np.int64]
    names: tuple[str, ...] = PUBLISHED_LABELS


@dataclass(frozen=True)
class Likeness:
    """Which examples are alike, for intervals and for accuracies on what is new.

    Attributes:
        digest: of the examples, as rows record it.
        clusters: per split (N,), equal numbers for examples that are nearly copies of one another.
        in_training: per sense of the word, (N,) whether an example of the last split stands in training too.
        texts: per split (N,), the examples themselves, where they are texts.
    """

    digest: str
    clusters: Mapping[str, NDArray[np.int64]]
    in_training: Mapping[str, NDArray[np.bool_]]
    texts: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


class Task(Protocol):
    """What an experiment is about.

    Attributes:
        name: as ``run.json`` has it.
        title: of its report.
        examples: what its examples are called, such as ``messages``.
        command_line: how its experiments are asked for: program, flags, rows.
        csv_name: the file of its rows in a results folder.
        columns: of that file, in order; ``config_hash`` is the last.
        evaluation_columns: those of them that tell the rows of one run from one another.
        metrics: what its rows say.
        headline: the metric of them that a sweep shows and questions compare.
        splits: names of the parts of the data: training first, the one that chooses next to last, the one that
            questions are about last.
        published_data_digest: of the published data.
        data_settings: names of those settings whose values in a sweep make other data.
        loss_columns: of a run's file of losses; a step is that of its loss.
        source: what the published data are, whose, and under which licence, in a sentence; empty if it is not said.
        questions: declared before any result; ``demo_questions`` are those that the demo can answer.
        baselines: what a trained row has to beat: name of the row, description.
        row_names: what rows are called where they were published, by number.
    """

    name: str
    title: str
    examples: str
    command_line: CommandLine
    csv_name: str
    columns: tuple[str, ...]
    evaluation_columns: tuple[str, ...] = ()
    metrics: tuple[Metric, ...]
    headline: Metric
    splits: tuple[str, ...]
    published_data_digest: str
    data_settings: tuple[str, ...] = ()
    loss_columns: Sequence[str] = ("step", "train_loss", "validation_loss")
    source: str = ""
    questions: Sequence[Question]
    demo_questions: Sequence[Question]
    baselines: Mapping[str, str]
    row_names: Mapping[int, str] = {}

    @property
    def command(self) -> str:
        """The program at the root that runs one experiment."""
        return self.command_line.program

    @property
    def chooser(self) -> Metric:
        """The metric on the split that chooses; the headline where there is none."""
        return next((metric for metric in self.metrics if metric.split == self.splits[-2]), self.headline)

    @property
    def rows(self) -> Mapping[int, Mapping[str, Any]]:
        """What differs from the defaults, by row number."""
        return self.command_line.rows

    @property
    def config_class(self) -> type[CommonSettings]:
        """The dataclass of its settings."""
        return self.command_line.config_class

    def settled(self, config: Any) -> Any:
        """The configuration with what only its data tell, such as the labels of the user's own; reads nothing else.

        Raises:
            DataError: they cannot be used.
            ConfigError: a setting does not go with them.
        """
        return config

    def labels(self, config: Any) -> tuple[str, ...]:
        """What the classes of a settled configuration are called, in the order of the logits; none without classes."""
        return ()

    def load(self, config: Any, listener: Listener) -> Any:
        """What a run trains and is evaluated on; fetches what is missing.

        Raises:
            DataError, DownloadError: it cannot be had or used.
        """

    def read_predictions(self, folder: Path, split: str) -> Predictions:
        """What the run of this folder answered to the examples of a split, in the split's order.

        Raises:
            PredictionsError: it kept no answers, or they cannot be read.
        """
        raise PredictionsError(f"{folder}: runs of this kind answer no {split} examples one by one")

    def data_digest(self, config: Any) -> str | None:
        """The digest that a run of this configuration would record, if its data are at hand; fetches nothing."""

    def foreign_data_digest(self, config: Any) -> str | None:
        """As :meth:`data_digest` where the data are other than the published ones; None where they are not, or are not
        at hand."""
        digest = self.data_digest(config)
        return None if digest == self.published_data_digest else digest

    def likeness(self, data_dir: Path, *, demo: bool, recorded: Mapping[str, str] = {}) -> tuple[Likeness | None, str]:
        """Which examples are alike; or None, and what to do about it.

        Args:
            recorded: the row of a run, by column name, where its own data are meant.
        """
        return None, f"which {self.examples} are alike is not known"

    def published(self) -> Mapping[str, Mapping[str, str]]:
        """Published figures by row number, under the names of the metrics."""

    def claims(self) -> Sequence[Claim]:
        """What is published about its table, beside the figures; none if not said otherwise."""
        return ()


class ClassifierTask(Task, Protocol):
    """What an experiment with a classifier is about, besides."""

    def load(self, config: Any, listener: Listener) -> Examples:
        """The examples as token ids; fetches what is missing.

        Raises:
            DataError, DownloadError: they cannot be had or used.
        """

    def loss(self, logits: Tensor, labels: Tensor, config: Any) -> Tensor:
        """The mean loss of a batch."""

    def correct(self, logits: Tensor, labels: Tensor) -> Count:
        """How many of some examples are answered correctly."""

    def evaluate(self, counts: Mapping[str, Count]) -> tuple[Evaluation, ...]:
        """The rows of a run, from its final counts per split."""

    def predictions_csv(self, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], names: Sequence[str]) -> str:
        """What a run's folder keeps of the answers to the examples of each split, in the split's order.

        Args:
            names: of the classes, as of :meth:`labels`.
        """
