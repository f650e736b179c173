"""What an execution works on: the model, where its values come from, the messages, and how far each is seen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch

from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.shapes import ModelShape
from ablation.data.encode import EncodedMessages
from ablation.execution.plan import ExecutionPlan, Start, Thrift, make_plan
from ablation.execution.reach import Reach, find_reach, without_unread_pads
from ablation.execution.single_query import is_known
from ablation.methods.costs import costs_of
from ablation.methods.layers import trains
from ablation.model.classifier import StartingValues, WeightSource, assemble
from ablation.results.costs import Costs
from previous_chapters import GPTModel


@dataclass(frozen=True)
class Setup:
    """What an execution works on.

    Attributes:
        model: the classifier; its trunk's values are still in ``weights``, under the names in ``sources``.
        added: names of the parameters that the method attached.
        messages: per split.
        costs: of the model as it is, whatever of it an execution leaves out.
    """

    config: ExperimentConfig
    weights: WeightSource
    messages: dict[str, EncodedMessages]
    device: torch.device
    model: GPTModel
    sources: Mapping[str, str]
    added: frozenset[str]
    costs: Costs
    plan: ExecutionPlan
    reach: Reach

    def thinned(self) -> Setup:
        """The same without the hidden pads that are not read."""
        messages, reach = without_unread_pads(self.messages, self.reach, pooled=self.plan.pooled)
        return replace(self, messages=messages, reach=reach)

    def describe(self) -> str:
        """The plan in one line."""
        return self.plan.describe(self.thinned().reach.lengths())


def make_setup(
    config: ExperimentConfig,
    weights: WeightSource,
    messages: dict[str, EncodedMessages],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    thrift: Thrift = Thrift.NONE,
) -> Setup:
    """Build the classifier that the configuration names, in the weights' shape, and plan its execution."""
    assembly = assemble(config, weights.shape)
    model = assembly.model.to(dtype)
    plan = make_plan(config, n_blocks=weights.shape.n_layers)
    plan = replace(plan, whole_last=not is_known(model.trf_blocks[-1]), thrift=thrift)
    _check_plan(plan, model, config.adaptation)
    _check_attention(model, messages)
    _check_width(config, model.n_extra, max(split.tokens.shape[1] for split in messages.values()), weights.shape)
    return Setup(
        config=config,
        weights=StartingValues(weights, assembly.derived) if assembly.derived else weights,
        messages=messages,
        device=device,
        model=model,
        sources={**assembly.sources, **{name: name for name in assembly.derived}},
        added=assembly.added,
        costs=costs_of(model, assembly.added, config),
        plan=plan,
        reach=find_reach(config, model, messages),
    )


def _check_width(config: ExperimentConfig, prompt: int, message: int, shape: ModelShape) -> None:
    """Whether the model has positions for a prompt and the longest message behind it.

    Raises:
        ConfigError: it has not.
    """
    if (width := prompt + message) > (room := shape.context_length):
        fewer = "give fewer"
        if prompt < room and not config.no_padding:
            fewer += f", or a --context_length of at most {room - prompt}"
        raise ConfigError(
            [
                f"--prompt_length {prompt}: with messages of {message} tokens that makes {width} positions, the model"
                f" has {room}; {fewer}"
            ]
        )


def _check_attention(model: GPTModel, messages: Mapping[str, EncodedMessages]) -> None:
    """An attention of one's own need not know of pads that are not attended to.

    Raises:
        ConfigError: there are such pads, and a block that may have one.
    """
    if any(split.placement.hidden is not None for split in messages.values()):
        for number, block in enumerate(model.trf_blocks, start=1):
            if not is_known(block):
                problem = f"--mask_padding: block {number} is not GPT-2's, and may attend to pads; leave it out"
                raise ConfigError([problem])


def _check_plan(plan: ExecutionPlan, model: GPTModel, method: str) -> None:
    """A method that trains more than it declares would be half frozen, without a word.

    Raises:
        ValueError: it does.
    """
    before = [model.tok_emb, model.pos_emb, *([] if model.extra is None else [model.extra])]
    first = next((i for i, block in enumerate(model.trf_blocks) if trains(block)), plan.n_blocks)
    undeclared = {
        "embeddings": any(map(trains, before)) and not plan.embeddings_train,
        f"block {first}": first < plan.first_block,
        "the final norm, so that it must declare the last block,": (
            trains(model.final_norm) and plan.start is Start.VECTOR
        ),
    }
    for what, wrong in undeclared.items():
        if wrong:
            raise ValueError(f"method {method} trains {what} which ablation/config/methods.py does not say of it")


def arithmetic(config: ExperimentConfig, device: torch.device) -> AbstractContextManager:
    """The context in which hidden states and logits are computed at the configured precision."""
    if config.precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
