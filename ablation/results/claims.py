"""What others have published about a task's table: claims, declared before any result of one's own."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from ablation.results.log import ResultsError
from ablation.results.published import PUBLISHED_CLAIMS, published_claims
from ablation.results.questions import Family, Side

Relation = Literal[">", "<", "="]
ROW = "row "
UNITS = {"": 1.0, "points": 0.01, "of the time": 1.0}  # of a margin


@dataclass(frozen=True)
class Shares:
    """A sum of shares of right answers, each split's with its weight; tested over seeds and examples.

    Attributes:
        title: with the unit in which figures are shown.
        weights: by split; one of them is a split of which runs keep their answers to each example.
        margin: a difference up to this (a fraction) serves a reader equally well.
    """

    title: str
    weights: Mapping[str, float] = dataclasses.field(hash=False)
    margin: float


@dataclass(frozen=True)
class Measured:
    """A column of the results such as a time; compared by medians of runs under the same conditions.

    Attributes:
        title: with the unit.
        digits: shown after the decimal point.
        margin: by how much of itself it differs from run to run at best.
        of_host: it is about the machine's processor and memory, so that a run on a GPU does not tell it.
    """

    title: str
    column: str
    digits: int
    margin: float
    of_host: bool = False


@dataclass(frozen=True)
class EveryShare:
    """All shares of right answers, seed by seed; they are equal or not."""

    title: str


Quantity = Shares | Measured | EveryShare


@dataclass(frozen=True)
class Claim:
    """One published claim: a quantity of the first side stands in a relation to that of the second.

    Attributes:
        id: of its line in ``data/published_claims.csv``.
        text: what is claimed, in words; also where its sources contradict one another.
        quantity: None where rows have none such.
        first, second: ``row 4``, or what the publication compares instead.
        published_first, published_second: its figures, as printed; empty where there are none.
        margin: what an equality has to lie within, and what an advantage has to reach to matter: a fraction of
            examples, or of a measured figure.
        family: how the rows are run and evaluated.
        why_not: why no runs of this program tell it; empty where they can.
        pairs: what is compared, where its sides are not two rows; of several pairs the claim has to hold for each.
    """

    id: str
    text: str
    quantity: Quantity | None
    first: str
    relation: Relation
    second: str
    published_first: str
    published_second: str
    margin: float
    family: Family
    why_not: str = ""
    pairs: tuple[tuple[Side, Side], ...] = ()

    @property
    def sides(self) -> tuple[str, str]:
        return self.first, self.second

    @property
    def rows(self) -> tuple[str, str]:
        """The numbers of the two rows, of a claim that runs can tell."""
        return self.first.removeprefix(ROW), self.second.removeprefix(ROW)

    @property
    def compared(self) -> tuple[tuple[Side, Side], ...]:
        """What has to be run for it, pair by pair."""
        return self.pairs or (self.rows,)


def read_claims(
    table: str,
    family: Family,
    rows: Collection[int],
    quantities: Mapping[str, Quantity],
    reasons: Mapping[str, str],
    means: Mapping[str, Sequence[Side]] = {},
    beyond: Mapping[str, Family] = {},
) -> tuple[Claim, ...]:
    """The published claims about one table.

    Args:
        table: its name in the file.
        family: how its rows are run.
        rows: those that this program has.
        quantities: by their names in the file.
        reasons: by a side that is none of the rows: why it cannot be run, and what would.
        means: by a side that is none of the rows: the rows, or variants of such, that it means.
        beyond: by a claim's id: the family of a claim on rows beside the published ones.

    Raises:
        ResultsError: the file is not there, or a line of it makes no claim.
    """
    claims = []
    for line in published_claims(table):
        quantity = quantities.get(line["quantity"])
        if line["relation"] not in get_args(Relation):
            raise ResultsError(f"{PUBLISHED_CLAIMS}: {line['id']}: relation {line['relation']!r} is none of > < =")
        claim = Claim(
            id=line["id"],
            text=line["claim"],
            quantity=quantity,
            first=line["first"],
            relation=cast(Relation, line["relation"]),
            second=line["second"],
            published_first=line["published_first"],
            published_second=line["published_second"],
            margin=_margin(line, quantity),
            family=beyond.get(line["id"], family),
            why_not=_why_not(line, quantity, rows, reasons, means),
            pairs=_pairs(line, means),
        )
        claims.append(claim)
    return tuple(claims)


def _margin(line: Mapping[str, str], quantity: Quantity | None) -> float:
    """The line's own margin, or that of its quantity."""
    if not line["margin"]:
        return 0.0 if quantity is None or isinstance(quantity, EveryShare) else quantity.margin
    number, _, unit = line["margin"].partition(" ")
    try:
        return float(number) * UNITS[unit]
    except (ValueError, KeyError):
        raise ResultsError(
            f"{PUBLISHED_CLAIMS}: {line['id']}: margin {line['margin']!r} is none such as “2 points”"
        ) from None


def _pairs(line: Mapping[str, str], means: Mapping[str, Sequence[Side]]) -> tuple[tuple[Side, Side], ...]:
    """Each of the first side's meanings with each of the second's; none where both are rows."""
    if not {line["first"], line["second"]} & set(means):
        return ()
    first, second = (means.get(side, (side.removeprefix(ROW),)) for side in (line["first"], line["second"]))
    return tuple(itertools.product(first, second))


def _why_not(
    line: Mapping[str, str],
    quantity: Quantity | None,
    rows: Collection[int],
    reasons: Mapping[str, str],
    means: Collection[str],
) -> str:
    known = {*(f"{ROW}{row}" for row in rows), *means}
    for side in (line["first"], line["second"]):
        if side not in known:
            return reasons.get(side, f"{side} is none of this program's rows")
    return "" if quantity else f"rows have no {line['quantity']}"
