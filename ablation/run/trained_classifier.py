"""A trained classifier at use: what ``--save_model`` kept, joined to the base weights it was trained on.

A message is padded or cut to the length of the training, read at the same position and with the same mask, so that
its label never depends on what else is in the batch, or on how much a batch happens to be padded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.data.encode import EncodedMessages, encode_messages, send
from ablation.data.spam import LABELS
from ablation.execution.frozen_prefix import advance, lay_out
from ablation.execution.plan import arithmetic
from ablation.execution.single_query import block_at_position, normalise
from ablation.model.classifier import WeightSource, build_classifier, trunk_name
from ablation.model.readout import READOUTS, read
from ablation.results.log import RUN_JSON
from ablation.results.run_folder import TRAINED_DIGEST, TRAINED_PARAMETERS
from lora import merge_lora
from previous_chapters import GPTModel, TransformerBlock

if TYPE_CHECKING:
    import tiktoken

LABEL_NAMES = {number: name for name, number in LABELS.items()}


class ClassifierError(Exception):
    """A trained classifier cannot be used; the message names the part, what is wrong with it, and the way out."""


class MessageError(Exception):
    """One message cannot be classified; the message says why."""


# ---- what a run kept ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SavedRun:
    """What a run's folder says of its classifier.

    Attributes:
        config: the run's settings as far as they define it.
        parameters: what was trained, by name.
        weights_digest: of the weights that it was trained on.
        padded_length: tokens every message was padded or cut to; None without padding.
        weights_path: file of those weights, if the run was given one.
    """

    folder: Path
    config: ExperimentConfig
    parameters: dict[str, Tensor]
    weights_digest: str
    padded_length: int | None
    weights_path: str | None


def read_saved_run(folder: Path) -> SavedRun:
    """Read and check a run's folder; needs no base weights.

    Raises:
        ClassifierError: a part is missing, damaged or altered.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load

    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise ClassifierError(f"{folder} {what}; give the folder of a run, results/runs/<run id>")
    record, path = _read_record(folder / RUN_JSON), folder / TRAINED_PARAMETERS
    if not path.is_file():
        raise ClassifierError(f"{path} is missing: train the run anew with --save_model, which keeps it")
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != record.get(TRAINED_DIGEST):
            raise ClassifierError(f"{path} is not what the run wrote (its SHA-256 differs); restore it or train anew")
        parameters = load(content)
        with safe_open(path, framework="pt") as file:
            use = file.metadata()
        config = ExperimentConfig(**json.loads(use["config"]))
        padded_length = json.loads(use["effective_context_length"])
        return SavedRun(folder, config, parameters, use["weights_digest"], padded_length, record.get("weights_path"))
    except (OSError, SafetensorError, ConfigError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ClassifierError(f"{path} cannot be used ({type(error).__name__}: {reason}); train the run anew") from None


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClassifierError(f"{path}: {error.strerror}; give the folder of a run, results/runs/<run id>") from None
    except ValueError as error:
        raise ClassifierError(f"{path} is not readable as JSON ({error}); restore it or train anew") from None
    if not isinstance(record, dict):
        raise ClassifierError(f"{path} holds no run; restore it or train anew")
    return record


def join(saved: SavedRun, base: WeightSource | None) -> GPTModel:
    """The run's model: trained parameters from its folder, all others from the base weights.

    Args:
        base: None if the run trained everything.

    Raises:
        ClassifierError: the base weights are others than those of the training, or the parts do not fit.
    """
    if base is not None and (found := base.digest()) != saved.weights_digest:
        raise ClassifierError(
            f"{saved.folder} was trained on weights with digest {saved.weights_digest}, these have {found};"
            " give the same with --weights_path"
        )
    model = build_classifier(saved.config, saved.config.shape)
    expected = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    found_shapes = {name: tuple(tensor.shape) for name, tensor in saved.parameters.items()}
    if found_shapes != expected:
        odd = sorted(dict(expected.items() ^ found_shapes.items()))
        raise ClassifierError(f"{saved.folder / TRAINED_PARAMETERS} does not fit the run's model: {', '.join(odd[:4])}")
    for path, part in model.named_modules():
        for leaf, _ in list(part.named_parameters(recurse=False)):
            name = f"{path}.{leaf}"
            if name in saved.parameters:
                value = saved.parameters[name]
            elif base is not None:
                value = base.tensor(trunk_name(name))
            else:
                raise ClassifierError(f"{saved.folder} needs the base weights for {name}; give them")
            setattr(part, leaf, nn.Parameter(value, requires_grad=False))
    return model


def needs_base(saved: SavedRun) -> bool:
    """Whether anything of the model was not trained."""
    return saved.config.trainable_layers != "all"


def book_checkpoint(model: GPTModel) -> dict[str, Tensor]:
    """The whole model under the book's names, LoRA merged, with the causal-mask buffers that its code expects."""
    merge_lora(model)
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    size = model.pos_emb.num_embeddings
    for index, block in enumerate(model.trf_blocks):
        if cast(TransformerBlock, block).att.causal:
            state[f"trf_blocks.{index}.att.mask"] = torch.ones(size, size).triu(diagonal=1)
    return state


# ---- classifying ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What the classifier says of a message.

    Attributes:
        label: ``ham`` or ``spam``, whichever has the larger logit.
        probability: of that label, by the softmax of the logits.
        logits: of ham and of spam.
        tokens: how many tokens the message has.
        read: how many of them the model was given; fewer if the message was cut.
    """

    label: str
    probability: float
    logits: tuple[float, float]
    tokens: int
    read: int

    @property
    def cut(self) -> bool:
        return self.read < self.tokens


class TrainedClassifier:
    """Classifies messages as the run that trained it would have.

    Args:
        model: of :func:`join`; LoRA terms stay beside their layers, as they were when the run predicted: merged, they
            would round otherwise.
        tokenizer: of the base weights.
        device: where to compute.
    """

    def __init__(self, saved: SavedRun, model: GPTModel, tokenizer: tiktoken.Encoding, device: torch.device) -> None:
        self.config = saved.config
        self._padded_length = saved.padded_length
        self._tokenizer, self._device = tokenizer, device
        self._model = model.to(device).requires_grad_(False)

    def classify(self, texts: Sequence[str]) -> list[Answer]:
        """Answers in the order of the messages.

        Raises:
            MessageError: a message is empty (check with :func:`check_message` before).
        """
        if not texts:
            return []
        for text in texts:
            check_message(text)
        token_lists = self._tokenizer.encode_ordinary_batch(list(texts))
        messages = self._encode(token_lists)
        logits = self._logits(messages).double()
        probabilities = logits.softmax(-1)
        answers = []
        for index, tokens in enumerate(token_lists):
            label = int(logits[index].argmax())
            ham, spam = logits[index].tolist()
            read_tokens = int(messages.lengths[index])
            answers.append(
                Answer(LABEL_NAMES[label], float(probabilities[index, label]), (ham, spam), len(tokens), read_tokens)
            )
        return answers

    def _encode(self, token_lists: list[list[int]]) -> EncodedMessages:
        limit = self.config.shape.context_length
        longest = max(map(len, token_lists))
        width = min(longest, limit) if self._padded_length is None else self._padded_length
        padded = self._padded_length is not None
        return encode_messages(
            token_lists, [0] * len(token_lists), width, self._tokenizer.eot_token, padded=padded
        )

    @torch.inference_mode()
    def _logits(self, messages: EncodedMessages) -> Tensor:
        """(N, 2) on the CPU, computed in batches of similar length."""
        widths = messages.widths()
        taken_in = READOUTS[self.config.trainable_token_pos](messages.lengths, widths)
        causal = not self.config.disable_causal_mask
        visible = taken_in if causal else widths
        logits = torch.empty(len(messages), 2, device=self._device)
        *blocks, last = (cast(TransformerBlock, block) for block in self._model.trf_blocks)
        with arithmetic(self.config, self._device):
            for batch in lay_out(visible, torch.arange(len(messages)), first_row=0):
                tokens = (send(messages.tokens[run.messages, : run.length], self._device) for run in batch.runs)
                states = torch.cat([self._model.embed(ids).flatten(0, 1) for ids in tokens])
                for block in blocks:
                    advance(block, states, batch)
                for run in batch.runs:
                    readout = send(taken_in[run.messages], self._device)
                    answers = self._behind(last, run.view(states, batch.start), readout)
                    logits[send(run.messages, self._device)] = answers.float()
        return logits.cpu()

    def _behind(self, last: TransformerBlock, x: Tensor, taken_in: Tensor) -> Tensor:
        """(B, T, D) that enter the last block -> (B, 2) logits; of that block only what the readout needs."""
        model = self._model
        if self.config.average_embeddings:
            return model.out_head(read(model.final_norm(last(x)), taken_in, pooled=True))
        x = block_at_position(last, read(x, taken_in, pooled=False), normalise(x), attended=None)
        return model.out_head(model.final_norm(x))


def check_message(text: str) -> None:
    """Refuse what is no message.

    Raises:
        MessageError: it is empty, or is not text (bytes that are not UTF-8).
    """
    if not text.strip():
        raise MessageError("the message is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MessageError("the message is not UTF-8 text") from None
