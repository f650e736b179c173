"""What a command would do, without doing it: nothing is loaded, fetched or written."""

from __future__ import annotations

import shlex
from pathlib import Path

from ablation.classifier import build_classifier, count_parameters
from ablation.config import (
    FIELDS,
    NANO,
    PRETRAINED,
    ExperimentConfig,
    config_hash,
    row_config,
    row_number,
    variant_settings,
)
from ablation.demo_files import DISCLAIMER
from ablation.experiment import GIGABYTE, estimate_memory, resolve_device
from ablation.published_files import wanted_files


def describe(config: ExperimentConfig) -> str:
    """The resolved configuration, parameter counts, memory and files to fetch, as lines for a person.

    Raises:
        ConfigError: the device asked for is not there.
    """
    device = resolve_device(config)
    total, trainable = count_parameters(build_classifier(config, config.shape))
    memory = estimate_memory(config, device)
    row = row_number(config)
    settings = ", ".join(f"{name} {value}" for name, value in variant_settings(config).items()) or "none"
    return "\n".join(
        [
            f"row                   {row or 'none of the published ones'}",
            f"differs from row 1    {settings}",
            f"seed                  {config.seed} (order {config.effective_order_seed})",
            f"model                 {config.model_in_use}: {config.shape}",
            f"parameters            {total:,}, of which {trainable:,} train (LoRA's are extra)"
            if config.uses_lora
            else f"parameters            {total:,}, of which {trainable:,} train",
            f"device                {device}, {config.precision}, {config.execution} execution",
            f"memory                {memory.needed / GIGABYTE:.2f} GB for weights, gradients and moments;"
            f" {memory.free / GIGABYTE:.1f} GB free",
            f"configuration hash    {config_hash(config)}",
            f"results               {config.results_dir}",
            *_downloads(config),
            *([DISCLAIMER] if config.demo else []),
        ]
    )


def next_command(config: ExperimentConfig) -> str:
    """What to try after a demo run: its row with GPT-2 and the real messages, and what that will download."""
    row = row_number(config) or 1
    real = row_config(row, models_dir=config.models_dir, data_dir=config.data_dir)
    folders = [f"--{name} {shlex.quote(getattr(config, name))}" for name in ("models_dir", "data_dir")
               if getattr(config, name) != FIELDS[name].default]  # fmt: skip
    command = " ".join([f"python additional_experiments.py --row {row}", *folders])
    return "\n".join([f"next, with GPT-2 and the SMS Spam Collection: {command}", *_downloads(real)])


def _downloads(config: ExperimentConfig) -> list[str]:
    fetches_weights = config.weights == PRETRAINED and config.weights_path is None and config.model_in_use != NANO
    wanted = wanted_files(
        config.model_in_use if fetches_weights else None,
        models_dir=Path(config.models_dir),
        data_dir=None if config.demo else Path(config.data_dir),
        vocabulary=config.model_in_use != NANO,
    )
    if not wanted:
        return ["to download           nothing"]
    verb = "missing (offline)" if config.offline else "to download"
    return [
        f"{verb:22}{path} from {file.addresses[0]}" + (f" ({file.size / 1e6:.1f} MB)" if file.size else "")
        for path, file in wanted
    ]
