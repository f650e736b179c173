"""What a pretrained model knows of messages without any fine-tuning: logistic regression on its frozen states."""

from __future__ import annotations

import time

from ablation.baselines.baseline import Asked, Fitted
from ablation.baselines.finite import check_finite
from ablation.baselines.models import open_model
from ablation.baselines.strengths import choose_strength


def frozen_features(asked: Asked) -> Fitted:
    """Logistic regression on the vector that a new head would read of each message, every component brought to mean 0
    and variance 1 on the training split.

    Raises:
        RunError: a vector is not finite.
        As :func:`ablation.baselines.models.open_model`.
    """
    from sklearn.preprocessing import StandardScaler

    with open_model(asked) as opened:
        with opened.watch.part("training"):
            vectors = {split: opened.frozen.vectors(split).double().cpu().numpy() for split in asked.task.splits}
            for split, own in vectors.items():
                check_finite(f"numbers in vectors of the {split} split", own, asked.config)
            labels = {split: opened.labels(split).cpu().numpy() for split in asked.task.splits}
        started = time.perf_counter()
        scaler = StandardScaler().fit(vectors["train"])
        features = {split: scaler.transform(own) for split, own in vectors.items()}
        fitted = choose_strength(features, labels, asked.settings["strengths"])
        fitting = time.perf_counter() - started
        spent = opened.watch.spent()
    seconds = spent.get("features", 0.0) + spent["training"] + fitting
    fitted.columns = {
        **opened.columns,
        "trainable_parameters": fitted.parameters,
        "training_minutes": round(seconds / 60, 4),
    }
    return fitted
