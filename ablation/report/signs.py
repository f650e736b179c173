"""What the signs of a report mean, each said once; whoever shows a sign says it where the sign stands."""

from __future__ import annotations

from collections.abc import Mapping

from ablation.report.judgement import FAILED, HELD, NOT_RUN, UNTOLD
from ablation.report.significance import LEVEL, POWER, SEEDS_FOR_SIGN_FLIPS, SEEDS_IN_WORDS
from ablation.results.task import Task


def signs(task: Task) -> Mapping[str, str]:
    """By the sign or word as a reader meets it."""
    last, examples = task.splits[-1], task.examples
    return {
        "±": "the mean over seeds ± the standard deviation: how far single seeds usually lie from it",
        "(n)": "a number in parentheses is no published row: it differs from row n as its setting says",
        "–": "nothing to show: not run, not published, or not known",
        "New": f"counted on those {last} {examples} alone that do not occur in the {task.splits[0]} split",
        "95 %": f"made anew with other seeds and {examples}, such an interval holds the truth {LEVEL:.0%} of the time",
        "Inside": "whether the published figure lies within our interval",
        "p": "how often chance alone would make a difference as large as this or larger",
        "p, Holm": "the same, corrected by Holm's method for how many comparisons were made: up to 0.05 counts as told",
        "p, sign flips": f"a second test, of the seeds alone, from {SEEDS_FOR_SIGN_FLIPS} common seeds on",
        "Could show": f"the smallest difference that these runs would have found {POWER:.0%} of the time",
        "seeds": f"one seed is tested by exact McNemar, {SEEDS_IN_WORDS} and more over seeds and {examples}; two to"
        " five seeds give figures and a cautious sentence",
        "LOSS NOT FINITE": "the training of a run broke down; it takes no part in answer, claims and questions",
        HELD: "the runs bear the claim out",
        FAILED: "the runs contradict the claim, or rule out a difference that would matter",
        UNTOLD: "the runs fit the claim and its contrary, or are too few",
        NOT_RUN: "results of a side are missing, or this program cannot make them",
    }
