"""What the results already hold of a plan, what failed before, and how long the rest will take."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablation.config.experiment import PRETRAINED, ExperimentConfig, variant_settings
from ablation.data.spam import DataError, data_digest, read_messages, split_messages
from ablation.files.published import DATASET_NAME
from ablation.results.read import Run, read_results, variant_key
from ablation.sweep.plan import PlannedRun, feature_group

LOGS_FOLDER = "sweep"  # below the results: a log per run that is under way, and one per run that failed


@dataclass
class Digests:
    """What the runs of this sweep would record of messages and weights, as far as it is at hand; None where not."""

    data: str | None
    _weights: dict[tuple[str, str | None], str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, config: ExperimentConfig) -> Digests:
        """Looks at the messages now, at weights when they are asked for."""
        if config.demo:
            return cls(None)  # its messages and weights belong to the code
        try:
            path = Path(config.data_dir) / DATASET_NAME
            return cls(data_digest(split_messages(read_messages(path, trust_new_hash=True))))
        except DataError:
            return cls(None)

    def weights(self, config: ExperimentConfig) -> str | None:
        """The digest of pretrained weights; None for random ones (the configuration says all of them) and for files
        that are not here yet."""
        if config.weights != PRETRAINED or config.demo:
            return None
        key = config.model_size, config.weights_path
        if key not in self._weights:
            self._weights[key] = _digest_of_weights(config)
        return self._weights[key]


def _digest_of_weights(config: ExperimentConfig) -> str | None:
    from ablation.files import fetch
    from ablation.files.download import DownloadError
    from ablation.model.weights import WeightsError, open_weights

    try:
        if config.weights_path is not None:
            path = Path(config.weights_path)
        else:
            path = fetch.fetch_weights(
                config.model_size, Path(config.models_dir), offline=True, trust_new_hash=config.trust_new_hash
            )
        return open_weights(path, config.shape).digest()
    except (DownloadError, WeightsError, OSError):
        return None  # the run itself will say what is wrong


def log_of(run: PlannedRun, results_dir: Path) -> Path:
    return results_dir / LOGS_FOLDER / f"{run.hash[:16]}.log"


def failure_of(run: PlannedRun, results_dir: Path) -> Path:
    """Where a failed run's log is kept, until the run succeeds."""
    return results_dir / LOGS_FOLDER / f"{run.hash[:16]}.failed.log"


def finished_runs(results_dir: Path) -> dict[str, list[Run]]:
    """The readable lines of the results by configuration hash."""
    by_hash: dict[str, list[Run]] = {}
    for run in read_results(results_dir)[0]:
        by_hash.setdefault(run["config_hash"], []).append(run)
    return by_hash


def result_of(planned: PlannedRun, finished: Mapping[str, Sequence[Run]], digests: Digests) -> Run | None:
    """The newest result of a planned run on these messages and weights, if there is one."""
    candidates = finished.get(planned.hash, ())
    if not candidates:
        return None
    weights = digests.weights(planned.config)
    for run in reversed(candidates):
        same_data = digests.data is None or run["data_digest"] == digests.data
        if same_data and (weights is None or run["weights_digest"] == weights):
            return run
    return None


# ---- estimates ------------------------------------------------------------------------------------------------------


def estimate_seconds(planned: PlannedRun, reuses: bool, runs: Iterable[Run], device_name: str) -> float | None:
    """Mean wall-clock seconds of earlier runs of the same configuration on this device, whatever their seed; of those
    that had their features in the same way, if there are such. None without earlier runs."""
    key = variant_key(variant_settings(planned.config))
    same = [run for run in runs if run.key == key and run["device_name"] == device_name]
    alike = [run for run in same if (run["features"] == "reused") == reuses]
    minutes = [float(run["total_minutes"]) for run in alike or same if run["total_minutes"]]
    return 60 * statistics.fmean(minutes) if minutes else None


def estimate_all(plan: Sequence[PlannedRun], runs: Sequence[Run], device_name: str) -> dict[str, float | None]:
    """:func:`estimate_seconds` of each run by its hash; of runs that share features only the first computes them."""
    seen: set[object] = set()
    estimates = {}
    for planned in plan:
        group = feature_group(planned.config)
        estimates[planned.hash] = estimate_seconds(planned, group is not None and group in seen, runs, device_name)
        seen.add(group)
    return estimates
