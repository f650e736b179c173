"""The questions that the spam table is asked, declared before any result.

Each compares two configurations on the test split. What a published claim states is held against the runs as a claim
(:mod:`ablation.tasks.spam_claims`); asked here is what none states, and all of it of what no claim is about: random
weights, and the demo.
"""

from __future__ import annotations

from ablation.config.experiment import RANDOM
from ablation.config.rows import ROWS
from ablation.results.questions import BEST_BASELINE, Family, Question

MARGIN = 0.02  # accuracies that differ by up to two points, six messages of 300, serve a reader equally well
MAIN = Family("Questions beyond the published claims", MARGIN)
DEMO = Family("Questions", MARGIN)
RANDOM_TWINS = Family(
    "The same comparisons with random weights", MARGIN, overrides={"weights": RANDOM}, suffix=", random weights"
)

_PAIRS = (
    ("1", "2", "Does reading the first token instead of the last one cost accuracy?"),
    ("1", "3", "Does training only the output layer, not the last block, cost accuracy?"),
    ("1", "4", "Does training two blocks instead of one help?"),
    ("1", "5", "Does training all layers instead of the last block help?"),
    ("4", "5", "Does training all layers instead of two blocks help?"),
    ("1", "6", "Is GPT-2 medium better than small?"),
    ("1", "7", "Is GPT-2 large better than small?"),
    ("1", "8", "Is GPT-2 XL better than small?"),
    ("1", "10", "Is row 10 worse? (It changes two things: random initialisation, and training all layers.)"),
    ("5", "10", "Training all layers: is random initialisation worse than pretrained weights?"),
    ("5", "11", "Is LoRA as good as training all layers?"),
    ("9", "12", "GPT-2 XL: is LoRA as good as training all layers?"),
    ("1", "13", "Does padding to the model's whole context cost accuracy?"),
    ("1", "14", "Does leaving out padding, with batches of one message, help?"),
    ("1", "15", "Does leaving out padding, with eight messages per update, help?"),
    ("15", "16", "Is reading the last real token as good as leaving out padding?"),
    ("1", "16", "Does reading the last real token instead of a pad help?"),
    ("1", "17", "Does leaving out the causal mask help?"),
    ("1", "19", "Does averaging over all positions instead of reading the last help?"),
    (BEST_BASELINE, "1", "Is row 1 better than the best cheap baseline?"),
    (BEST_BASELINE, "4", "Is row 4 better than the best cheap baseline?"),
)

BEYOND_CLAIMS = {("1", "15"), ("1", "16"), (BEST_BASELINE, "1"), (BEST_BASELINE, "4")}

QUESTIONS: tuple[Question, ...] = (
    *(Question(first, second, text, MAIN) for first, second, text in _PAIRS if (first, second) in BEYOND_CLAIMS),
    # Random is what row 10 is: with random weights rows 1 and 10 are the pair 1 and 5, and rows 5 and 10 are the same.
    *(Question(first, second, text, RANDOM_TWINS) for first, second, text in _PAIRS if "10" not in (first, second)),
)
# The demo has one model, so it cannot say anything about size.
DEMO_QUESTIONS = tuple(
    question
    for question in (
        *(Question(first, second, text, DEMO) for first, second, text in _PAIRS),
        Question("1", "18", "Does ignore_index change nothing, as it must?", DEMO, identity=True),
        *(question for question in QUESTIONS if question.family == RANDOM_TWINS),
    )
    if not any("model_size" in ROWS[int(side)] for side in question.sides if side != BEST_BASELINE)
)
