"""Logistic regression whose strength is chosen on the validation split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ablation.baselines.baseline import Fitted, all_logits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_ITERATIONS = 1000
STRENGTHS_OF_STATES = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)  # of features that all have variance 1


def choose_strength(
    features: Mapping[str, Any], labels: Mapping[str, NDArray[np.int64]], strengths: Sequence[float]
) -> Fitted:
    """Fit one model for each strength to the training split, and keep that of the best :func:`quality` on validation.

    Args:
        features: per split, (N, D), dense or sparse.
        labels: per split, (N,).
        strengths: candidates for C, the inverse of the regularisation.
    """
    from sklearn.linear_model import LogisticRegression

    models = [
        LogisticRegression(C=strength, max_iter=MOST_ITERATIONS).fit(features["train"], labels["train"])
        for strength in strengths
    ]
    qualities = [quality(model.decision_function(features["validation"]), labels["validation"]) for model in models]
    best = models[qualities.index(max(qualities))]
    return Fitted(
        {name: best.decision_function(features[name]) for name in features},
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
