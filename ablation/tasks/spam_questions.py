"""The questions that the spam table is asked, declared before any result.

Each compares two configurations on the test split. What a published claim states is held against the runs as a claim
(:mod:`ablation.tasks.spam_claims`); asked here is what none states, and all of it of what no claim is about: random
weights, bases that were trained here, the demo, and the ways to fine-tune and to pad beside the published ones.
"""

from __future__ import annotations

from ablation.config.base_words import base_words
from ablation.config.experiment import RANDOM
from ablation.config.generation import SCRATCH_BLOCKS, SMS
from ablation.config.rows import ROWS
from ablation.config.settings import LANGUAGE_MODEL
from ablation.results.questions import BEST_BASELINE, Family, Question, Side, Variant, row_and_settings

MARGIN = 0.02  # accuracies that differ by up to two points, six messages of 300, serve a reader equally well
MAIN = Family("Questions beyond the published claims", MARGIN)
DEMO = Family("Questions", MARGIN)
RANDOM_TWINS = Family(
    "The same comparisons with random weights", MARGIN, overrides={"weights": RANDOM}, suffix=", random weights"
)
TRAINED_HERE = Family("Pretrained here, or random?", MARGIN)
TO_BEAT = Family("What fine-tuning has to beat", MARGIN)
RANDOM_TO_BEAT = Family(
    "What fine-tuning has to beat, random weights", MARGIN, overrides={"weights": RANDOM}, suffix=", random weights"
)
PRETRAINED_ELSEWHERE = Family("What pretraining is worth on these messages", MARGIN)
METHODS = Family("Questions on the ways to fine-tune", MARGIN, chapter="methods")
PADDING = Family("Questions on padding", MARGIN)

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

# ---- ways to fine-tune: corrected for themselves, so that no verdict on the published rows moves ---------------------

# Row 21 is LoRA as it is compared with: on all maps. What differs from it in one thing alone is a variant of it.
_OVER_RANK = Variant("21", {"lora_scaling": "alpha_over_rank"})
_PUBLISHED_SCALE = Variant("21", {"lora_scaling": "alpha"})
_QUERY_AND_KEY = Variant("20", {"lora_targets": "query+key"})
_NAMES = {
    "11": "LoRA in its published form", "20": "LoRA on query and value", "21": "LoRA on all maps", "22": "DoRA",
    "23": "DyLoRA", "24": "the serial adapter", "25": "the serial adapter after the feed-forward alone",
    "26": "the parallel adapter", "27": "the hybrid of prefix and adapter", "28": "prefix tuning",
    "29": "the soft prompt", "30": "IA3", "31": "training the biases", "32": "training the norms",
}  # fmt: skip
_OTHER_TERM = "(Row 21 has twice their rank, and its term another factor, too.)"
_METHOD_PAIRS: tuple[tuple[Side, Side, str], ...] = (
    *(("5", row, f"Is {name} as good as training all layers?") for row, name in _NAMES.items()),
    *(("21", row, f"Is {name} as good as LoRA?") for row, name in _NAMES.items() if row not in ("20", "21")),
    ("21", "20", f"Does LoRA on query and value alone suffice? {_OTHER_TERM}"),
    ("21", _QUERY_AND_KEY, f"Does LoRA on query and key alone suffice? {_OTHER_TERM}"),
    (_OVER_RANK, "22", "Does DoRA beat LoRA on the same maps, with the same rank, alpha and scaling?"),
    (_OVER_RANK, "21", "Which scaling of LoRA is better: alpha over rank, or over its root?"),
    (_PUBLISHED_SCALE, "21", "Which scaling of LoRA is better: alpha undivided, or over the rank's root?"),
    (_PUBLISHED_SCALE, _OVER_RANK, "Which scaling of LoRA is better: alpha undivided, or over the rank?"),
    ("1", "31", "Is training the biases alone as good as training the last block?"),
)
METHOD_QUESTIONS = tuple(Question(first, second, text, METHODS) for first, second, text in _METHOD_PAIRS)

# ---- padding: corrected for themselves, too --------------------------------------------------------------------------

_MASKED = Variant("1", {"mask_padding": True})
_SHORTER = "(Shorter messages have fewer pads behind them, too.)"
PADDING_QUESTIONS = (
    Question("1", "34", "Does the side of padding matter?", PADDING),
    Question("1", _MASKED, "Does masking pads help on the right?", PADDING),
    Question("34", "35", "Does masking pads help on the left?", PADDING),
    Question("35", "36", "Masked pads on the left: does it help to count positions from the first token?", PADDING),
    Question("1", "37", f"Does cutting messages to 32 tokens at their end cost accuracy? {_SHORTER}", PADDING),
    Question("1", "38", f"Does cutting messages to 32 tokens at their beginning cost accuracy? {_SHORTER}", PADDING),
    Question("37", "38", "Which end of a message may be cut? (The second is cut at its beginning.)", PADDING),
    Question("17", "39", "Without the causal mask: is the first position read as well as the last?", PADDING),
    # Two ways to the same numbers: no pad is seen in either.
    Question("16", "36", "Is left padding, masked and shifted, row 16, as it must be?", PADDING, identity=True),
)

# ---- bases that were trained here: row 1 on a language model of three blocks, and on as many random ones -------------

_RANDOM_BLOCKS = Variant("1", {"weights": RANDOM, "n_layers": SCRATCH_BLOCKS})
_ON_LANGUAGE_MODEL = {"weights": LANGUAGE_MODEL, "n_layers": SCRATCH_BLOCKS}
_BASES: tuple[dict[str, str], ...] = ({"data": SMS}, {})  # what differs in them from row 1 of the language models
BASE_QUESTIONS = tuple(
    Question(
        _RANDOM_BLOCKS,
        Variant("1", _ON_LANGUAGE_MODEL, base=base),
        f"Is a language model {base_words(base)} a better base than random weights?",
        TRAINED_HERE,
    )
    for base in _BASES
)

# ---- what fine-tuning has to beat: a family of its own, too ----------------------------------------------------------

_FEATURES = "better than frozen features with logistic regression?"
_MINILM, _SMOLLM2 = "all-MiniLM-L6-v2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_BASELINE_PAIRS: tuple[tuple[Side, Side, str], ...] = (
    ("B5", "1", f"Is training the last block {_FEATURES}"),
    ("B5", "5", f"Is training all layers {_FEATURES}"),
    ("B6", "5", "Is training all layers better than asking in words, without an example?"),
    (Variant("B6", {"shots": 16}), "5", "Is training all layers better than asking in words with 16 examples?"),
    ("B9", "5", "Is GPT-2 small, all layers, better than BERT large?"),
)
# What can be had without GPT-2's weights: what pretraining is worth on these messages, beside random GPT-2.
_PRETRAINING_PAIRS: tuple[tuple[Side, Side, str], ...] = (
    ("B3", Variant("B5", {"hf_model": _SMOLLM2}), "Do SmolLM2's frozen features beat character TF-IDF?"),
    ("B3", Variant("B5", {"hf_model": _MINILM}), "Do MiniLM's frozen features beat character TF-IDF?"),
    ("B3", Variant("B7", {"hf_model": _MINILM}), "Does fine-tuning MiniLM beat character TF-IDF?"),
    (
        Variant("B5", {"hf_model": _MINILM}),
        Variant("B7", {"hf_model": _MINILM}),
        "Is fine-tuning MiniLM better than its frozen features with logistic regression?",
    ),
)
BASELINE_QUESTIONS = (
    *(Question(first, second, text, TO_BEAT) for first, second, text in _BASELINE_PAIRS),
    *(Question("B5", row, f"Is training {what} {_FEATURES}", RANDOM_TO_BEAT)
      for row, what in (("1", "the last block"), ("5", "all layers"))),
    *(Question(first, second, text, PRETRAINED_ELSEWHERE) for first, second, text in _PRETRAINING_PAIRS),
)  # fmt: skip

QUESTIONS: tuple[Question, ...] = (
    *(Question(first, second, text, MAIN) for first, second, text in _PAIRS if (first, second) in BEYOND_CLAIMS),
    # Random is what row 10 is: with random weights rows 1 and 10 are the pair 1 and 5, and rows 5 and 10 are the same.
    *(Question(first, second, text, RANDOM_TWINS) for first, second, text in _PAIRS if "10" not in (first, second)),
    *BASE_QUESTIONS,
    *METHOD_QUESTIONS,
    *PADDING_QUESTIONS,
    *BASELINE_QUESTIONS,
)
# The demo has one model, so it cannot say anything about size.
DEMO_QUESTIONS = tuple(
    question
    for question in (
        *(Question(first, second, text, DEMO) for first, second, text in _PAIRS),
        Question("1", "18", "Does ignore_index change nothing, as it must?", DEMO, identity=True),
        *(
            question
            for question in QUESTIONS
            if question.family in (RANDOM_TWINS, METHODS, PADDING) or "B5" in question.sides
        ),
    )
    if not any("model_size" in ROWS[int(row)] for row, _ in map(row_and_settings, question.sides) if row.isdecimal())
)
