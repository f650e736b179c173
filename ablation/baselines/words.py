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
        scores: per split, (N,) the logit of spam, that of ham being 0.
        parameters: how many were fitted.
        chosen: what was chosen on the validation split.
    """

    scores: dict[str, NDArray[np.float64]]
    parameters: int = 0
    chosen: dict[str, Any] = field(default_factory=dict)

    @property
    def predictions(self) -> dict[str, NDArray[np.bool_]]:
        """Per split, (N,) whether a message is called spam; equal logits mean ham."""
        return {split: scores > 0 for split, scores in self.scores.items()}


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
        chosen={"C": best.C, "features": best.coef_.size},
    )


def quality(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[int, float]:
    """How many of (N,) logits are right, and, to decide between equals, the negative mean log-loss."""
    import numpy as np

    spam = labels == 1
    return int(((logits > 0) == spam).sum()), -float(np.logaddexp(0, np.where(spam, -logits, logits)).mean())


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
