"""Settings of own data: labelled messages that the user has, in place of the published ones."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablation.config.settings import run_option
from ablation.config.values import integer

PUBLISHED_LABELS = ("ham", "spam")
SPLIT_SEED = 123  # of the published split, and what own data are split by unless another is given
LARGEST_SEED = 2**32 - 1  # that the generator behind pandas takes


def joined_labels(labels: Sequence[str]) -> str:
    """Labels as ``--labels`` takes them: with commas between, one that holds a comma in quotation marks."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(labels)
    return buffer.getvalue()


def split_labels(text: str) -> tuple[str, ...]:
    """The inverse of :func:`joined_labels`; blanks around a label are no part of it.

    Raises:
        ValueError: they are not two or more different names.
    """
    labels = tuple(label.strip() for label in next(csv.reader([text], skipinitialspace=True), []))
    if len(labels) < 2 or "" in labels or len(set(labels)) < len(labels) or not all(map(str.isprintable, labels)):
        raise ValueError("give two or more different labels with commas between, in the order of the classes")
    return labels


def _labels(text: str) -> str:
    return joined_labels(split_labels(text))


@dataclass(frozen=True, kw_only=True)
class OwnDataSettings:
    """Labelled messages of one's own in place of the published ones. What they are is in a run's identity by their
    digest, so nothing here is."""

    data_file: str | None = run_option(
        None, "messages of your own, .csv or .tsv, split 70/10/20 % within each label; a run on them is a variant"
    )
    train_file: str | None = run_option(None, "messages of your own to train on; with the two below, nothing is split")
    validation_file: str | None = run_option(None, "those to choose by")
    test_file: str | None = run_option(None, "those to test on")
    labels: str | None = run_option(
        None, "labels of your own messages in the order of the classes: a,b,c; sorted if not given", _labels
    )
    text_column: str | None = run_option(None, "column of your own file that holds the message; text if not given")
    label_column: str | None = run_option(None, "column of your own file that holds the label; label if not given")
    split_seed: int = run_option(SPLIT_SEED, "seed of the split of --data_file", integer(0, LARGEST_SEED))

    @property
    def own_data(self) -> bool:
        return self.data_file is not None or self.train_file is not None

    @property
    def label_names(self) -> tuple[str, ...]:
        """The classes in the order of the logits. Of own data they are known once ``labels`` is: see
        :meth:`ablation.results.task.Task.settled`."""
        return PUBLISHED_LABELS if self.labels is None else split_labels(self.labels)

    def own_data_settings(self) -> dict[str, Any]:
        """What was given of these settings, by name."""
        given = ((name, getattr(self, name)) for name in OWN_DATA_FIELDS)
        return {name: value for name, value in given if value != OWN_DATA_FIELDS[name].default}

    def own_data_problems(self) -> list[str]:
        """What is wrong with these settings together, one line per problem."""
        files = {name: getattr(self, name) for name in ("train_file", "validation_file", "test_file")}
        given = [name for name, file in files.items() if file is not None]
        problems = []
        if given and self.data_file is not None:
            problems.append(f"--data_file with --{given[0]}: give one file that is split, or three that are not")
        elif given and len(given) < len(files):
            lacking = " and ".join(f"--{name}" for name in files if name not in given)
            problems.append(f"--{given[0]} {files[given[0]]}: give {lacking}, too; or one file to split: --data_file")
        elif not given and self.data_file is None:
            problems.extend(
                f"--{name} {value}: is about messages of your own; add --data_file FILE"
                for name in ("labels", "text_column", "label_column")
                if (value := getattr(self, name)) is not None
            )
        if self.text_column is not None and self.text_column == self.label_column:
            problems.append(f"--text_column {self.text_column}: is --label_column, too; give two columns")
        return problems


OWN_DATA_FIELDS = {field.name: field for field in dataclasses.fields(OwnDataSettings)}


def records_own_data(row: Mapping[str, Any]) -> bool:
    """Whether the row of a run, by column name, is of own data; rows of older versions are not."""
    return bool(row.get("data_file") or row.get("train_file"))


def recorded_flags(row: Mapping[str, str]) -> dict[str, str]:
    """What a row has recorded of own data, as flags with their values as typed; nothing of other data."""
    if not records_own_data(row):
        return {}
    fields = OWN_DATA_FIELDS.items()
    return {name: row[name] for name, field in fields if row.get(name) not in (None, "", str(field.default))}


def recorded_own_data(row: Mapping[str, str]) -> OwnDataSettings:
    """The settings of own data that a row of the results has recorded.

    Raises:
        ValueError: they are none that a run could have.
    """
    given = {name: row[name] for name in OWN_DATA_FIELDS if row.get(name)}
    return OwnDataSettings(**{name: OWN_DATA_FIELDS[name].metadata["parse"](text) for name, text in given.items()})
