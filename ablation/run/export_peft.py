"""``--to peft``: an adapter folder for PEFT, and the base model that it belongs to beside it.

What a method is in PEFT's terms is a function in :data:`ADAPTERS`. GPT-2 in transformers holds query, key and value as
one layer, ``c_attn``: LoRA terms of rank r on k of the three are one term there, of rank R = k·r, its A all of theirs
one below the other, its B block-diagonal. PEFT multiplies a term by alpha / R, so its alpha is ours times R.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ablation.methods.primitives import effective_weight_and_bias
from ablation.model.classifier import assemble
from ablation.model.layouts import BLOCK, HUGGINGFACE
from ablation.model.to_huggingface import FoldError, fold_bias, huggingface_tensors
from ablation.results.model_card import CARD, Use, code
from ablation.run.export_folder import (
    TRUNK,
    ExportError,
    Reading,
    Trained,
    folder_problem,
    model_files,
    new_folder,
    reading_of,
    write_files,
)
from lora import LinearWithLoRA
from previous_chapters import GPTModel

ADAPTER_CONFIG, ADAPTER_TENSORS, BASE = "adapter_config.json", "adapter_model.safetensors", "base"
IN_PEFT = "base_model.model."  # before the name that a parameter has in the model itself
SAVED_MODULES = ("score", "ln_f")  # the classifier, and the norm that holds what was its bias

problem = folder_problem


@dataclass(frozen=True)
class Adapter:
    """What PEFT is told of a method: settings of ``adapter_config.json``, and tensors by the model's own names."""

    settings: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


# ---- methods ---------------------------------------------------------------------------------------------------------


def lora(model: GPTModel) -> Adapter:
    """LoRA terms of the blocks; the classifier's own is merged into it."""
    tensors, ranks, alphas = dict[str, Tensor](), dict[str, int](), dict[str, float]()
    for index, block in enumerate(model.trf_blocks):
        for row in BLOCK:
            name = row.huggingface.removesuffix(".weight")
            layers = [block.get_submodule(ours.removesuffix(".weight")) for ours in row.ours if ours.endswith("weight")]
            if any(isinstance(layer, LinearWithLoRA) for layer in layers):
                a, b, alphas[name] = _one_term(layers)
                ranks[name] = len(a)
                for letter, tensor in (("A", a), ("B", b)):
                    tensors[f"transformer.h.{index}.{name}.lora_{letter}.weight"] = tensor
    least = min(ranks.values())
    settings = {
        "peft_type": "LORA", "r": least, "lora_alpha": min(alphas.values()), "lora_dropout": 0.0, "bias": "none",
        "fan_in_fan_out": True, "use_rslora": False, "use_dora": False, "init_lora_weights": True,
        "target_modules": list(ranks), "rank_pattern": ranks, "alpha_pattern": alphas,
    }  # fmt: skip
    return Adapter(settings, tensors)


def _one_term(layers: list[nn.Module]) -> tuple[Tensor, Tensor, float]:
    """A (R, in), B (out, R) and PEFT's alpha of the terms of layers that PEFT sees as one; some may have none.

    Raises:
        ExportError: they are not multiplied alike.
    """
    terms = [layer.lora for layer in layers if isinstance(layer, LinearWithLoRA)]
    if len({term.scale for term in terms}) > 1:
        raise ExportError("query, key and value have LoRA terms of different scale: PEFT has one for all; --to book")
    rank, sizes = sum(term.A.shape[1] for term in terms), [_width(layer) for layer in layers]
    b = torch.zeros(sum(sizes), rank)
    row = column = 0
    for layer, size in zip(layers, sizes, strict=True):
        if isinstance(layer, LinearWithLoRA):
            width = layer.lora.B.shape[0]
            b[row : row + size, column : column + width] = layer.lora.B.detach().T
            column += width
        row += size
    return torch.cat([term.A.detach().T for term in terms]), b, terms[0].scale * rank


def _width(layer: nn.Module) -> int:
    plain = layer.linear if isinstance(layer, LinearWithLoRA) else layer
    return plain.out_features  # type: ignore[return-value]


# by --trainable_layers; what is not here is refused
ADAPTERS: Mapping[str, Callable[[GPTModel], Adapter]] = {"lora": lora, "lora_alternative": lora}


# ---- the folder ------------------------------------------------------------------------------------------------------


def check(trained: Trained) -> None:
    """Raises ExportError if PEFT has no adapter for the run's method, or the run cannot be read so."""
    method, folder = trained.saved.config.adaptation, trained.saved.folder
    if method not in ADAPTERS:
        raise ExportError(
            f"{folder}: {method} is no adapter that PEFT knows ({', '.join(ADAPTERS)} are); the whole model can be had"
            " with --to huggingface"
        )
    reading_of(trained.saved)


def write(trained: Trained, target: Path) -> list[str]:
    """Write the folder; returns what has to be said of it, one line each.

    Raises:
        ExportError, ClassifierError: the run cannot be exported so.
    """
    check(trained)
    reading, model, shape = reading_of(trained.saved), trained.joined(), trained.config.shape
    adapter = ADAPTERS[trained.saved.config.adaptation](model)
    settings = {
        **adapter.settings,
        "task_type": "SEQ_CLS",
        "inference_mode": True,
        "modules_to_save": list(SAVED_MODULES),
        "base_model_name_or_path": trained.base or str(target / BASE),
    }
    tensors = {IN_PEFT + name: tensor for name, tensor in {**adapter.tensors, **_saved_modules(trained, model)}.items()}
    base_files = model_files(trained, reading, TRUNK)
    files = {name: text for name, text in base_files.items() if name != "config.json"}
    files |= {ADAPTER_CONFIG: json.dumps(settings, indent=2) + "\n", CARD: trained.card(use(trained, target, reading))}
    with new_folder(target) as folder:
        write_files(folder, files, tensors, ADAPTER_TENSORS)
        if trained.base is None:
            write_files(folder / BASE, base_files, huggingface_tensors(_base_state(trained, model), shape, HUGGINGFACE))
    return [f"a bare tokenizer(text) does not give the run's answers: call it with {reading.call}"] * (
        reading.pads_are_read
    )


def _saved_modules(trained: Trained, model: GPTModel) -> dict[str, Tensor]:
    """The classifier without its bias, and the norm before it, which has taken it in."""
    weight, bias = effective_weight_and_bias(model.out_head)
    try:
        shift = fold_bias(weight, bias, model.final_norm.shift)
    except FoldError as error:
        raise ExportError(f"{trained.saved.folder}: its head has a bias, transformers' has none, and {error}") from None
    norm = {"transformer.ln_f.weight": model.final_norm.scale.detach(), "transformer.ln_f.bias": shift.detach()}
    return {"score.weight": weight.detach(), **norm}


def _base_state(trained: Trained, model: GPTModel) -> dict[str, Tensor]:
    """The base weights by the names of a plain model."""
    parameters = dict(model.named_parameters())
    sources = assemble(trained.config, trained.config.shape).sources
    return {plain: parameters[name] for name, plain in sources.items() if plain != "out_head.weight"}


def use(trained: Trained, target: Path, reading: Reading) -> Use:
    """What the card says of using it."""
    name, base, arguments = target.name, trained.base or f"{target.name}/{BASE}", ""
    if trained.base is not None:  # its configuration knows nothing of the run
        pad = -1 if reading.pads_are_read else trained.tokenizer.eot_token
        arguments = f", id2label={dict(enumerate(trained.saved.labels))!r}, pad_token_id={pad}"
    text = f"""```python
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{name}")
base = AutoModelForSequenceClassification.from_pretrained("{base}"{arguments})
model = PeftModel.from_pretrained(base, "{name}")
model(**tokenizer(["you have won a prize"], return_tensors="pt", {reading.call})).logits
```

The base has no head of its own (transformers says that it draws one): the adapter brings the classifier, and the final
norm with it, which holds the classifier's bias. Base weights: {code(base)}."""
    read = "its padding to that length is read" if reading.pads_are_read else "longer ones have to be cut"
    return Use(text, ("library_name: peft",), (f"Messages are given with `{reading.call}`: {read}.",))
