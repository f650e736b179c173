"""The cheap models that every row of the ablation table has to beat, as rows B1 to B3 of the same results.

    python baselines.py [--rows B1,B2,B3] [--data_dir data] [--results_dir results]
    python baselines.py --demo                                   # on the embedded messages, into results/demo

Same messages, same splits and same files as the runs of ``additional_experiments.py``: each baseline is fitted on the
training split alone, and what has to be chosen is chosen on the validation split.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.config.experiment import DEMO_RESULTS_DIR, RESULTS_DIR
from ablation.config.flags import Parser
from ablation.environment import require_packages

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Splits = dict[str, pd.DataFrame]
    Scores = dict[str, np.ndarray]  # per split (N,): the logit of spam, that of ham being 0

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)  # candidates for C, the inverse of the regularisation
MOST_ITERATIONS = 1000


@dataclass
class Fitted:
    """What a baseline says of every message, and what there is to know of how it came to that."""

    scores: Scores
    parameters: int = 0
    chosen: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Baseline:
    """A named model: what it is, its settings (they make its hash), and the function that fits it to the splits."""

    description: str
    settings: dict[str, Any]
    fit: Callable[[Splits, dict[str, Any]], Fitted]


def majority_class(splits: Splits, settings: dict[str, Any]) -> Fitted:
    """Call every message what most training messages are: logit +1 for spam, −1 for ham, the same everywhere."""
    import numpy as np

    logit = 1.0 if splits["train"]["Label"].mean() > 0.5 else -1.0
    return Fitted({name: np.full(len(split), logit) for name, split in splits.items()})


def logistic_regression(splits: Splits, settings: dict[str, Any]) -> Fitted:
    """TF-IDF and logistic regression; of several strengths the one that is right most often on the validation split,
    and among equals the one whose logits are better there (mean log-loss)."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    ngrams = tuple(settings["ngrams"])
    vectorizer = TfidfVectorizer(analyzer=settings["analyzer"], ngram_range=ngrams, sublinear_tf=True)
    vectorizer.fit(splits["train"]["Text"])
    features = {name: vectorizer.transform(split["Text"]) for name, split in splits.items()}
    labels = {name: split["Label"].to_numpy() for name, split in splits.items()}

    def validation_quality(model: LogisticRegression) -> tuple[int, float]:
        logits, spam = model.decision_function(features["validation"]), labels["validation"] == 1
        return int(((logits > 0) == spam).sum()), -float(np.logaddexp(0, np.where(spam, -logits, logits)).mean())

    models = [
        LogisticRegression(C=strength, max_iter=MOST_ITERATIONS).fit(features["train"], labels["train"])
        for strength in settings["strengths"]
    ]
    best = max(models, key=validation_quality)
    return Fitted(
        {name: best.decision_function(features[name]) for name in splits},
        parameters=best.coef_.size + best.intercept_.size,
        chosen={"C": best.C, "features": best.coef_.size},
    )


BASELINES = {
    "B1": Baseline("majority class", {"model": "majority"}, majority_class),
    "B2": Baseline(
        "word TF-IDF + logistic regression",
        {"model": "logistic", "analyzer": "word", "ngrams": [1, 1], "strengths": [1.0]},
        logistic_regression,
    ),
    "B3": Baseline(
        "character (2–5) TF-IDF + logistic regression, strength chosen on validation",
        {"model": "logistic", "analyzer": "char", "ngrams": [2, 5], "strengths": list(STRENGTHS)},
        logistic_regression,
    ),
}


# ---- into the results -----------------------------------------------------------------------------------------------


def run_baseline(name: str, splits: Splits, results_dir: Path, *, demo: bool = False) -> dict[str, Any]:
    """Fit one baseline and keep it like any run.

    Args:
        demo: the messages are the embedded ones, and whatever is written has to say so.

    Returns:
        The row as appended. Columns that mean nothing here (model size, seed, learning rate, …) are missing from it,
        and so empty in the CSV.

    Raises:
        ResultsError: the results folder cannot be written.
    """
    import sklearn

    from ablation import environment
    from ablation.data.demo import DISCLAIMER, SHORT_DISCLAIMER
    from ablation.data.spam import data_digest
    from ablation.listener import Count
    from ablation.results.run_folder import PREDICTIONS_CSV, RunRecord, evaluation_fields, with_note, write_run
    from ablation.tasks.spam import SPAM
    from ablation.tasks.spam_predictions import predictions_csv

    baseline = BASELINES[name]
    started = time.perf_counter()
    fitted = baseline.fit(splits, baseline.settings)
    minutes = round((time.perf_counter() - started) / 60, 4)
    counts = {
        split: Count(int(((fitted.scores[split] > 0) == (frame["Label"] == 1)).sum()), len(frame))
        for split, frame in splits.items()
    }
    at = datetime.now(UTC)
    settings = {"row": name, **baseline.settings, **({"demo": True} if demo else {})}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    row = {
        "run_id": f"{name}-{digest[:8]}-{at:%Y%m%dT%H%M%S.%fZ}",
        "timestamp_utc": at.isoformat(timespec="seconds"),
        "row": name,
        "demo": demo or None,
        "device": "cpu",
        "total_parameters": fitted.parameters,
        "trainable_parameters": fitted.parameters,
        **evaluation_fields(SPAM.evaluate(counts)[0]),
        "training_minutes": minutes,
        "total_minutes": minutes,
        "peak_memory_mb": environment.peak_memory_mb(),
        "device_name": environment.device_name("cpu"),
        "python_version": platform.python_version(),
        "git_commit": environment.git_commit(),
        "data_digest": data_digest(splits),
        "config_hash": digest,
    }
    predictions = predictions_csv(
        {split: [[0.0, float(score)] for score in fitted.scores[split]] for split in ("validation", "test")},
        {split: splits[split]["Label"].tolist() for split in ("validation", "test")},
    )
    further: dict[str, Any] = {
        "baseline": {
            "description": baseline.description,
            "settings": baseline.settings,
            "chosen": fitted.chosen,
            "scikit_learn_version": sklearn.__version__,
        }
    }
    if demo:
        further["note"] = DISCLAIMER
        predictions = with_note(predictions, SHORT_DISCLAIMER)
    write_run(results_dir, SPAM, RunRecord([row], further, {PREDICTIONS_CSV: predictions}))
    return row


# ---- the command ----------------------------------------------------------------------------------------------------


def parse_rows(text: str) -> list[str]:
    """The names in ``B1,B3``, each once, in order.

    Raises:
        ValueError: a name is none of the baselines', or there is none.
    """
    names = [name.strip().upper() for name in text.split(",")]
    unknown = [name or "(empty)" for name in names if name not in BASELINES]
    if unknown:
        raise ValueError(f"--rows {text}: no baseline {', '.join(unknown)}; give some of {','.join(BASELINES)}")
    return list(dict.fromkeys(names))


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rows = ", ".join(f"{name} {baseline.description}" for name, baseline in BASELINES.items())
    parser.add_argument("--rows", default=",".join(BASELINES), metavar="NAMES", help=f"{rows} (default: all)")
    parser.add_argument("--data_dir", type=Path, default=Path("data"), metavar="FOLDER", help="folder of the messages")
    parser.add_argument(
        "--results_dir",
        type=Path,
        metavar="FOLDER",
        help=f"where rows go (default: {RESULTS_DIR}; with --demo: {DEMO_RESULTS_DIR})",
    )
    parser.add_argument("--demo", action="store_true", help="the embedded messages; no published figure beside them")
    parser.add_argument("--offline", action="store_true", help="never open a connection; say what is missing instead")
    parser.add_argument("--trust_new_hash", action="store_true", help="use messages other than the published ones")
    return parser


def load_splits(options: argparse.Namespace) -> Splits:
    """The three splits of the messages that the command means.

    Raises:
        DataError, DownloadError: they cannot be had or used.
    """
    from ablation.data.demo import read_demo_messages
    from ablation.data.spam import read_messages, split_messages
    from ablation.files.fetch import fetch_dataset

    if options.demo:
        return split_messages(read_demo_messages())
    path = fetch_dataset(options.data_dir, offline=options.offline, trust_new_hash=options.trust_new_hash)
    return split_messages(read_messages(path, trust_new_hash=options.trust_new_hash))


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 for finished baselines, 1 for a failure, 2 for a wrong command."""
    options = make_parser().parse_args(arguments)
    try:
        names = parse_rows(options.rows)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    require_packages()
    from ablation.data.demo import DISCLAIMER
    from ablation.data.spam import DataError
    from ablation.files.download import DownloadError
    from ablation.results.log import ResultsError
    from ablation.tasks.spam import SPAM

    results_dir = options.results_dir or Path(DEMO_RESULTS_DIR if options.demo else RESULTS_DIR)
    try:
        if options.demo:
            print(DISCLAIMER)
        splits = load_splits(options)
        for name in names:
            row = run_baseline(name, splits, results_dir, demo=options.demo)
            print(
                f"{name} {BASELINES[name].description}: training {row['training_acc']:.2%}, validation"
                f" {row['validation_acc']:.2%}, test {row['test_acc']:.2%}, {60 * row['training_minutes']:.1f} s"
            )
    except KeyboardInterrupt:
        print("error: interrupted; finished baselines are in the results", file=sys.stderr)
        return 130
    except (DataError, DownloadError, ResultsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"rows appended to {results_dir / SPAM.csv_name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
