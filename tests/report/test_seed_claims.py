"""Published claims on perplexity, BLEU and epochs held against made-up runs whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ablation.report import significance
from ablation.report.claim_findings import ClaimFinding
from ablation.report.claims import answer_claims
from ablation.report.groups import group_runs, sound_groups
from ablation.report.judgement import FAILED, HELD, NOT_RUN, UNTOLD, Status, published_advantage
from ablation.report.seed_claims import deciding_p, holm_of_claims
from ablation.report.suggestions import Suggestions
from ablation.results.read import read_results
from ablation.tasks.language_model import LANGUAGE_MODEL
from tests.support.made_up_sentences import Truth, made_up_rows, write_lines

SIX = range(1, 7)
ADRIFT = {"random 0.7": {"harmonic_bleu": 0.601}, "random 1.0": {"harmonic_bleu": 0.54, "forward_bleu": 0.5}}


def ways(cold: float, hot: float, hot_top_p: float) -> dict[str, dict[str, float]]:
    """Sentences as published: forward BLEU falls with heat, backward BLEU rises, and random is lowest."""
    found = {}
    for name, above in (("random", 0.0), ("top_k", 0.05), ("top_p", 0.1)):
        found[f"{name} 0.7"] = {"forward_bleu": 0.75 + above, "backward_bleu": 0.45, "harmonic_bleu": cold}
        found[f"{name} 1.0"] = {"forward_bleu": 0.55 + above, "backward_bleu": 0.51, "harmonic_bleu": hot}
    found["top_p 1.0"]["harmonic_bleu"] = hot_top_p
    return found


def losses(jump: float) -> list[list[float]]:
    """Three epochs of level training loss, each a jump above the one before."""
    return [[3.0 + epoch * jump] * 12 for epoch in range(3)]


# What is true of the made-up rows. Nothing of it is a result.
TRUTH: Mapping[int, Truth] = {
    1: Truth(
        {"test_perplexity": 15.3, "steps_to_20": 4690, "validation_perplexity": 17.4},
        ways(0.60, 0.53, 0.63),
        perplexities=[40, 25, 17.4],
    ),
    2: Truth(
        {"test_perplexity": 13.1, "steps_to_20": 1407, "validation_loss": 2.6},
        ways(0.60, 0.54, 0.63),
        losses=losses(-0.1),
    ),
    3: Truth({}, ways(0.60, 0.55, 0.55), perplexities=[30, 20, 21, 22], harmonic=[0.4, 0.5, 0.6, 0.5]),
    5: Truth({"validation_loss": 2.9}, losses=losses(0.2)),
    6: Truth({"test_perplexity": 13.1}, {"random 0.7": {"harmonic_bleu": 0.601}}),
    7: Truth({"test_perplexity": 14.1, "validation_perplexity": 17.0}, perplexities=[40.2, 24.9, 17.6, 17.5]),
    8: Truth({"test_perplexity": 12.0, "validation_perplexity": 15.2}, perplexities=[30, 20, 15.2]),
    9: Truth({"test_perplexity": 12.5}),
    **{row: Truth({"test_perplexity": 16.0}, {"random 0.7": {"harmonic_bleu": 0.58}}) for row in range(10, 17)},
    11: Truth({"test_perplexity": 14.0}),
    13: Truth({"test_perplexity": 16.0}, {"random 0.7": {"harmonic_bleu": 0.62}}),
}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Six seeds of most rows, none of row 4."""
    folder = tmp_path_factory.mktemp("results")
    return folder, [line for row, truth in TRUTH.items() for line in made_up_rows(folder, row, truth, SIX)]


def told(folder: Path, lines: Sequence[Mapping[str, Any]]) -> dict[str, ClaimFinding]:
    write_lines(folder, lines)
    runs, problems = read_results(folder, LANGUAGE_MODEL)
    assert not problems
    groups = sound_groups(group_runs(runs)[0])
    suggest = Suggestions(folder).about(LANGUAGE_MODEL)
    return {found.id: found for found in answer_claims(LANGUAGE_MODEL, groups, None, LANGUAGE_MODEL.claims(), suggest)}


@pytest.fixture(scope="module")
def findings(lines: tuple[Path, list[dict[str, Any]]]) -> dict[str, ClaimFinding]:
    return told(*lines)


EXPECTED: Mapping[Status, Mapping[str, str]] = {
    HELD: {
        "L1": "the difference is there, and as claimed; 6 common seeds, t with 5 df",
        "L2": "the difference is there, and as claimed",
        "L5": "row 3, best perplexity differs best BLEU: held, they differ in 6 of 6 runs",
        "L7": "jump of the training loss where an epoch begins, row 2 < row 5: held, the difference is there",
        "L8": "of 16 pairs 12 held, 4 not run; no results of row 4",
        "L10": "of 24 pairs 18 held, 6 not run",
        "L13": "the whole interval lies within 0.01",
        "L16": "of 7 pairs 7 held",
        "L17": "row 13, random at temperature 0.7 > row 16, random at temperature 0.7: held",
    },
    FAILED: {
        "L3": "the difference is there, and the other way round",
        "L11": "row 3, top_p 0.9 at temperature 1 > top_p 0.9 at temperature 0.7: failed",
        "L12": "a difference of 0.2 or more, as claimed, is ruled out",
        "L14": "row 9 < row 8: failed, the difference is there, and the other way round",
        "L15": "row 8 = row 1: failed, the whole interval lies outside 0.5",
        "L18": "row 1, random at temperature 0.7 > random at temperature 1 and 8 more: failed, a difference of 0.01 or",
    },
    NOT_RUN: {
        "L4": "no results of row 4",
        "L6": "of the captions alone",
        "L19": "rows always keep keys and values; python benchmarks/token_seconds.py",
        "L20": "rows do not time attention by itself",
    },
}


@pytest.mark.parametrize("status", EXPECTED)
def test_each_verdict_is_told_where_it_is_true(findings: dict[str, ClaimFinding], status: Status) -> None:
    for name, words in EXPECTED[status].items():
        found = findings[name]
        assert (found.status, words in found.how) == (status, True), found


def test_a_pair_that_fails_and_one_that_holds(findings: dict[str, ClaimFinding]) -> None:
    assert [part.status for part in findings["L14"].parts] == [HELD, HELD, FAILED]
    assert [part.status for part in findings["L15"].parts] == [HELD, FAILED]
    near, far = findings["L15"].parts
    assert near.interval == "0.167 to 0.167 apart" and far.interval == "5.733 to 5.733 apart"  # of three common epochs
    assert [float(text.split()[0]) for text in (near.own_first, far.own_first)] == pytest.approx([17.0, 15.2], abs=0.1)


def test_the_p_shown_is_the_one_that_the_verdict_hangs_on(findings: dict[str, ClaimFinding]) -> None:
    claims = {claim.id: claim for claim in LANGUAGE_MODEL.claims()}
    held, _, failed = findings["L14"].parts
    direction, equality = claims["L14"], claims["L15"]
    assert deciding_p(direction, [held, held], [0.01, 0.04]) == 0.04
    assert deciding_p(direction, [held, failed, failed], [0.04, 0.03, 0.01]) == 0.01
    assert deciding_p(equality, [failed, held], [1e-6, 0.8]) == deciding_p(equality, [held, held], [0.8, 1e-6]) == 1e-6
    assert deciding_p(direction, [held], [None]) is None


def test_no_range_is_of_two_quantities(findings: dict[str, ClaimFinding]) -> None:
    assert findings["L10"].own_first == "" and " to " in findings["L8"].own_first


def test_figures_stand_beside_the_published_ones(findings: dict[str, ClaimFinding]) -> None:
    first = findings["L1"]
    assert (first.published_first, first.published_second, first.seeds) == ("13.09", "15.31", 6)
    assert first.own_first.startswith("13.1") and " ± 0.0" in first.own_first
    assert first.interval.startswith("-2.2") and first.p == "<0.001" and first.command == ""
    steps = findings["L2"]  # equal in all seeds, and known to an epoch only
    assert (steps.own_first, steps.own_second, steps.interval) == ("1407 ± 0", "4690 ± 0", "-3484 to -3082")
    part = findings["L10"].parts[0]
    assert (part.first, part.relation, part.published_first) == ("row 1, random at temperature 0.7", ">", "0.800")
    assert (part.quantity, findings["L10"].parts[12].quantity) == ("forward BLEU", "backward BLEU")
    assert findings["L10"].parts[12].relation == "<"
    heads = findings["L16"]
    assert len(heads.parts) == 7 and heads.interval == "" and heads.own_first.startswith("14.0")
    low, high = map(float, heads.own_second.split(" to "))
    assert 15.2 < low < 15.4 and 15.9 < high < 16.1
    assert findings["L7"].own_second.count(", ") == 1 and findings["L7"].parts[1].own_second == "0.200 ± 0.000"


def test_what_the_published_figures_do_not_bear_out_says_so(findings: dict[str, ClaimFinding]) -> None:
    parts = [part for found in findings.values() for part in (found.parts or (found,))]
    assert not [part for part in parts if "do not say so" in part.how]
    assert all((published_advantage(claim) or 1) > 0 for claim in LANGUAGE_MODEL.claims())


def test_what_is_missing_is_one_command(findings: dict[str, ClaimFinding], lines: tuple[Path, Any]) -> None:
    command = f"python sweep.py --task language_model --rows 4 --seeds 123-128 --results_dir {lines[0]}"
    assert findings["L4"].command == findings["L8"].command == findings["L5"].command == command
    assert not any(findings[name].command for name in ("L1", "L6", "L16", "L19"))


def test_without_runs_all_is_missing(tmp_path: Path) -> None:
    found = told(tmp_path, [])
    assert {finding.status for finding in found.values()} == {NOT_RUN}
    for name, rows in {"L8": "1-4", "L16": "1,10-16", "L7": "2,5"}.items():
        assert found[name].command.startswith(f"python sweep.py --task language_model --rows {rows} --seeds 123-128")
        assert "; " not in found[name].command


# ---- which runs count ------------------------------------------------------------------------------------------------


def of_rows(lines: Sequence[Mapping[str, Any]], *rows: int) -> list[dict[str, Any]]:
    return [dict(line) for line in lines if line["row"] in rows]


def test_few_seeds_give_figures_and_no_verdict(tmp_path: Path, lines: tuple[Path, list[dict[str, Any]]]) -> None:
    few = [line for line in of_rows(lines[1], 1, 2) if line["seed"] <= (1 if line["row"] == 1 else 6)]
    found = told(tmp_path, few)["L1"]
    assert (found.status, found.interval, found.p, found.seeds) == (UNTOLD, "", "", 1)
    assert "row 1 is 2." in found.how and "in 1 of 1 seed; a verdict takes six common seeds" in found.how
    assert "--rows 1,2 --seeds 123-128" in found.command
    five = told(tmp_path, [line for line in of_rows(lines[1], 1, 2) if line["seed"] <= 5])["L1"]
    assert (five.status, five.p, bool(five.interval)) == (UNTOLD, "", True)


def test_seeds_are_paired(tmp_path: Path, lines: tuple[Path, list[dict[str, Any]]]) -> None:
    """Differences of 0.3 in each seed are told though seeds differ by ten times as much."""
    own = of_rows(lines[1], 2, 6)
    for line in own:
        line["test_perplexity"] = (
            13 + 3 * line["seed"] + 0.0001 * line["seed"] ** 2 * line["row"] - 0.3 * (line["row"] == 6)
        )
    found = told(tmp_path, own)["L12"]
    assert found.status == HELD and found.interval.startswith("-0.3")
    for line in own:
        line["test_perplexity"] += 10 * (line["row"] == 6 and line["seed"] % 2)
    assert told(tmp_path, own)["L12"].status == UNTOLD


def test_a_perplexity_is_that_of_the_run_whatever_it_said(tmp_path: Path, lines: tuple[Path, Any]) -> None:
    """A run that was evaluated in one way only, another one than its partner, tells perplexity, and no BLEU."""
    own = [
        line for line in of_rows(lines[1], 1, 2)
        if (line["decoding"], line["temperature"]) == (("random", 1.0) if line["row"] == 1 else ("top_k", 0.7))
    ]  # fmt: skip
    found = told(tmp_path, own)
    assert (found["L1"].status, found["L3"].status) == (HELD, NOT_RUN)
    assert found["L3"].how == "no results of row 2, random at temperature 1"
    assert found["L3"].command == "python generation_experiments.py --run RUN --decoding random --temperature 1.0"


def test_other_numbers_of_sentences_are_not_compared(tmp_path: Path, lines: tuple[Path, Any]) -> None:
    own = of_rows(lines[1], 1, 2)
    for line in own:
        line["n_samples"] = 100 if line["row"] == 1 and line["seed"] == 3 else 5000
    found = told(tmp_path, own)
    assert (found["L3"].status, found["L3"].seeds, found["L1"].seeds) == (UNTOLD, 5, 6)
    assert "left out: seeds whose runs differ in n_samples" in found["L3"].how
    assert found["L8"].status == HELD  # within a run all are alike


def test_a_seed_without_the_figure_leaves_it_untold(tmp_path: Path, lines: tuple[Path, Any]) -> None:
    own = of_rows(lines[1], 1, 2)
    for line in own:
        line["steps_to_20"] = None if line["row"] == 1 and line["seed"] == 3 else line["steps_to_20"]
    found = told(tmp_path, own)["L2"]
    assert (found.status, found.command) == (UNTOLD, "") and "1 common seed without a figure of both" in found.how


def test_steps_are_known_to_an_epoch_only(tmp_path: Path, lines: tuple[Path, Any]) -> None:
    """Equal in each seed: an epoch less is ruled out. An epoch apart in each is no certainty, for it is rounded."""
    own = of_rows(lines[1], 1, 2)
    for line in own:
        line["steps_to_20"] = 1407
    assert told(tmp_path, own)["L2"].status == FAILED
    for line in own:
        line["steps_to_20"] = 1407 if line["row"] == 2 else 1876
    assert told(tmp_path, own)["L2"].interval == "-670 to -268"


def test_epochs_that_agree_or_depend_on_the_seed(tmp_path: Path) -> None:
    same, other = Truth(perplexities=[30, 20, 21], harmonic=[0.4, 0.6, 0.5]), TRUTH[3]
    assert told(tmp_path, made_up_rows(tmp_path, 3, same, SIX))["L5"].status == FAILED
    mixed = [*made_up_rows(tmp_path, 3, same, range(1, 5)), *made_up_rows(tmp_path, 3, other, range(5, 7))]
    found = told(tmp_path, mixed)["L5"]
    assert (found.status, "they differ in 2 of 6 runs" in found.how) == (UNTOLD, True)


# ---- many claims -----------------------------------------------------------------------------------------------------


def test_a_direction_on_several_pairs_has_their_largest_p() -> None:
    """Three claims: one pair; a direction on two; an equality on two."""
    found = holm_of_claims([([0.01], False), ([0.001, 0.02], False), ([0.001, 0.9], True)])
    assert found[2] == [pytest.approx(3 * 2 * 0.001), 1.0]
    assert found[0] == [pytest.approx(2 * 0.01)]
    assert found[1] == [pytest.approx(2 * 0.01), pytest.approx(0.02)]  # no less than what came before
    assert holm_of_claims([([None, 0.04], False), ([None], False)]) == [[None, pytest.approx(0.08)], [None]]
    single = [0.04, 0.01, 0.03]
    assert [p for (p,) in holm_of_claims([([p], False) for p in single])] == pytest.approx(significance.holm(single))


def test_claims_are_corrected_for_all_that_runs_can_tell(lines: tuple[Path, Any], tmp_path: Path) -> None:
    """Alone L12's p is below 0.05; of sixteen claims it is not, run or not."""
    own = of_rows(lines[1], 2, 6)
    for line in own:
        line["test_perplexity"] = 13.1 - (line["row"] == 6) * (0.3 + 0.2 * (-1) ** line["seed"])
    found = told(tmp_path, own)["L12"]
    assert found.status == UNTOLD and "too close to chance among so many claims" in found.how
    assert 0.1 < float(found.p) <= 1
