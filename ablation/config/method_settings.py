"""Which parameters train, and what is added to them: the settings of all methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from ablation.config.hints import METHOD_WORDS
from ablation.config.methods import (
    DECLARATIONS,
    HEAD,
    LINEAR_MAPS,
    METHOD_OPTIONS,
    Declaration,
    methods,
    own_settings,
    trainable_layers,
)
from ablation.config.options import option
from ablation.config.values import integer, number, some_of

TRAINABLE_LAYERS, METHODS = trainable_layers(), methods()
LORA_SCALINGS = ("alpha", "alpha_over_rank", "alpha_over_sqrt_rank")
LORA_INITS = ("uniform_rank", "uniform_inputs", "normal_rank")
ADAPTER_PLACES = ("both", "feed_forward")
DECAYED = ("everything", "classifier")


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """How the model is adapted. Settings of methods are None with those that they do not belong to."""

    trainable_layers: str = option(
        "last_block", "which parameters train (lora_alternative merges its weights first)", choices=TRAINABLE_LAYERS
    )
    lora_rank: int = option(8, "rank of the LoRA matrices", integer(1))
    lora_alpha: int = option(8, "factor alpha of the LoRA term, see --lora_scaling; alpha·xAB as published", integer(1))
    method: str | None = option(
        None,
        "a method of parameter-efficient fine-tuning, in place of --trainable_layers",
        choices=METHODS,
        meanings=METHOD_WORDS,
    )
    from_block: int | None = option(
        None, "the method's first block, counted from 1; those below stay frozen and are computed once", integer(1)
    )
    train_final_norm: bool = option(False, "train the final norm beside what the method trains")
    decayed: str | None = option(
        None, "what weight decay acts on; with a method the new classifier alone", choices=DECAYED
    )
    lora_targets: str | None = option(
        None,
        f"linear maps that get a LoRA term: {', '.join(LINEAR_MAPS)}, {HEAD} (the classifier), with + or a comma"
        " between; in a sweep a comma means several runs",
        some_of((*LINEAR_MAPS, HEAD)),
    )
    lora_scaling: str | None = option(
        None, "factor of the LoRA term: alpha, alpha/rank, or alpha/√rank (rank-stabilised)", choices=LORA_SCALINGS
    )
    lora_init: str | None = option(
        None,
        "how A is drawn: uniform within 1/√rank (as published) or 1/√inputs (as in LoRA's paper), or normal with"
        " standard deviation 1/√rank",
        choices=LORA_INITS,
    )
    lora_head: str | None = option(
        None, "whether the new classifier's own weights train", choices=("trained", "frozen")
    )
    bottleneck: int | None = option(None, "width of an adapter between its two projections", integer(1))
    adapter_after: str | None = option(
        None,
        "where serial adapters stand: after both sublayers of a block, or its feed-forward",
        choices=ADAPTER_PLACES,
    )
    adapter_scale: float | None = option(None, "factor of a parallel adapter's output", number(positive=True))
    prefix_length: int | None = option(None, "keys and values that are put before a block's own", integer(1))
    prompt_length: int | None = option(None, "positions that are put before the message", integer(1))

    @property
    def adaptation(self) -> str:
        """The name of what adapts the model: the method, or else which layers train."""
        return self.method or self.trainable_layers

    @property
    def adaptation_flag(self) -> str:
        """What adapts the model, as a person types it."""
        return f"--trainable_layers {self.trainable_layers}" if self.method is None else f"--method {self.method}"

    @property
    def declaration(self) -> Declaration:
        return DECLARATIONS[self.adaptation]

    @property
    def first_adapted_block(self) -> int:
        """Counted from 0, the first block that a method may touch."""
        return (self.from_block or 1) - 1

    @property
    def method_defaults(self) -> dict[str, Any]:
        """Settings that the method has a default of its own for."""
        return {} if self.method is None else dict(self.declaration.defaults or {})

    def method_problems(self, n_blocks: int) -> list[str]:
        """What is wrong with these settings together, one line per problem."""
        problems = self._of_other_methods()
        if self.train_final_norm and self.method is None:
            problems.append(
                f"--train_final_norm: {self._without_method}; add one ({', '.join(METHODS)}), or leave it out"
            )
        if self.from_block is not None and self.from_block > n_blocks:
            problems.append(f"--from_block {self.from_block}: the model has blocks 1 to {n_blocks}; give one of them")
        if self.lora_head == "frozen" and HEAD not in (self.lora_targets or "").split("+"):
            problems.append("--lora_head frozen: nothing of the new classifier would train; add head to --lora_targets")
        return problems

    def _of_other_methods(self) -> list[str]:
        """Settings that belong to methods, but not to this one."""
        problems = []
        given = {name: value for name in own_settings() if (value := getattr(self, name)) is not None}
        if self.method is not None:  # without, they are older than methods, and said to have no effect
            usual = {name: getattr(MethodSettings, name) for name in METHOD_OPTIONS}
            given |= {name: value for name in METHOD_OPTIONS if (value := getattr(self, name)) != usual[name]}
        for name, value in given.items():
            if self.method is not None and self.declaration.takes(name):
                continue
            offered = self._offered_methods
            having = [method for method in offered if DECLARATIONS[method].takes(name)]
            lacking = self._without_method if self.method is None else f"--method {self.method} does not take it"
            giving = f"give {_one_of(having, offered)}, or leave --{name} out" if having else "leave it out"
            problems.append(f"--{name} {value}: {lacking}; {giving}")
        return problems

    @property
    def _offered_methods(self) -> Sequence[str]:
        """What ``--method`` takes here."""
        (field,) = (field for field in fields(self) if field.name == "method")
        return field.metadata["choices"]

    @property
    def _without_method(self) -> str:
        return f"belongs to a --method, and this is --trainable_layers {self.trainable_layers}"


def _one_of(names: Sequence[str], offered: Sequence[str]) -> str:
    """Methods that a person may choose among; of nearly all of them those that are not."""
    others = [method for method in offered if method not in names]
    if len(names) > 1 and len(others) < len(names) and others:
        return f"any --method but {' and '.join(others)}"
    return f"--method {' or '.join(filter(None, [', '.join(names[:-1]), names[-1]]))}"
