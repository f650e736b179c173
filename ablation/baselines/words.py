"""The cheap models that a trained row has to beat: the majority class, and linear models on words and characters.

Each is fitted on the training split alone; what has to be chosen is chosen on the validation split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Splits = dict[str, pd.DataFrame]

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)  # candidates for C, the inverse of the regularisation
MOST_ITERATIONS = 1000


@dataclass
class Fitted:
    """What a baseline says of every message, and what there is to know of how it came to that.

    Attributes:
        scores: per split, of two classes (N,) the logit of the second (spam), that of the first being 0; of more
            classes (N, C) the logit of each.
        parameters: how many were fitted.
        chosen: what was chosen on the validation split.
    """

    scores: dict[str, NDArray[np.float64]]
    parameters: int = 0
    chosen: dict[str, Any] = field(default_factory=dict)

    @property
    def logits(self) -> dict[str, NDArray[np.float64]]:
        """Per split, (N, C)."""
        return {split: all_logits(scores) for split, scores in self.scores.items()}

    @property
    def predictions(self) -> dict[str, NDArray[np.int64]]:
        """Per split, (N,) the number of the class that a message is said to have; among equal logits the first."""
        return {split: logits.argmax(axis=1) for split, logits in self.logits.items()}


def all_logits(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, C) logits from the scores of :class:`Fitted`."""
    import numpy as np

    return np.stack([np.zeros(len(scores)), scores], axis=1) if scores.ndim == 1 else scores


@dataclass(frozen=True)
class Baseline:
    """A named model: what it is, its settings (they make its hash), and the function that fits it to the splits."""

    description: str
    settings: dict[str, Any]
    fit: Callable[[Splits, dict[str, Any]], Fitted]


def majority_class(splits: Splits, settings: dict[str, Any]) -> Fitted:
    """Call every message what most training messages are. Of two classes: logit +1 for the second, −1 for the first;
    of more: 1 for the one, 0 for the others; the same everywhere."""
    import numpy as np

    counts = np.bincount(splits["train"]["Label"])
    most = int(counts.argmax())
    score = (np.arange(len(counts)) == most).astype(float) if len(counts) > 2 else np.float64(1 if most else -1)
    return Fitted({name: np.tile(score, (len(split), *[1] * score.ndim)) for name, split in splits.items()})


def logistic_regression(splits: Splits, settings: dict[str, Any]) -> Fitted:
    """TF-IDF and logistic regression; of several strengths the one of the best :func:`quality` on validation."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    ngrams = tuple(settings["ngrams"])
    vectorizer = TfidfVectorizer(analyzer=settings["analyzer"], ngram_range=ngrams, sublinear_tf=True)
    vectorizer.fit(splits["train"]["Text"])
    features = {name: vectorizer.transform(split["Text"]) for name, split in splits.items()}
    labels = {name: split["Label"].to_numpy() for name, split in splits.items()}
    models = [
        LogisticRegression(C=strength, max_iter=MOST_ITERATIONS).fit(features["train"], labels["train"])
        for strength in settings["strengths"]
    ]
    qualities = [quality(model.decision_function(features["validation"]), labels["validation"]) for model in models]
    best = models[qualities.index(max(qualities))]
    return Fitted(
        {name: best.decision_function(features[name]) for name in splits},
        parameters=best.coef_.size + best.intercept_.size,
        chosen={"C": best.C, "features": best.coef_.shape[1]},
    )


def quality(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[int, float]:
    """How many of the scores (as :class:`Fitted` has them) are right, and, to decide between equals, the negative mean
    log-loss."""
    from scipy.special import log_softmax

    logits = all_logits(scores)
    right = logits.argmax(axis=1) == labels
    return int(right.sum()), float(log_softmax(logits, axis=1)[range(len(labels)), labels].mean())


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
