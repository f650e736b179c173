"""What is claimed of the published spam table, and which figures of our rows tell it.

The claims are the lines of the table ``spam`` in ``data/published_claims.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping

from ablation.config.rows import ROWS
from ablation.results.claims import Claim, EveryShare, Measured, Quantity, Shares, read_claims
from ablation.results.questions import Family
from ablation.tasks.spam_questions import MARGIN

CLAIMS = Family("Published claims", MARGIN)
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
    "bert-large all layers": "this program has no BERT; a fine-tuned one as a row of the baselines would tell",
    "untrained": "no row keeps the accuracy before the first step; a row that trains no step would tell",
    "zero-shot small": "this program asks GPT-2 nothing in words; a baseline that prompts it would tell",
    "row 33": "this program has no row 33, LoRA as another edition runs it; such a row would tell",
    "row 39": "this program has no row 39, the first position read without a causal mask; such a row would tell",
    "LoRA at any rank": "a verdict on many ranks together is not made here; runs of row 11 with other --lora_rank"
    " stand in the table beside it",
    "fewer training messages": "no setting leaves out training messages; one that does would tell",
}


def spam_claims() -> tuple[Claim, ...]:
    """See :func:`ablation.results.claims.read_claims`."""
    return read_claims("spam", CLAIMS, ROWS, QUANTITIES, REASONS)
