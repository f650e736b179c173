"""From a finished run, or from GPT-2 as it is, to a language model on this machine that can speak."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ablation.config.base_run import TRAIN_ANEW, BaseRun, BaseRunError, read_base_run
from ablation.config.finished_run import FROM_THE_RUN, SAID_ANEW
from ablation.config.generation import ALL_BLOCKS, LanguageModelConfig
from ablation.config.settings import PRETRAINED, ConfigError, fields_of
from ablation.listener import Listener
from ablation.model.weights import Weights, WithoutDraws, load_into, open_weights
from ablation.results.language_model_files import check_unaltered
from ablation.results.log import RUN_JSON
from ablation.results.more_rows import read_record
from ablation.results.task import Task
from ablation.run.inputs import RunError, open_pretrained, open_tokenizer
from ablation.run.saved_models import NoModelError, find_folder
from ablation.run.speaking import Speaker
from previous_chapters import GPTModel

MAKES_ONE = "--demo --save_model"  # flags of a run that --run can be given


@dataclass(frozen=True)
class SavedLanguageModel:
    """A finished run whose model was kept.

    Attributes:
        folder: of the run.
        record: its ``run.json``.
        config: the run's, with what is this machine's and this command's.
        base: what the file of the model says of it.
    """

    folder: Path
    record: Mapping[str, Any]
    config: LanguageModelConfig
    base: BaseRun


def find_run(task: Task, named: str, config: LanguageModelConfig, given: Mapping[str, Any]) -> SavedLanguageModel:
    """The run that a command names: a folder, a run's id, or ``latest``.

    Args:
        config: of the command.
        given: its settings, as far as they were typed, by name; any value.

    Raises:
        RunError: there is no such run, or it kept no model that can be used.
        ResultsError: its record cannot be read.
        ConfigError: the run's settings and the command's do not go together.
    """
    searched = Path(config.results_dir) if {"results_dir", "demo"} & set(given) else None
    try:
        folder = find_folder(named, searched, task, MAKES_ONE)
    except NoModelError as error:
        raise RunError(str(error)) from None
    if not (folder / RUN_JSON).is_file():
        raise RunError(f"--run {named}: no run has that folder or id; give one of them, or latest")
    try:
        base = read_base_run(folder)
        check_unaltered(base)
    except BaseRunError as error:
        raise RunError(str(error)) from None
    record = read_record(folder)
    return SavedLanguageModel(folder, record, _config_here(folder, record, config, given), base)


def _config_here(
    folder: Path, record: Mapping[str, Any], config: LanguageModelConfig, given: Mapping[str, Any]
) -> LanguageModelConfig:
    """The run's settings, and where its sentences were; of the command what is not the run's, or said anew."""
    fields = fields_of(type(config))
    own = {name for name, field in fields.items() if field.metadata["identity"] or name in FROM_THE_RUN}
    anew = set(given) & {*SAID_ANEW, *FROM_THE_RUN}
    values = {name: record[name] for name in own - anew if name in record}
    if "n_samples" not in given:
        values["n_samples"] = None  # as many as are usual for such a run: of the demo fewer
    try:
        own_alone = dataclasses.replace(config, **values, **{name: record[name] for name in anew if name in record})
    except (ConfigError, TypeError):
        raise RunError(f"{folder / RUN_JSON}: its settings are those of another version; {TRAIN_ANEW}") from None
    return dataclasses.replace(own_alone, **{name: getattr(config, name) for name in anew})


def open_run(saved: SavedLanguageModel, device: torch.device, listener: Listener) -> Speaker:
    """The model of a run, ready to speak.

    Raises:
        WeightsError, DownloadError: its parts cannot be had or used.
    """
    listener.message(f"model: {saved.base.path}")
    weights = open_weights(saved.base.path, saved.base.shape)
    return _speaker(weights, saved.config, device, listener)


def open_as_it_is(config: LanguageModelConfig, device: torch.device, listener: Listener) -> Speaker:
    """The pretrained GPT-2 that a configuration names, with all its blocks; in the demo the miniature.

    Raises:
        WeightsError, DownloadError: its parts cannot be had or used.
    """
    whole = dataclasses.replace(config, weights=PRETRAINED, blocks=ALL_BLOCKS)
    return _speaker(open_pretrained(whole, listener), whole, device, listener)


def _speaker(weights: Weights, config: LanguageModelConfig, device: torch.device, listener: Listener) -> Speaker:
    tokenizer = open_tokenizer(config)
    with torch.device("meta"), WithoutDraws():
        model = GPTModel(weights.shape)
    load_into(model, weights)
    model.to(device).eval()
    return Speaker(model, tokenizer, config.max_len, config.seed, listener)
