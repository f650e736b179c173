"""A trained classifier at use: what ``--save_model`` kept, joined to the base weights it was trained on.

A message is padded or cut to the length of the training, on the same side, read at the same position and with the same
mask, so that its label never depends on what else is in the batch, or on how much a batch happens to be padded.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.generation import LanguageModelConfig
from ablation.config.shapes import NANO
from ablation.data.demo import VOCABULARY, vocabulary_digest
from ablation.data.encode import EncodedMessages, encode_messages
from ablation.data.labels import LABELS
from ablation.data.message import MessageTokens, message_tokens
from ablation.environment import python_command
from ablation.execution.inference import Answering
from ablation.model.classifier import WeightSource, assemble
from ablation.results.log import RUN_JSON
from ablation.results.run_folder import TRAINED_DIGEST, TRAINED_PARAMETERS, VOCABULARY_DIGEST
from previous_chapters import GPTModel

if TYPE_CHECKING:
    import tiktoken


WHICH_FOLDER = "give the folder of a run, results/runs/<run id>, or latest; without --model those kept are listed"


class ClassifierError(Exception):
    """A trained classifier cannot be used; the message names the part, what is wrong with it, and the way out."""


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
        record: the rest of what ``run.json`` says.
    """

    folder: Path
    config: ExperimentConfig
    parameters: dict[str, Tensor]
    weights_digest: str
    padded_length: int | None
    weights_path: str | None
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, in the order of the logits."""
        return tuple(self.record.get("labels", LABELS))


def read_saved_run(folder: Path) -> SavedRun:
    """Read and check a run's folder; needs no base weights.

    Raises:
        ClassifierError: a part is missing, damaged or altered.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load

    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise ClassifierError(f"{folder} {what}; {WHICH_FOLDER}")
    record, path = _read_record(folder / RUN_JSON), folder / TRAINED_PARAMETERS
    if record.get("task") == LanguageModelConfig.TASK:
        command = f"{python_command()} generation_experiments.py --run {shlex.quote(str(folder))} --generate A"
        raise ClassifierError(f"{folder} is a language model's run, no classifier's; {command} lets it speak")
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
        if config.model_in_use == NANO and use.get(VOCABULARY_DIGEST) != vocabulary_digest():
            raise ClassifierError(f"{path} was trained with another {VOCABULARY.name} than today's; train the run anew")
        padded_length = json.loads(use["effective_context_length"])
        weights_path = record.get("weights_path")
        return SavedRun(folder, config, parameters, use["weights_digest"], padded_length, weights_path, record)
    except (OSError, SafetensorError, ConfigError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ClassifierError(f"{path} cannot be used ({type(error).__name__}: {reason}); train the run anew") from None


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClassifierError(f"{path}: {error.strerror}; {WHICH_FOLDER}") from None
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
    assembly = assemble(saved.config, saved.config.shape)
    model = assembly.model
    parameters = dict(model.named_parameters())
    expected = {n: tuple(p.shape) for n, p in parameters.items() if p.requires_grad or n not in assembly.sources}
    found_shapes = {name: tuple(tensor.shape) for name, tensor in saved.parameters.items()}
    if found_shapes != expected:
        odd = sorted(dict(expected.items() ^ found_shapes.items()))
        raise ClassifierError(f"{saved.folder / TRAINED_PARAMETERS} does not fit the run's model: {', '.join(odd[:4])}")
    for name in parameters:
        if name in saved.parameters:
            value = saved.parameters[name]
        elif base is not None:
            value = base.tensor(assembly.sources[name])
        else:
            raise ClassifierError(f"{saved.folder} needs the base weights for {name}; give them")
        part, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(part), leaf, nn.Parameter(value, requires_grad=False))
    return model


def needs_base(saved: SavedRun) -> bool:
    """Whether anything of the model was not trained."""
    return not assemble(saved.config, saved.config.shape).sources.keys() <= saved.parameters.keys()


# ---- classifying ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What the classifier says of a message.

    Attributes:
        label: the name of the one with the largest logit, or the one that a threshold decides for.
        probability: of that label, by the softmax of the logits.
        probabilities: of each label.
        logits: of each label.
        tokens: how many tokens the message has.
        read: how many of them the model was given; fewer if the message was cut.
    """

    label: str
    probability: float
    probabilities: tuple[float, ...]
    logits: tuple[float, ...]
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
        label_names: in the order of the logits.
        threshold: of two labels, the probability from which on the second one is the answer; None for the likelier.
    """

    def __init__(
        self,
        saved: SavedRun,
        model: GPTModel,
        tokenizer: tiktoken.Encoding,
        device: torch.device,
        label_names: Sequence[str],
        threshold: float | None = None,
    ) -> None:
        self.config = saved.config
        self.label_names, self._threshold = tuple(label_names), threshold
        self._padded_length = saved.padded_length
        self.tokenizer, self.device = tokenizer, device
        self.model = model.to(device).requires_grad_(False)

    def classify(self, texts: Sequence[str]) -> list[Answer]:
        """Answers in the order of the messages.

        Raises:
            MessageError: a message cannot be classified (:meth:`tokens_of` one message at a time says which).
        """
        return self.answer([self.tokens_of(text) for text in texts])

    def tokens_of(self, text: str) -> MessageTokens:
        """What :meth:`answer` needs of a message.

        Raises:
            MessageError: it cannot be classified.
        """
        config = self.config
        return message_tokens(self.tokenizer, text, config.shape.context_length, config.truncation_side)

    def answer(self, tokens: Sequence[MessageTokens]) -> list[Answer]:
        """Answers in the order of the messages."""
        if not tokens:
            return []
        messages = self.encode([message.kept for message in tokens])
        logits = self._logits(messages).double()
        probabilities = logits.softmax(-1)
        answers = []
        for index, message in enumerate(tokens):
            label = self._decide(logits[index], probabilities[index])
            answers.append(
                Answer(
                    label=self.label_names[label],
                    probability=float(probabilities[index, label]),
                    probabilities=tuple(probabilities[index].tolist()),
                    logits=tuple(logits[index].tolist()),
                    tokens=message.count,
                    read=int(messages.lengths[index]),
                )
            )
        return answers

    def _decide(self, logits: Tensor, probabilities: Tensor) -> int:
        """Which label, by its number, the logits and probabilities (C,) of a message mean."""
        if self._threshold is None:
            return int(logits.argmax())
        return int(probabilities[1] >= self._threshold)

    def encode(self, token_lists: list[list[int]]) -> EncodedMessages:
        """Messages as the model reads them, padded or cut."""
        limit = self.config.shape.context_length - self.model.n_extra
        longest = max(map(len, token_lists))
        width = min(longest, limit) if self._padded_length is None else self._padded_length
        padded = self._padded_length is not None
        labels, pad = [0] * len(token_lists), self.tokenizer.eot_token
        return encode_messages(token_lists, labels, width, pad, padded=padded, padding=self.config)

    def _logits(self, messages: EncodedMessages) -> Tensor:
        """(N, C) on the CPU."""
        return Answering(self.config, self.model, messages, self.device).logits(len(self.label_names))
