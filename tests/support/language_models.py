"""Runs of language models as their folders are, without the training: random parameters, and what a record needs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from ablation.config.base_run import DEMO_VOCABULARY, GPT2_VOCABULARY, RUN_JSON, TRAINED_PARAMETERS
from ablation.config.shapes import ALL_SHAPES, NANO, ModelShape
from ablation.results.language_model_files import language_model_file
from ablation.results.run_folder import TRAINED_DIGEST
from previous_chapters import GPTModel

SMALL = {"emb_dim": 16, "n_layers": 2, "n_heads": 2}
IN_DEMO = dataclasses.replace(ALL_SHAPES[NANO], **SMALL)
IN_FULL = dataclasses.replace(ALL_SHAPES["gpt2-small (124M)"], **SMALL)


def language_model_run(folder: Path, shape: ModelShape = IN_DEMO, seed: int = 0, **record: Any) -> Path:
    """Write a run's folder.

    Args:
        record: what its ``run.json`` says besides task and digest.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tensors = GPTModel(shape).state_dict()
    vocabulary = DEMO_VOCABULARY if shape.vocab_size == ALL_SHAPES[NANO].vocab_size else GPT2_VOCABULARY
    content = language_model_file(tensors, shape, vocabulary, {"seed": seed})
    folder.mkdir(parents=True)
    (folder / TRAINED_PARAMETERS).write_bytes(content)
    known = {"task": "language_model", TRAINED_DIGEST: hashlib.sha256(content).hexdigest()}
    (folder / RUN_JSON).write_text(json.dumps({**known, **record}), encoding="utf-8")
    return folder
