"""What is claimed of the published spam table, and which figures of our rows tell it.

The claims are the lines of the table ``spam`` in ``data/published_claims.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping

from ablation.config.rows import ROWS
from ablation.results.claims import Claim, EveryShare, Measured, Quantity, Shares, read_claims
from ablation.results.questions import Family, Side, Variant
from ablation.tasks.spam_questions import MARGIN, METHODS

CLAIMS = Family("Published claims", MARGIN)
METHOD_CLAIMS = Family("Published claims on ways to fine-tune", MARGIN, chapter=METHODS.chapter)
PADDING_CLAIMS = Family("Published claims on padding", MARGIN)
RUN_TO_RUN = 0.05  # time and memory of a run that is repeated under the same conditions differ by this much at best

QUANTITIES: Mapping[str, Quantity] = {
    "test_acc": Shares("test accuracy, %", {"test": 1}, MARGIN),
    "accuracy_gap": Shares("training minus validation accuracy, points", {"train": 1, "validation": -1}, MARGIN),
    "training_minutes": Measured("training time, minutes", "training_minutes", 2, RUN_TO_RUN),
    "memory": Measured("peak memory, MB", "peak_memory_mb", 0, RUN_TO_RUN, of_host=True),
    "every figure": EveryShare("every accuracy, %"),
}
# Sides that are none of our rows: why, and what would tell.
REASONS: Mapping[str, str] = {
    "bert-large all layers": "BERT large is no row but baseline B9; the question that compares row 5 with it tells",
    "untrained": "no row is untrained; baseline B4 is, and its run.json has the first 10 batches",
    "zero-shot small": "no row is asked in words; baseline B6 is, and its predictions.csv has what the model writes",
    "fewer training messages": "the claim names no number; the report's curve over --n_train shows what each gives",
}
# Rank 16 is row 11's. “Any rank” is tried at both ends and between, in steps of four times.
RANKS = (1, 4, 64)
MEANS: Mapping[str, tuple[Side, ...]] = {
    "LoRA at any rank": tuple(Variant("11", {"lora_rank": rank}) for rank in RANKS),
    "LoRA rank 16": ("11",),
}
# Corrected for themselves, so that no verdict on the published rows moves.
BEYOND = {"S31": METHOD_CLAIMS, "S32": PADDING_CLAIMS, "S33": METHOD_CLAIMS}


def spam_claims() -> tuple[Claim, ...]:
    """See :func:`ablation.results.claims.read_claims`."""
    return read_claims("spam", CLAIMS, ROWS, QUANTITIES, REASONS, MEANS, BEYOND)
