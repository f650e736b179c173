"""The page on claims says what the code does, and its example is what the report makes of these runs.

``python -m tests.docs.test_claims`` renews the page.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import ablation.report.claims as rules
from ablation.config.rows import row_config
from ablation.environment import PROJECT
from ablation.report.claims import ClaimFinding
from ablation.report.contents import gather
from ablation.report.documents import replace_block
from ablation.report.judgement import STATUSES
from ablation.report.markdown import markdown_table
from ablation.report.seed_claims import FEW_PARTS
from ablation.results.claims import Claim
from ablation.results.quantities import Curve, Figure, Measured, Shares
from ablation.results.questions import row_and_settings, side_name
from ablation.tasks.registry import TASKS
from ablation.tasks.spam import SPAM
from ablation.words import in_ranges
from tests.support.made_up_results import made_up_messages, make_run, publish

PAGE = PROJECT / "docs" / "claims.md"
CLAIMS = [claim for task in TASKS.values() for claim in task.claims()]
SHOWN = ("S1", "S3", "S5", "S6", "S10", "S18", "S24", "S28")
TRUTH: Mapping[int, tuple[float, int, Mapping[str, Any]]] = {
    1: (0.95, 6, {}),
    2: (0.75, 6, {}),
    4: (0.98, 6, {}),
    5: (0.975, 6, {"training_minutes": 7.5}),
    13: (0.995, 6, {}),
    17: (0.96, 3, {}),
}


def rules_text() -> str:
    return (rules.__doc__ or "").partition("\n\n")[2].strip()


def claims_table() -> str:
    header = ("Claim", "Compared", "Of", "Published", "Margin", "What is claimed")
    return markdown_table(header, [_line(claim) for claim in CLAIMS]).strip()


def _line(claim: Claim) -> tuple[str, ...]:
    published = " / ".join(filter(None, (claim.published_first, claim.published_second))) or "–"
    units = {Shares: f"{100 * claim.margin:g} points", Measured: f"{100 * claim.margin:g} %"}
    units |= dict.fromkeys((Figure, Curve), f"{claim.margin:g}")
    of = claim.quantity.title if claim.quantity and not claim.why_not else f"not run: {claim.why_not}"
    compared = f"{claim.first} {claim.relation} {claim.second}"
    if claim.pairs:
        of += f": {', '.join(side_name(first) for first, _ in claim.pairs)}; each beside {side_name(claim.pairs[0][1])}"
    if claim.parts:
        of += f": {_parts(claim)}"
    return claim.id, compared, of, published, units.get(type(claim.quantity), "–"), claim.text


def _parts(claim: Claim) -> str:
    """What is compared pair by pair: a few one by one, of many how many there are of which rows."""
    if len(claim.parts) <= FEW_PARTS:
        return "; ".join(f"{part.first} {part.relation} {part.second}{_besides(claim, part)}" for part in claim.parts)
    rows = sorted({int(row_and_settings(side)[0]) for pair in claim.compared for side in pair})
    besides = "".join(dict.fromkeys(_besides(claim, part) for part in claim.parts))
    return f"{len(claim.parts)} pairs of rows {in_ranges(rows)}{besides and f', half of them{besides}'}"


def _besides(claim: Claim, part: Claim) -> str:
    """Of a part with another quantity than the claim's."""
    if part.quantity == claim.quantity or part.quantity is None:
        return ""
    return f" (by {part.quantity.title}, margin {part.margin:g})"


def example_table(folder: Path) -> str:
    """What the report says of the made-up runs to some claims."""
    data = made_up_messages(folder / "messages", 747)
    with pytest.MonkeyPatch.context() as patch:
        publish(patch, data)
        for row, (accuracy, seeds, columns) in TRUTH.items():
            for seed in range(123, 123 + seeds):
                make_run(folder / "results", data, row_config(row, seed=seed), accuracy, **columns)
        claims = gather(SPAM, folder / "results", data).claims
    header = ("Claim", "Compared", "Published", "Own", "95 %", "p, Holm", "Verdict", "How")
    return markdown_table(header, [_told(claim) for claim in claims if claim.id in SHOWN]).strip()


def _told(claim: ClaimFinding) -> tuple[str, ...]:
    compared = f"{claim.first} {claim.relation} {claim.second}"
    published, own = (
        " / ".join(filter(None, pair)) or "–"
        for pair in ((claim.published_first, claim.published_second), (claim.own_first, claim.own_second))
    )
    return claim.id, compared, published, own, claim.interval or "–", claim.p or "–", claim.status, claim.how


def renew(text: str, folder: Path) -> str:
    blocks = {"rules": rules_text(), "claims": claims_table(), "example": example_table(folder)}
    for name, block in blocks.items():
        text = replace_block(text, name, block)
    return text


def test_the_page_is_as_the_code_makes_it(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert renew(text, tmp_path) == text


def test_the_page_shows_each_status_and_explains_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    example = text.partition("<!-- example:begin -->")[2]
    for status in STATUSES:
        assert f"* **{status}**: " in text
        assert f" | {status} | " in example
    assert set(re.findall(r"^\| ([SL]\d+) \|", text, flags=re.MULTILINE)) == {claim.id for claim in CLAIMS}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        PAGE.write_text(renew(PAGE.read_text(encoding="utf-8"), Path(name)), encoding="utf-8")
