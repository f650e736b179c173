"""What is claimed of the language model's table: which rows and evaluations tell it, declared before any result."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.config.decoding import RANDOM, TOP_P
from ablation.config.generation_rows import GENERATION_ROWS
from ablation.results import published
from ablation.results.claims import read_claims
from ablation.results.log import ResultsError
from ablation.results.questions import Variant, row_and_settings, side_name
from ablation.tasks.language_model import LANGUAGE_MODEL
from ablation.tasks.language_model_claims import BACKWARD, CLAIMS, JUMP, QUANTITIES, REASONS, spoken

BY_ID = {claim.id: claim for claim in LANGUAGE_MODEL.claims()}


def test_each_claim_can_be_told_or_says_why_not() -> None:
    assert list(BY_ID) == [f"L{number}" for number in range(1, 21)]
    assert {name for name, claim in BY_ID.items() if claim.why_not} == {"L6", "L19", "L20"}
    for claim in BY_ID.values():
        assert claim.text and claim.family == CLAIMS
        for side in (side for pair in claim.compared for side in pair if not claim.why_not):
            assert int(row_and_settings(side)[0]) in GENERATION_ROWS
    assert {side for claim in BY_ID.values() if claim.why_not for side in claim.sides} >= set(REASONS)
    assert (BY_ID["L13"].margin, BY_ID["L15"].parts[0].margin) == (0.01, 0.5)
    assert [part.quantity for part in BY_ID["L7"].parts] == [QUANTITIES["validation_loss"], JUMP]


def test_their_figures_are_those_of_the_published_table() -> None:
    """Of the claim as its file has them, and of each of its parts as the table has them."""
    table = LANGUAGE_MODEL.published()
    for name in ("L1", "L3", "L4", "L12", "L13", "L14", "L15", "L17"):
        claim = BY_ID[name]
        own = {figure for part in claim.parts for figure in (part.published_first, part.published_second)}
        said = {*claim.published_first.split(" / "), *claim.published_second.split(" / ")}
        if not claim.parts:
            own = {table[row]["test_perplexity"] for row in claim.rows}
        assert own == said, name
    heads = [float(part.published_second) for part in BY_ID["L16"].parts]
    assert f"{min(heads):.2f} to {max(heads):.2f}" == BY_ID["L16"].published_second
    without = [p for claim in BY_ID.values() for p in claim.parts if not (p.published_first and p.published_second)]
    assert {part.id for part in without} == {"L5", "L7", "L18"}


@pytest.mark.parametrize(("name", "count", "rows"), [("L8", 16, 4), ("L9", 8, 4), ("L10", 24, 4), ("L11", 12, 4)])
def test_ways_of_decoding_are_compared_within_each_model(name: str, count: int, rows: int) -> None:
    claim = BY_ID[name]
    assert len(claim.parts) == len({(*pair, part.quantity) for part in claim.parts for pair in part.pairs}) == count
    assert all(len({row_and_settings(side)[0] for side in pair}) == 1 for pair in claim.compared)
    assert len({row_and_settings(first)[0] for first, _ in claim.compared}) == rows
    for part in claim.parts:  # the published figures bear each of them out
        sign = 1 if part.relation == ">" else -1
        assert sign * (float(part.published_first) - float(part.published_second)) > 0
    assert sum(part.quantity == BACKWARD for part in claim.parts) == (12 if name == "L10" else 0)


def test_an_evaluation_is_named_as_results_have_it() -> None:
    side = spoken("3", TOP_P, "1.0")
    assert side.evaluation == {"decoding": "top_p", "temperature": "1.0", "top_p": "0.9"}
    assert side_name(side) == "row 3, top_p 0.9 at temperature 1"
    assert side_name(Variant("2", {"n_heads": 3}, {}, "best")) == "row 2 with --n_heads 3, best"
    assert spoken("1", RANDOM, "0.7").evaluation == {"decoding": "random", "temperature": "0.7"}


@pytest.mark.parametrize(
    "line",
    [
        "X,made up,epoch,row 1,>,row 2,,,epochs differ or not,",
        "X,made up,test_perplexity,row 1,differs,row 2,,,figures do not,",
        "X,made up,test_perplexity,row 1,,row 2,,,nothing is claimed,",
    ],
)
def test_a_relation_that_a_quantity_cannot_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    path = tmp_path / "claims.csv"
    header = "id,table,quantity,first,relation,second,published_first,published_second,claim,margin"
    path.write_text(f"{header}\n{line}\n")
    monkeypatch.setattr(published, "PUBLISHED_CLAIMS", path)
    with pytest.raises(ResultsError, match=r"X: relation '.*' is none of"):
        read_claims("made up", CLAIMS, GENERATION_ROWS, QUANTITIES, REASONS)
