"""What an experiment with a language model is: where it starts, what it is trained on, how it is chosen and speaks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ablation.config.decoding import MEANT, TOP_K, TOP_P, WAYS, Decoding, decodings
from ablation.config.decoding import RANDOM as ANY_TOKEN
from ablation.config.generation_effects import GENERATION_REASONS
from ablation.config.methods import HEAD
from ablation.config.options import option, run_option
from ablation.config.settings import (
    CAPTIONS,
    DEMO_RESULTS_DIR,
    MESSAGES,
    PRETRAINED,
    RANDOM,
    RESULTS_DIR,
    WEIGHTS,
    CommonSettings,
)
from ablation.config.shapes import ALL_SHAPES, MOST_BLOCKS, ModelShape
from ablation.config.values import integer, number, one_of

SCRATCH_BLOCKS, FIRST_BLOCKS = 3, "1+2+3"  # unless said
SAMPLES, DEMO_SAMPLES = 5000, 300
PER_EPOCH, NEVER = "per_epoch", "never"
PERPLEXITY, BLEU = "perplexity", "bleu"
USUAL_PATIENCE = {PERPLEXITY: 1, BLEU: 2}
SMS = "sms"
OWN_FILES = ("train_file", "validation_file", "test_file")
ALL_BLOCKS = "all"
TRAINS = ("all", "last_block", "last_two_blocks", "last_layer")  # of --trainable_layers
ADAPTS = ("lora", "bitfit", "norms")  # of --method
OF_A_NEW_HEAD = ("decayed", "lora_head")


def _blocks(text: str) -> str:
    """A reader of some blocks, counted from 1, in any order: ``1,6,12``, or all."""
    if text.lower() == ALL_BLOCKS:
        return ALL_BLOCKS
    numbers = [integer(1)(part.strip()) for part in text.replace("+", ",").split(",")]
    if len(set(numbers)) < len(numbers):
        raise ValueError("give each block once, counted from 1: 1,6,12")
    return "+".join(map(str, numbers))


def _several(read: Any) -> Any:
    """A reader of values with commas between; gives them as typed, without blanks and twice the same."""

    def parse(text: str) -> str:
        return ",".join(dict.fromkeys(f"{read(part.strip())}" for part in text.split(",")))

    return parse


def _temperature(text: str) -> float:
    try:
        return number(positive=True)(text)
    except ValueError as error:
        raise ValueError(f"{error}; without any chance it is --decoding greedy") from None


def _share(text: str) -> float:
    value = number(positive=True)(text)
    if value > 1:
        raise ValueError("is a probability; give a number above 0, 1 at most")
    return value


def _dropout(text: str) -> float:
    value = number(positive=False)(text)
    if value >= 1:
        raise ValueError("is a probability; give a number from 0 on, below 1")
    return value


@dataclass(frozen=True, kw_only=True)
class SentenceSettings:
    """Which sentences a language model is trained on and judged by."""

    data: str = option(CAPTIONS, "image captions, or the texts of the SMS messages", choices=(CAPTIONS, SMS))
    train_file: str | None = run_option(None, "sentences of your own to train on, one a line")
    validation_file: str | None = run_option(None, "those to choose by")
    test_file: str | None = run_option(None, "those to test on")
    n_train: int | None = option(None, "train on the first so many sentences; all if not given", integer(1))
    n_validation: int | None = option(None, "choose by the first so many", integer(1))
    n_test: int | None = option(None, "test on the first so many", integer(1))
    max_len: int = option(35, "tokens of a sentence at most; longer ones are cut", integer(1))


@dataclass(frozen=True, kw_only=True)
class DecodingSettings:
    """How a trained language model speaks. It changes nothing of the training, and so not what a run is."""

    n_samples: int = run_option(
        None,
        f"sentences to generate for each way of decoding, {SAMPLES} (with --demo {DEMO_SAMPLES}) if not given; 0"
        " generates none",
        integer(0),
    )
    decoding: str = run_option(
        f"{ANY_TOKEN},{TOP_P},{TOP_K}",
        f"ways to choose the next token, with commas between: {', '.join(WAYS)}",
        _several(one_of(WAYS, MEANT)),
    )
    temperature: str = run_option(
        "0.7,1", "what logits are divided by first, one or several; greedy has none", _several(_temperature)
    )
    top_k: int = run_option(40, "likeliest tokens that top_k draws from", integer(1))
    top_p: float = run_option(0.9, "probability that the likeliest tokens of top_p have together", _share)

    @property
    def decodings(self) -> tuple[Decoding, ...]:
        """Every way at every temperature."""
        names, heats = self.decoding.split(","), [float(heat) for heat in self.temperature.split(",")]
        return decodings(names, heats, self.top_k, self.top_p)


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig(SentenceSettings, DecodingSettings, CommonSettings):
    """One experiment with a language model. The defaults are row 1: three blocks from scratch on captions."""

    TASK: ClassVar = "language_model"
    LEADING_FIELDS: ClassVar = (
        "model_size", "weights", "blocks", "n_layers", "n_heads", "emb_dim", "tie_head", "trainable_layers", "dropout",
        "num_epochs", "batch_size", "learning_rate", "patience", "shuffle", "select_by", "validation_bleu", "max_steps",
        "seed", "order_seed", "max_len", "data", "n_train", "n_validation", "n_test", "precision", "demo",
    )  # fmt: skip

    NO_EFFECT: ClassVar = GENERATION_REASONS
    OF_OTHERS: ClassVar = (
        "precision", "bottleneck", "adapter_after", "adapter_scale", "prefix_length", "prompt_length", *OF_A_NEW_HEAD,
    )  # fmt: skip

    n_layers: int | None = option(
        None, f"blocks of a model from scratch; {SCRATCH_BLOCKS} if not given", integer(1, MOST_BLOCKS)
    )
    execution: str = run_option(
        "planned",
        "planned: compute the positions that predict something; naive: all of them, padded, as published",
        choices=("planned", "naive"),
    )
    data_dir: str = run_option("data", "folder of the data: captions in its folder captions/, fetched if missing")
    results_dir: str = run_option(
        RESULTS_DIR, f"folder of generation.csv and of the runs' own folders; with --demo {DEMO_RESULTS_DIR}"
    )
    weights: str = option(RANDOM, "start from scratch, or from OpenAI's weights", choices=WEIGHTS)
    blocks: str | None = option(
        None, "pretrained blocks to take, counted from 1: 1,6,12, or all; 1,2,3 if not given", _blocks, commas=True
    )
    tie_head: bool = option(False, "let the vocabulary head be the token embedding")
    trainable_layers: str = option("all", "which parameters train", choices=TRAINS)
    method: str | None = option(
        None, "a method of parameter-efficient fine-tuning, in place of --trainable_layers", choices=ADAPTS
    )
    dropout: float = option(0.1, "share of embeddings, attention weights and sublayers' outputs dropped", _dropout)
    num_epochs: int = option(20, "passes over the training sentences at most", integer(1))
    batch_size: int = option(32, "sentences per batch", integer(1))
    learning_rate: float = option(
        None, "Adam's learning rate; with --method what its literature uses", number(positive=True), usual=1e-4
    )
    patience: int | None = option(
        None, "epochs in a row that are no better before it stops; 1, or 2 with --select_by bleu", integer(1)
    )
    shuffle: str = option(
        PER_EPOCH, "a new order of the sentences every epoch, or that of the file", choices=(PER_EPOCH, NEVER)
    )
    select_by: str = option(
        PERPLEXITY, "what chooses the epoch, on the validation sentences", choices=(PERPLEXITY, BLEU)
    )
    validation_bleu: bool = option(False, "measure validation BLEU after each epoch, too, without choosing by it")

    def __post_init__(self) -> None:
        if self.n_samples is None:
            object.__setattr__(self, "n_samples", DEMO_SAMPLES if self.demo else SAMPLES)
        for name, usual in self._usual().items():
            if getattr(self, name) == usual:
                object.__setattr__(self, name, None)
        super().__post_init__()

    def _usual(self) -> dict[str, Any]:
        """What some settings are where they are not given: a command that gives it all the same means the same run."""
        usual: dict[str, Any] = {"patience": USUAL_PATIENCE[self.select_by]}
        if self.weights == PRETRAINED:
            return {**usual, "blocks": FIRST_BLOCKS}
        base = self.base_shape
        return {**usual, "n_layers": SCRATCH_BLOCKS, "n_heads": base.n_heads, "emb_dim": base.emb_dim}

    @property
    def own_data(self) -> bool:
        return self.train_file is not None

    def own_data_settings(self) -> dict[str, Any]:
        files = {name: getattr(self, name) for name in OWN_FILES}
        return {name: file for name, file in files.items() if file is not None}

    @property
    def needed_data(self) -> str | None:
        if self.demo or self.own_data:
            return None
        return MESSAGES if self.data == SMS else CAPTIONS

    @property
    def base_shape(self) -> ModelShape:
        """Of the model that weights are taken from."""
        return ALL_SHAPES[self.model_in_use]

    @property
    def taken_blocks(self) -> tuple[int, ...]:
        """The pretrained blocks that are taken, counted from 0, in the order in which they are put together."""
        if self.blocks == ALL_BLOCKS:
            return tuple(range(self.base_shape.n_layers))
        return tuple(int(number) - 1 for number in (self.blocks or FIRST_BLOCKS).split("+"))

    @property
    def shape(self) -> ModelShape:
        """Of the language model."""
        if self.weights == PRETRAINED:
            return replace(self.base_shape, n_layers=len(self.taken_blocks))
        return replace(self.base_shape, **{"n_layers": SCRATCH_BLOCKS, **self.shape_overrides})

    @property
    def epochs_of_patience(self) -> int:
        return self.patience or USUAL_PATIENCE[self.select_by]

    @property
    def measures_bleu(self) -> bool:
        """Whether sentences are generated after each epoch."""
        return self.validation_bleu or self.select_by == BLEU

    @property
    def method_defaults(self) -> dict[str, Any]:
        """Nothing is decayed, and no head is new."""
        return {name: value for name, value in super().method_defaults.items() if name not in OF_A_NEW_HEAD}

    def problems(self) -> list[str]:
        problems = super().problems()
        if self.method is not None and self.method not in ADAPTS:
            problems.append(f"--method {self.method}: a language model takes {', '.join(ADAPTS)}; give one of them")
        problems += [
            f"--{name} {value}: a language model has no new head, and decays nothing; leave it out"
            for name in OF_A_NEW_HEAD
            if (value := getattr(self, name)) is not None
        ]
        if HEAD in (self.lora_targets or "").split("+"):
            problems.append(
                f"--lora_targets {self.lora_targets}: a language model's head is its vocabulary; leave {HEAD} out"
            )
        if self.tie_head and self.trainable_layers == "last_layer" and self.method is None:
            problems.append("--tie_head with --trainable_layers last_layer: there is no layer of its own to train")
        if self.precision != "fp32":
            problems.append(f"--precision {self.precision}: a language model is trained in fp32; leave it out")
        if self.execution == "recorded":
            problems.append("--execution recorded: is for classifiers; give planned or naive")
        return [*problems, *self._block_problems(), *self._file_problems()]

    def _block_problems(self) -> list[str]:
        last = self.base_shape.n_layers
        if self.weights == RANDOM:
            given = (self.blocks or "").replace("+", ",")
            beside = f"--blocks {given}: names pretrained blocks; add --weights pretrained, or give --n_layers"
            return [beside] if given else []
        missing = [block + 1 for block in self.taken_blocks if block >= last]
        if not missing:
            return []
        given = self.blocks or FIRST_BLOCKS
        return [f"--blocks {given.replace('+', ',')}: {self.model_in_use} has blocks 1 to {last}; give some of them"]

    def _file_problems(self) -> list[str]:
        room, problems = self.shape.context_length - 1, list[str]()
        if self.max_len > room:
            problems.append(
                f"--max_len {self.max_len}: the model has {room + 1} positions, one is the start; give 1 to {room}"
            )
        given = self.own_data_settings()
        if given and len(given) < len(OWN_FILES):
            lacking = " and ".join(f"--{name}" for name in OWN_FILES if name not in given)
            name, file = next(iter(given.items()))
            problems.append(f"--{name} {file}: give {lacking}, too")
        return problems
