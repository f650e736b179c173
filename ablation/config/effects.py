"""Which settings have no effect in which configuration: the one place that knows, for identity and warnings alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ablation.config.methods import METHOD_OPTIONS, METHODS
from ablation.config.settings import MethodSettings, ModelSettings, RunOptions, TrainingSettings
from ablation.config.shapes import NANO


def _needs_method(option: str) -> Callable[[MethodSettings], str]:
    methods = [name for name, method in METHODS.items() if option in method.options]

    def reason(config: MethodSettings) -> str:
        if config.trainable_layers in methods:
            return ""
        return f"with --trainable_layers {config.trainable_layers}; add --trainable_layers {methods[0]}"

    return reason


def _needs_padding(config: Any) -> str:
    return "with --no_padding, which pads and cuts nothing" if config.no_padding else ""


def _needs_another_seed(config: TrainingSettings) -> str:
    return "where it is that of --seed" if config.order_seed == config.seed else ""


def _needs_features(config: RunOptions) -> str:
    return "with --execution naive, which keeps no features" if config.execution == "naive" else ""


def _needs_feature_cache(config: RunOptions) -> str:
    return "without --feature_cache" if config.feature_cache is None else ""


def _needs_real_messages(config: ModelSettings) -> str:
    return "with --demo, which has messages of its own" if config.demo else ""


def _needs_real_model(config: ModelSettings) -> str:
    return f"with --demo, which uses {NANO}" if config.demo else ""


# setting -> why it has no effect in a configuration that has this setting; empty where it has one
REASONS: dict[str, Callable[[Any], str]] = {
    **{option: _needs_method(option) for option in METHOD_OPTIONS},
    "context_length": _needs_padding,
    "order_seed": _needs_another_seed,
    "feature_cache": _needs_features,
    "feature_memory": _needs_features,
    "feature_cache_limit": _needs_feature_cache,
    "data_dir": _needs_real_messages,
    "model_size": _needs_real_model,
}


def why_no_effect(name: str, config: Any) -> str:
    """Why a setting changes nothing in this configuration, to stand behind "has no effect"; empty if it does."""
    reason = REASONS.get(name)
    return reason(config) if reason else ""
