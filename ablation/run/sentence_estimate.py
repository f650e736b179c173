"""How long a run of the language model will take, told from finished runs on this machine alone."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping

from ablation.config.experiment import variant_settings
from ablation.config.generation import LanguageModelConfig
from ablation.results.read import FinishedRun
from ablation.results.task import Task
from ablation.run.estimate import conditions, conditions_of, number_in


def estimate_seconds(
    task: Task,
    config: LanguageModelConfig,
    finished_runs: Iterable[FinishedRun],
    foreign: Mapping[str, str] = {},
    reuses: bool = False,
) -> float | None:
    """Seconds of a run, told from finished runs of the same configuration, whatever their seeds, on this device: the
    medians of what loading and training took, and of what a sentence of each way of decoding took.

    Args:
        foreign: digests of the run's data and weights other than the published ones.
        reuses: of no meaning here, where nothing is kept between runs.

    Returns:
        None if no finished run can tell.

    Raises:
        ConfigError: the device asked for is not there.
    """
    here, settings = conditions(config), variant_settings(config, foreign)
    alike = [run for run in finished_runs if run.settings == settings and conditions_of(run) == here]
    training = {run["run_id"]: 60 * run.training_minutes + number_in(run, "load_seconds") for run in alike}
    if not training:
        return None
    total = statistics.median(training.values())
    for way in config.decodings if config.n_samples else ():
        own = [run for run in alike if run["decoding"] == way.name and number_in(run, "temperature") == way.temperature]
        paces = [number_in(run, "generation_seconds") / count for run in own if (count := number_in(run, "n_samples"))]
        if not paces:
            return None
        total += config.n_samples * statistics.median(paces)
    return total
