"""A trained classifier as one file: the whole model under the book's names, the run's method merged into it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ablation.config.methods import DECLARATIONS
from ablation.files.storage import replacing
from ablation.methods.registry import METHODS
from ablation.model.classifier import assemble
from ablation.run.trained_classifier import ClassifierError, SavedRun
from previous_chapters import GPTModel, TransformerBlock


def write_checkpoint(saved: SavedRun, model: GPTModel, target: Path) -> int:
    """Write the model, joined from its parts, to a file: by the end of its name one of safetensors, otherwise
    PyTorch's own.

    Returns:
        How many tensors it holds.

    Raises:
        ClassifierError: the run's method does not merge.
        OSError: the file cannot be written.
    """
    from safetensors.torch import save_file

    state = book_checkpoint(saved, model)
    with replacing(target) as temporary:
        if target.suffix == ".safetensors":
            save_file(state, temporary)
        else:
            torch.save(state, temporary)
    return len(state)


def check_merges(saved: SavedRun) -> None:
    """Before any weights are loaded, refuse a run whose method stays beside them.

    Raises:
        ClassifierError: it does, and why.
    """
    method = saved.config.adaptation
    if reason := DECLARATIONS[method].cannot_merge:
        raise ClassifierError(f"{saved.folder}: {method} does not merge into plain weights ({reason})")


def merged_state(saved: SavedRun, model: GPTModel) -> dict[str, Tensor]:
    """The model's tensors under the names of a plain one, the method merged into it.

    Raises:
        ClassifierError: the run's method does not merge.
    """
    check_merges(saved)
    method = saved.config.adaptation
    METHODS[method].merge(model)
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    trunk = assemble(saved.config, saved.config.shape).sources.values()
    if left := sorted(state.keys() - {*trunk, "out_head.weight", "out_head.bias"}):
        raise ClassifierError(f"{saved.folder}: {method} does not merge into plain weights ({left[0]} is left)")
    return state


def book_checkpoint(saved: SavedRun, model: GPTModel) -> dict[str, Tensor]:
    """The whole model under the book's names, the method merged, with the causal-mask buffers that its code expects.

    Raises:
        ClassifierError: the run's method does not merge.
    """
    state = merged_state(saved, model)
    size = model.pos_emb.num_embeddings
    for index, block in enumerate(model.trf_blocks):
        if cast(TransformerBlock, block).att.causal:
            state[f"trf_blocks.{index}.att.mask"] = torch.ones(size, size).triu(diagonal=1)
    return state
