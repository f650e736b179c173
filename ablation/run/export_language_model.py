"""``--to huggingface`` of a language model: a folder for ``AutoModelForCausalLM``, with the same logits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.config.base_run import DEMO_VOCABULARY, BaseRun, BaseRunError, read_base_run
from ablation.config.generation import LanguageModelConfig
from ablation.config.settings import LANGUAGE_MODEL
from ablation.data.huggingface_tokenizer import tokenizer_files
from ablation.model import to_huggingface
from ablation.model.layouts import HEAD
from ablation.model.weights import open_weights
from ablation.results.card_parts import CARD, Use
from ablation.results.language_model_card import card_of_use
from ablation.results.language_model_files import check_unaltered
from ablation.results.log import RUN_JSON, ResultsError
from ablation.results.runs import OddRunError, read_run, task_of
from ablation.results.task import Task
from ablation.run.export_folder import CONFIG, ExportError, new_folder, write_files
from ablation.run.inputs import open_tokenizer

if TYPE_CHECKING:
    import tiktoken

# The other forms of ``--to``, and why a language model has none.
REFUSED = {
    "book": "its trained.safetensors has the names of the book's code already",
    "peft": "what was added to it is merged into its weights",
}


@dataclass(frozen=True)
class KeptLanguageModel:
    """A run whose model was kept: its folder, its ``run.json``, and what the file of the model says of it."""

    folder: Path
    record: Mapping[str, Any]
    base: BaseRun

    def tokenizer(self, models_dir: str, offline: bool) -> tiktoken.Encoding:
        """Of the tokens that it knows.

        Raises:
            DownloadError: GPT-2's are not here, and cannot be had.
        """
        demo = self.base.vocabulary == DEMO_VOCABULARY
        return open_tokenizer(LanguageModelConfig(demo=demo, models_dir=models_dir, offline=offline))


def is_language_model(folder: Path) -> bool:
    """Whether a folder is that of a language model's run."""
    try:
        return task_of(read_run(folder / RUN_JSON)) == LANGUAGE_MODEL
    except (OddRunError, ResultsError):
        return False  # whoever opens it as another kind of run says what is wrong


def read_kept(folder: Path) -> KeptLanguageModel:
    """Raises ExportError if the run kept no model, or it is not what the run wrote."""
    try:
        base = read_base_run(folder)
        check_unaltered(base)
    except BaseRunError as error:
        raise ExportError(str(error)) from None
    return KeptLanguageModel(folder, read_run(folder / RUN_JSON), base)


def check(kept: KeptLanguageModel, form: str, weights_path: str | None) -> None:
    """Raises ExportError if a language model cannot be written in that form, or from those weights."""
    if reason := REFUSED.get(form):
        raise ExportError(f"{kept.folder} is a language model, not written --to {form}: {reason}; give huggingface")
    if weights_path is not None:
        raise ExportError(f"--weights_path {weights_path}: the run kept its whole model; leave it out")


def write(task: Task, kept: KeptLanguageModel, tokenizer: tiktoken.Encoding, target: Path) -> None:
    """Write the folder.

    Raises:
        WeightsError: the file of the model is damaged.
    """
    shape = kept.base.shape
    weights = open_weights(kept.base.path, shape)
    config = to_huggingface.language_model_config(shape, tokenizer.eot_token, tied=HEAD not in weights.names)
    files = {
        CONFIG: json.dumps(config, indent=2) + "\n",
        **tokenizer_files(tokenizer, shape.context_length, pads_are_read=False),
        CARD: card_of_use(task, kept.record, _use(target, int(kept.record["max_len"]))),
    }
    tensors = weights.tensors(weights.names)
    with new_folder(target) as folder:
        write_files(folder, files, to_huggingface.huggingface_tensors(tensors, shape, to_huggingface.LANGUAGE_MODEL))


def _use(target: Path, max_len: int) -> Use:
    """What the card says of using it."""
    return Use(
        f"""```python
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{target.name}")
model = AutoModelForCausalLM.from_pretrained("{target.name}")
start = [tokenizer.bos_token_id, *tokenizer("A man")["input_ids"]]
ids = model.generate(torch.tensor([start]), max_length={max_len + 1}, do_sample=True)[0]
tokenizer.decode(ids, skip_special_tokens=True)
```

Every sentence starts with the end token, which the tokenizer does not put there by itself.""",
        ("library_name: transformers", "pipeline_tag: text-generation"),
    )
