"""The rows of the language model's table, by number, and what they are called where they were published."""

from __future__ import annotations

from typing import Any

from ablation.config import finished_run
from ablation.config.flags import CommandLine
from ablation.config.generation import ALL_BLOCKS, BLEU, NEVER, OWN_FILES, LanguageModelConfig
from ablation.config.settings import PRETRAINED

GENERATION_ROWS: dict[int, dict[str, Any]] = {
    1: {},
    2: {"weights": PRETRAINED},
    3: {"select_by": BLEU},
    4: {"weights": PRETRAINED, "select_by": BLEU},
    5: {"weights": PRETRAINED, "shuffle": NEVER},
    6: {"weights": PRETRAINED, "blocks": ALL_BLOCKS},
    7: {"weights": PRETRAINED, "blocks": "5+6+7"},
    8: {"weights": PRETRAINED, "blocks": "10+11+12"},
    9: {"weights": PRETRAINED, "blocks": "1+6+12"},
    10: {"n_heads": 1},
    11: {"n_heads": 3},
    12: {"n_heads": 6},
    13: {"n_heads": 24},
    14: {"n_heads": 48},
    15: {"n_heads": 96},
    16: {"n_heads": 192},
}
NAMES: dict[int, str] = {
    1: "scratch-ppl", 2: "finetune-ppl", 3: "scratch-bleu", 4: "finetune-bleu", 5: "finetune-no-shuffle",
    6: "finetune-12", 7: "finetune-5-6-7", 8: "finetune-10-11-12", 9: "finetune-1-6-12",
    10: "heads-1", 11: "heads-3", 12: "heads-6", 13: "heads-24", 14: "heads-48", 15: "heads-96", 16: "heads-192",
}  # fmt: skip
GENERATION_ROW_SETS: dict[str, tuple[int, ...]] = {
    "all": tuple(range(1, 17)), "scratch": (1, 3, *range(10, 17)), "heads": (10, 11, 12, 1, 13, 14, 15, 16),
    "demo": (1, 2, 3, 4, 5, 6, 10),
}  # fmt: skip

GENERATION = CommandLine(
    "generation_experiments.py",
    "Train GPT-2 as a language model on sentences, from scratch or from chosen pretrained blocks; generate in several"
    " ways, and append a row for each to a CSV.",
    LanguageModelConfig,
    GENERATION_ROWS,
    GENERATION_ROW_SETS,
    files=OWN_FILES,
    further_flags=finished_run.add_flags,
    further=tuple(finished_run.FLAGS),
)
