"""Another pretrained model, fine-tuned as the rows are: the published loop, order of batches and optimizer."""

from __future__ import annotations

from ablation.baselines.baseline import Asked, Fitted
from ablation.baselines.models import open_model
from ablation.results.run_folder import LOSSES_CSV, history_fields, losses_csv
from ablation.run.experiment import final_answers
from ablation.run.finite import FiniteGuard
from ablation.run.training import train


def fine_tuned(asked: Asked) -> Fitted:
    """The model after its epochs; as in a row its training accuracy is of a last shuffled pass of whole batches.

    Raises:
        RunError: a loss is not finite; or as :func:`ablation.baselines.models.open_model`.
    """
    config, task = asked.config, asked.task
    most = int(asked.splits["train"]["Label"].value_counts().sort_index().argmax())
    guard = FiniteGuard(config)
    with open_model(asked) as opened:
        execution, loaders = opened.execution, opened.loaders(config.batch_size)
        with opened.watch.part("training"):
            history = train(task, execution, loaders, config, asked.listener, guard=guard)
        answers = final_answers(task, execution, loaders, most, guard)
        trained = sum(parameter.numel() for parameter in execution.trainable_parameters())
        minutes = round(opened.watch.spent()["training"] / 60, 4)
    return Fitted(
        {split: logits.double().numpy() for split, logits in answers.logits.items()},
        counts=dict(answers.counts),
        columns={**opened.columns, "trainable_parameters": trained, "training_minutes": minutes},
        files={LOSSES_CSV: losses_csv(history.evaluations)},
        further={"history": history_fields(history)},
    )
