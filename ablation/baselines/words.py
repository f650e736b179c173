"""The cheap models that a trained row has to beat: the majority class, and linear models on words and characters.

Each is fitted on the training split alone; what has to be chosen is chosen on the validation split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ablation.baselines.baseline import Fitted
from ablation.baselines.strengths import choose_strength

if TYPE_CHECKING:
    from ablation.baselines.baseline import Splits

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)  # candidates for C, the inverse of the regularisation


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

    ngrams = tuple(settings["ngrams"])
    vectorizer = TfidfVectorizer(analyzer=settings["analyzer"], ngram_range=ngrams, sublinear_tf=True)
    vectorizer.fit(splits["train"]["Text"])
    features = {name: vectorizer.transform(split["Text"]) for name, split in splits.items()}
    labels = {name: split["Label"].to_numpy() for name, split in splits.items()}
    return choose_strength(features, labels, settings["strengths"])
