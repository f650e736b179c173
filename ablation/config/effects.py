"""Which settings have no effect in which configuration: the one place that knows, for identity and warnings alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ablation.config.methods import DECLARATIONS, METHOD_OPTIONS, methods
from ablation.config.settings import LANGUAGE_MODEL, CommonSettings, MethodSettings, fields_of
from ablation.config.shapes import NANO


def _needs_method(option: str) -> Callable[[MethodSettings], str]:
    having = [name for name, method in DECLARATIONS.items() if option in method.options]
    taking = [name for name in having if name in methods()]

    def reason(config: MethodSettings) -> str:
        if config.adaptation in having:
            return ""
        if config.method is not None:
            return f"with --method {config.method}; it belongs to --method {', '.join(taking)}"
        layers = fields_of(type(config))["trainable_layers"].metadata["choices"]  # type: ignore[arg-type]
        adding = "--trainable_layers" if having[0] in layers else "--method"
        return f"with --trainable_layers {config.trainable_layers}; add {adding} {having[0]}"

    return reason


def reason_if(holds: Callable[[Any], bool], reason: str) -> Callable[[Any], str]:
    """The reason, of configurations of which something holds."""
    return lambda config: reason if holds(config) else ""


def _other_data(config: CommonSettings) -> str:
    if config.reads_data_dir:
        return ""
    return "with messages of your own" if config.own_data else "with --demo, which has messages of its own"


def _model_size(config: CommonSettings) -> str:
    if config.demo:
        return f"with --demo, which uses {NANO}"
    has_own_shape = config.weights == LANGUAGE_MODEL and config.model_size != NANO
    return "with a language model's run, which has a shape of its own" if has_own_shape else ""


_naive = reason_if(lambda config: config.execution == "naive", "with --execution naive, which keeps no features")
# setting -> why it has no effect in a configuration that has this setting; empty where it has one
REASONS: dict[str, Callable[[Any], str]] = {
    **{option: _needs_method(option) for option in METHOD_OPTIONS},
    "trainable_layers": reason_if(lambda config: config.method is not None, "with --method, which says what trains"),
    "weight_decay": reason_if(
        lambda config: config.lora_head == "frozen" and config.decayed == "classifier",
        "where it acts on the classifier alone, whose own weights are frozen; add --decayed everything",
    ),
    "context_length": reason_if(lambda config: config.no_padding, "with --no_padding, which pads and cuts nothing"),
    "order_seed": reason_if(lambda config: config.order_seed == config.seed, "where it is that of --seed"),
    "feature_cache": _naive,
    "feature_memory": _naive,
    "feature_cache_limit": reason_if(lambda config: config.feature_cache is None, "without --feature_cache"),
    "data_dir": _other_data,
    "held_out_text": reason_if(lambda config: not config.measure_forgetting, "without --measure_forgetting"),
    "split_seed": reason_if(lambda config: config.data_file is None, "without --data_file FILE, whose split it seeds"),
    "model_size": _model_size,
}


def reasons_of(config: CommonSettings) -> Mapping[str, Callable[[Any], str]]:
    """The reasons that there are for the settings of a configuration: those of all, and its task's own."""
    return {**REASONS, **config.NO_EFFECT}


def why_no_effect(name: str, config: CommonSettings) -> str:
    """Why a setting changes nothing in this configuration, to stand behind "has no effect"; empty if it does."""
    reason = reasons_of(config).get(name)
    return reason(config) if reason else ""
