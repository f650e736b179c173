"""The published tables, what is published beside them, and what is claimed of all: files in ``data/``."""

from __future__ import annotations

import csv
from pathlib import Path

from ablation.environment import PROJECT, how_to_restore
from ablation.results.log import ResultsError

PUBLISHED_TABLE = PROJECT / "data" / "published_table.csv"
PUBLISHED_ELSEWHERE = PROJECT / "data" / "published_elsewhere.csv"
PUBLISHED_LANGUAGE_MODEL = PROJECT / "data" / "published_language_model.csv"
PUBLISHED_CLAIMS = PROJECT / "data" / "published_claims.csv"


def published_table() -> dict[str, dict[str, str]]:
    """The published figures by row number, under the table's own column names; accuracies in percent.

    Raises:
        ResultsError: the table is not there.
    """
    return {line["row"]: line for line in _lines(PUBLISHED_TABLE)}


def published_figures() -> dict[str, dict[str, str]]:
    """What is published of any row: the table's lines, and those of rows that stand in none, such as another edition's
    own run; these have neither time nor device nor flags.

    Raises:
        ResultsError: a file is not there.
    """
    return {**published_table(), **{line["row"]: line for line in _lines(PUBLISHED_ELSEWHERE)}}


def published_language_model() -> dict[str, dict[str, str]]:
    """The published figures of the language model's rows by row number, as printed: ``name``, losses and perplexities
    under the names of their columns, and BLEU under :func:`spoken_name`.

    Raises:
        ResultsError: the table is not there.
    """
    figures: dict[str, dict[str, str]] = {}
    for line in _lines(PUBLISHED_LANGUAGE_MODEL):
        decoding, temperature = line.pop("decoding"), line.pop("temperature")
        own = figures.setdefault(line.pop("row"), {"name": line.pop("name")})
        own |= {spoken_name(column, decoding, temperature): figure for column, figure in line.items() if figure}
    return figures


def spoken_name(column: str, decoding: str, temperature: str) -> str:
    """What a figure is called that depends on the way of decoding: ``forward_bleu random 0.7``; others keep their
    column's name."""
    return " ".join(filter(None, (column, decoding, temperature)))


def published_claims(table: str) -> list[dict[str, str]]:
    """The lines about one table, under the file's own column names.

    Raises:
        ResultsError: the file is not there.
    """
    return [line for line in _lines(PUBLISHED_CLAIMS) if line["table"] == table]


def _lines(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror or error}; {how_to_restore()}") from None
