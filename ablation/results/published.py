"""The published table, its one home: ``data/published_table.csv``."""

from __future__ import annotations

import csv

from ablation.environment import PROJECT, how_to_restore
from ablation.results.log import ResultsError

PUBLISHED_TABLE = PROJECT / "data" / "published_table.csv"


def published_table() -> dict[str, dict[str, str]]:
    """The published figures by row number, under the table's own column names; accuracies in percent.

    Raises:
        ResultsError: the table is not there.
    """
    try:
        with PUBLISHED_TABLE.open(encoding="utf-8", newline="") as file:
            return {line["row"]: line for line in csv.DictReader(file)}
    except OSError as error:
        raise ResultsError(f"{PUBLISHED_TABLE}: {error.strerror or error}; {how_to_restore()}") from None
