"""Whether a run fits into memory, before anything is loaded; what its steps do in order to fit; and how much of the
memory kept features may take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import psutil
import torch
from torch import nn

from ablation.allocator import KEPT_IN_ALL
from ablation.config.experiment import LONGEST_TRAINING_EXAMPLE, RANDOM, ConfigError, ExperimentConfig
from ablation.execution.plan import Seen, Thrift, make_plan
from ablation.model.classifier import Assembly, assemble
from ablation.process_state import process_state_kept

GIGABYTE = 10**9
DEFAULT_FEATURE_MEMORY = 2 * GIGABYTE
PUBLISHED_LONGEST = 120  # tokens of the longest of the published training messages
# Values per position and unit of the model's width that a block keeps for its backward pass: both norms' inputs and
# outputs (4), query, key, value and context (4), and what enters and leaves GELU (4 each).
KEPT_OF_A_BLOCK = 16


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a run takes, and bytes that are free, on one device.

    Attributes:
        needed: for weights, gradients and moments.
        activations: for what a training step keeps for its backward pass; at most, because what is frozen keeps less.
        thrift: what the steps have to do for it.
    """

    needed: int
    activations: int
    free: int
    thrift: Thrift


def estimate_memory(
    config: ExperimentConfig, device: torch.device, width: int | None = None, free: int | None = None
) -> MemoryEstimate:
    """Estimate without loading anything: of the ways to make a step the first for which there is room, with activations
    and what malloc holds back, or else the most thrifty.

    Args:
        width: tokens of the longest message, where it is known.
        free: bytes, if not what the device has free now.
    """
    free = free_memory(device) if free is None else free
    values, ways = _step_values(config, width), list[MemoryEstimate]()
    for thrift in [Thrift.NONE] if config.execution == "recorded" else Thrift:  # a recorded step happens as a whole
        activations = 4 * values.recomputed if thrift.recomputes else 4 * values.kept
        ways.append(MemoryEstimate(_needed_memory(config, device, thrift), activations, free, thrift))
    return next((way for way in ways if way.needed + way.activations + KEPT_IN_ALL <= free), ways[-1])


def free_memory(device: torch.device) -> int:
    """Bytes that the device has free now."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def _needed_memory(config: ExperimentConfig, device: torch.device, thrift: Thrift) -> int:
    """Of weights, gradients and moments. What trains has a gradient and two moments, all in float32; of several
    backward passes for one update only the last one spares the gradients."""
    held, trained = _parameters(config, device)
    gathers = config.execution == "naive" and config.accumulation_steps > 1
    return 4 * (held + (2 if thrift.updates_early and not gathers else 3) * trained)


@dataclass(frozen=True)
class StepValues:
    """How many numbers a training step keeps for its backward pass: as it is, and where blocks are computed again (then
    the input of each, and all of one)."""

    kept: int
    recomputed: int


def _step_values(config: ExperimentConfig, width: int | None) -> StepValues:
    plan, naive = make_plan(config), config.execution == "naive"
    trained = config.shape.n_layers - (plan.first_block if plan.keeps_features else 0)
    blocks = trained if naive else plan.whole_blocks
    messages = config.batch_size * (1 if naive else config.accumulation_steps)  # of one backward pass
    positions = 1 if plan.seen is Seen.FIRST and not naive else width or _expected_width(config)
    inputs = messages * positions * config.shape.emb_dim
    return StepValues(blocks * KEPT_OF_A_BLOCK * inputs, (blocks + KEPT_OF_A_BLOCK) * inputs if blocks else 0)


def _expected_width(config: ExperimentConfig) -> int:
    """Tokens of the longest message before any is loaded."""
    if isinstance(config.context_length, int):
        return config.context_length
    longest = PUBLISHED_LONGEST if config.context_length == LONGEST_TRAINING_EXAMPLE else config.shape.context_length
    return min(longest, config.shape.context_length)


@cache  # a sweep that waits for memory asks ten times a second
def _parameters(config: ExperimentConfig, device: torch.device) -> tuple[int, int]:
    """How many take memory of the device, and how many train."""
    with process_state_kept():  # the new layers are drawn
        assembly = assemble(config, config.shape)
    return _held_parameters(config, assembly, device), assembly.count_parameters()[1]


def _held_parameters(config: ExperimentConfig, assembly: Assembly, device: torch.device) -> int:
    """How many parameters take memory of the device: all, if run naively or drawn there; in the main memory otherwise
    only what trains, because frozen weights stay in their mapped file; on another device whatever a step computes
    with."""
    model, plan = assembly.model, make_plan(config)
    if device.type == "cpu" and config.execution != "naive" and config.weights != RANDOM:
        return assembly.count_parameters()[1]
    if device.type == "cpu" or config.execution == "naive" or not plan.keeps_features:
        return _size(model)
    return _size(model.trf_blocks[plan.first_block :]) + _size(model.final_norm) + _size(model.out_head)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def check_memory(config: ExperimentConfig, device: torch.device) -> None:
    """Refuse a run that cannot fit.

    Raises:
        ConfigError: with the estimate and what would reduce it.
    """
    estimate = estimate_memory(config, device)
    if estimate.needed > estimate.free:
        held, trained = _parameters(config, device)
        raise ConfigError(
            [
                f"--model_size {config.model_size} with {config.adaptation_flag}:"
                f" weights and moments take about {4 * (held + 2 * trained) / GIGABYTE:.1f} GB, with gradients"
                f" {4 * (held + 3 * trained) / GIGABYTE:.1f} GB, {estimate.free / GIGABYTE:.1f} GB are free;"
                " train fewer layers, take a smaller model, or try all the same with --force"
            ]
        )


def feature_memory(config: ExperimentConfig) -> int:
    """Bytes of hidden states to hold at a time."""
    if config.feature_memory is not None:
        return int(config.feature_memory * GIGABYTE)
    return min(DEFAULT_FEATURE_MEMORY, psutil.virtual_memory().available // 4)
