"""``--to peft``: an adapter folder for PEFT, and the base model that it belongs to beside it.

What a method is in PEFT's terms: ``peft_adapters.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from ablation.config.methods import DECLARATIONS
from ablation.methods.primitives import effective_weight_and_bias
from ablation.model.classifier import assemble
from ablation.model.layouts import HUGGINGFACE
from ablation.model.to_huggingface import FoldError, fold_bias, huggingface_tensors
from ablation.results.card_parts import CARD, Use, code
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
from ablation.run.peft_adapters import ADAPTERS, REFUSED, Adapter
from previous_chapters import GPTModel

ADAPTER_CONFIG, ADAPTER_TENSORS, BASE = "adapter_config.json", "adapter_model.safetensors", "base"
IN_PEFT = "base_model.model."  # before the name that a parameter has in the model itself
SAVED_MODULES = ("score", "ln_f")  # the classifier, and the norm that holds what was its bias

problem = folder_problem


def check(trained: Trained) -> None:
    """Raises ExportError if PEFT has no adapter for the run's method, or the run cannot be read so."""
    method, folder = trained.saved.config.adaptation, trained.saved.folder
    if method not in ADAPTERS:
        merges = not DECLARATIONS[method].cannot_merge
        way_out = "--to huggingface writes the whole model" if merges else "classify.py uses it as it is"
        raise ExportError(f"{folder}: {method} cannot be said in PEFT's terms ({REFUSED[method]}); {way_out}")
    reading_of(trained.saved)


def write(trained: Trained, target: Path) -> list[str]:
    """Write the folder; returns what has to be said of it, one line each.

    Raises:
        ExportError, ClassifierError: the run cannot be exported so.
    """
    check(trained)
    reading, model, shape = reading_of(trained.saved), trained.joined(), trained.config.shape
    adapter = _adapter(trained, model)
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
        reading.filled_up
    )


def _adapter(trained: Trained, model: GPTModel) -> Adapter:
    try:
        return ADAPTERS[trained.saved.config.adaptation](model, trained.saved.config)
    except ExportError as error:
        raise ExportError(f"{trained.saved.folder}: {error}") from None


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
        pad = -1 if reading.filled_up else trained.tokenizer.eot_token
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
    read = "its padding to that length is read" if reading.filled_up else "longer ones have to be cut"
    return Use(text, ("library_name: peft",), (f"Messages are given with `{reading.call}`: {read}.",))
