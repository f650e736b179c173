"""What others have published about a task's table: claims, declared before any result of one's own."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from ablation.results.log import ResultsError
from ablation.results.published import PUBLISHED_CLAIMS, published_claims
from ablation.results.quantities import BestEpochs as BestEpochs
from ablation.results.quantities import EveryShare as EveryShare
from ablation.results.quantities import Measured as Measured
from ablation.results.quantities import Quantity as Quantity
from ablation.results.quantities import Shares as Shares
from ablation.results.questions import Family, Side, side_name

Relation = Literal[">", "<", "=", "differs", ""]  # the last two only of what has no other
DIRECTIONS_AND_EQUALITY = (">", "<", "=")
ROW = "row "
UNITS = {"": 1.0, "points": 0.01, "of the time": 1.0}  # of a margin


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
            examples, or of a measured figure; of what is compared by seed in its own unit.
        family: how the rows are run and evaluated.
        why_not: why no runs of this program tell it; empty where they can.
        pairs: what is compared, where its sides are not two rows; of several pairs the claim has to hold for each.
        parts: each pair as a claim of its own, where they differ in more than their rows; then there are no ``pairs``.
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
    parts: tuple[Claim, ...] = ()

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
        if self.parts:
            return tuple(pair for part in self.parts for pair in part.compared)
        return self.pairs or (self.rows,)


@dataclass(frozen=True)
class Part:
    """One of several comparisons that a claim is about.

    Attributes:
        published_first, published_second: as printed; empty where there are none.
        quantity, relation: the claim's, if not given.
    """

    first: Side
    second: Side
    published_first: str = ""
    published_second: str = ""
    quantity: Quantity | None = None
    relation: Relation | None = None


def read_claims(
    table: str,
    family: Family,
    rows: Collection[int],
    quantities: Mapping[str, Quantity],
    reasons: Mapping[str, str],
    means: Mapping[str, Sequence[Side]] = {},
    beyond: Mapping[str, Family] = {},
    parts: Mapping[str, Sequence[Part]] = {},
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
        parts: by a claim's id: what it compares, where its sides say it in words.

    Raises:
        ResultsError: the file is not there, or a line of it makes no claim.
    """
    claims = []
    for line in published_claims(table):
        quantity, own = quantities.get(line["quantity"]), parts.get(line["id"], ())
        why_not = "" if own else _why_not(line, quantity, rows, reasons, means)
        claim = Claim(
            id=line["id"],
            text=line["claim"],
            quantity=quantity,
            first=line["first"],
            relation=_relation(line, quantity, why_not),
            second=line["second"],
            published_first=line["published_first"],
            published_second=line["published_second"],
            margin=_margin(line, quantity),
            family=beyond.get(line["id"], family),
            why_not=why_not,
            pairs=_pairs(line, means),
        )
        claim = dataclasses.replace(claim, parts=tuple(_part(claim, part) for part in own))
        claims.append(claim)
    return tuple(claims)


def _relation(line: Mapping[str, str], quantity: Quantity | None, why_not: str) -> Relation:
    """The line's relation, if its quantity can have it; none is needed where nothing is compared."""
    possible = ("differs",) if isinstance(quantity, BestEpochs) else DIRECTIONS_AND_EQUALITY
    if line["relation"] not in possible and not (why_not and quantity is None and not line["relation"]):
        raise ResultsError(
            f"{PUBLISHED_CLAIMS}: {line['id']}: relation {line['relation']!r} is none of {' '.join(possible)}"
        )
    return cast(Relation, line["relation"])


def _part(claim: Claim, part: Part) -> Claim:
    """A part as a claim of its own; another quantity brings its own margin."""
    quantity = part.quantity or claim.quantity
    return dataclasses.replace(
        claim,
        quantity=quantity,
        first=side_name(part.first),
        relation=part.relation or claim.relation,
        second=side_name(part.second),
        published_first=part.published_first,
        published_second=part.published_second,
        margin=_own_margin(quantity) if part.quantity else claim.margin,
        pairs=((part.first, part.second),),
    )


def _own_margin(quantity: Quantity | None) -> float:
    return 0.0 if quantity is None or isinstance(quantity, EveryShare | BestEpochs) else quantity.margin


def _margin(line: Mapping[str, str], quantity: Quantity | None) -> float:
    """The line's own margin, or that of its quantity."""
    if not line["margin"]:
        return _own_margin(quantity)
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
