"""Whether a run fits into memory, before anything is loaded; and how much of it kept features may take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import psutil
import torch
from torch import nn

from ablation.config.experiment import RANDOM, ConfigError, ExperimentConfig
from ablation.execution.plan import make_plan
from ablation.model.classifier import Assembly, assemble
from ablation.process_state import process_state_kept

GIGABYTE = 10**9
DEFAULT_FEATURE_MEMORY = 2 * GIGABYTE


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a run's weights, gradients and moments take, and bytes that are free, on one device."""

    needed: int
    free: int


def estimate_memory(config: ExperimentConfig, device: torch.device) -> MemoryEstimate:
    """Estimate without loading anything. What trains has a gradient and two moments, all in float32."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return MemoryEstimate(_needed_memory(config, device), free)


@cache  # a sweep that waits for memory asks ten times a second
def _needed_memory(config: ExperimentConfig, device: torch.device) -> int:
    with process_state_kept():  # the new layers are drawn
        assembly = assemble(config, config.shape)
    return 4 * (_held_parameters(config, assembly, device) + 3 * assembly.count_parameters()[1])


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
        raise ConfigError(
            [
                f"--model_size {config.model_size} with {config.adaptation_flag}:"
                f" weights, gradients and moments take about {estimate.needed / GIGABYTE:.1f} GB,"
                f" {estimate.free / GIGABYTE:.1f} GB are free;"
                " train fewer layers, take a smaller model, or try all the same with --force"
            ]
        )


def feature_memory(config: ExperimentConfig) -> int:
    """Bytes of hidden states to hold at a time."""
    if config.feature_memory is not None:
        return int(config.feature_memory * GIGABYTE)
    return min(DEFAULT_FEATURE_MEMORY, psutil.virtual_memory().available // 4)
