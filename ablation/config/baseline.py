"""What a baseline is asked: the messages and the model of an experiment, and settings of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ablation.config.experiment import ExperimentConfig, identity
from ablation.config.flags import CommandLine, typed
from ablation.config.options import option
from ablation.config.padding import PADDING
from ablation.config.prompting import DRAWN, PromptSettings
from ablation.config.settings import RANDOM, fields_of

ALL, HEAD = "all", "last_layer"
GGUF, CONFIG = ".gguf", "config.json"
# What is said of GPT-2 and its tokens alone, and means nothing to another model.
OF_GPT2 = (
    "model_size", "weights", "n_layers", "emb_dim", "n_heads", "weights_path", "context_length", *PADDING,
    "disable_causal_mask",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BaselineConfig(PromptSettings, ExperimentConfig):
    """One baseline with one seed. Which of the settings it takes, its entry in the registry says."""

    trainable_layers: str = option(
        ALL, "what trains of another pretrained model: all layers, or the new head alone", choices=(ALL, HEAD)
    )
    hf_model: str | None = option(
        None,
        "in GPT-2's place another pretrained model that transformers loads: its name on the hub, a folder, or a .gguf"
        " file",
    )

    def problems(self) -> list[str]:
        problems = [*self.prompt_problems(), *super().problems()]
        if self.hf_model is not None:
            if self.hf_model.endswith(GGUF) and not Path(self.hf_model).is_file():
                problems.append(f"--hf_model {self.hf_model}: there is no such file")
            elif _is_path(self.hf_model) and not Path(self.hf_model).is_dir():
                problems.append(f"--hf_model {self.hf_model}: there is no such folder")
            elif Path(self.hf_model).is_dir() and not (Path(self.hf_model) / CONFIG).is_file():
                problems.append(f"--hf_model {self.hf_model}: the folder has no {CONFIG}; give one of a saved model")
            usual = {field.name: field.default for field in fields(self)}
            problems += [
                f"{typed({name: getattr(self, name)})} with --hf_model {self.hf_model}: is about GPT-2; leave one of"
                " the two out"
                for name in OF_GPT2
                if getattr(self, name) != usual[name]
            ]
        return problems

    def of(self, takes: Collection[str], fixed: Mapping[str, Any]) -> BaselineConfig:
        """The same command as a baseline means it: the settings that it does not take are the usual ones.

        Raises:
            ConfigError: some that it takes contradict what its name stands for.
        """
        settings = fields_of(type(self))
        kept = [name for name, own in settings.items() if name in takes or not own.metadata["identity"]]
        return BaselineConfig(**{name: getattr(self, name) for name in [*kept, "demo"]} | dict(fixed))


COMMAND_LINE = CommandLine("baselines.py", "What every row of the table has to beat.", BaselineConfig, {})


def own_settings(config: BaselineConfig, takes: Collection[str]) -> dict[str, Any]:
    """What a baseline that takes these settings is, besides its name: those with effect that are not the usual ones,
    and the seed, where it takes one. A file or a folder is known by its own name, wherever it lies."""
    settings = {name: value for name, value in identity(config).items() if name in takes}
    if "hf_model" in settings and is_local(settings["hf_model"]):
        settings["hf_model"] = Path(settings["hf_model"]).name
    return {**settings, "seed": config.seed} if "seed" in takes else settings


# Whether a baseline with these settings, of which the usual ones may be missing, draws anything, so that every seed
# gives a row of its own; those that are not here draw nothing.
DRAWS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "B4": lambda settings: True,
    "B5": lambda settings: settings.get("weights") == RANDOM,
    "B6": lambda settings: _draws_shots(settings) or settings.get("weights") == RANDOM,
    **{name: (lambda settings: True) for name in ("B7", "B8", "B9")},
}


def _draws_shots(settings: Mapping[str, Any]) -> bool:
    return settings.get("shots", 0) > 0 and settings.get("shots_by", DRAWN) == DRAWN


def _is_path(model: str) -> bool:
    """Whether it cannot be the name of a model on the hub: such a name has one ``/`` at most, and not in front."""
    return model.startswith(("/", ".", "~")) or model.count("/") > 1


def is_local(model: str) -> bool:
    """Whether ``--hf_model`` names a folder or a file, not a model of the hub."""
    return model.endswith(GGUF) or Path(model).exists()
