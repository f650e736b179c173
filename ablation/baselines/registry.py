"""All baselines by name: what each is, what of a command it takes, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ablation.baselines.baseline import Asked, Baseline, Fitted
from ablation.baselines.strengths import STRENGTHS_OF_STATES
from ablation.baselines.words import STRENGTHS, logistic_regression, majority_class
from ablation.config.baseline import DRAWS, BaselineConfig
from ablation.config.padding import PADDING

if TYPE_CHECKING:
    from ablation.baselines.baseline import Splits

# Settings by what they are about.
MODEL = ("hf_model", "model_size", "weights", "n_layers", "emb_dim", "n_heads", "precision")
READ = ("trainable_token_pos", "average_embeddings", "context_length", *PADDING, "disable_causal_mask")
FITTED = ("n_train",)
KEPT = ("feature_cache", "feature_cache_limit", "feature_memory")
ASKED = tuple(name for name in MODEL if name != "precision")  # in words: what is compared is float32
TRAINED = (
    *FITTED, "order_seed", "precision", "trainable_layers", "num_epochs", "batch_size", "accumulation_steps",
    "learning_rate", "weight_decay", "max_steps", "eval_freq", "eval_iter",
)  # fmt: skip


def _of_words(fit: Callable[[Splits, dict[str, Any]], Fitted]) -> Callable[[Asked], Fitted]:
    """Of a function that looks at the messages alone."""
    return lambda asked: fit(asked.splits, dict(asked.settings))


def _untrained(asked: Asked) -> Fitted:
    from ablation.baselines.untrained import untrained  # torch comes in only where it is used

    return untrained(asked)


def _frozen_features(asked: Asked) -> Fitted:
    from ablation.baselines.features import frozen_features

    return frozen_features(asked)


def _prompted(asked: Asked) -> Fitted:
    from ablation.baselines.prompted import prompted

    return prompted(asked)


def _fine_tuned(asked: Asked) -> Fitted:
    from ablation.baselines.tuned import fine_tuned

    return fine_tuned(asked)


def _answered_in_words(asked: Asked) -> None:
    from ablation.baselines.prompted import check_messages

    check_messages(asked)


def _in_batches(asked: Asked) -> None:
    """Raises DataError if the training messages do not fill a batch."""
    from ablation.data.encode import check_batch_size

    few = asked.config.n_train
    check_batch_size(asked.config.batch_size, len(asked.splits["train"]), f" with --n_train {few}" if few else "")


# ---- which settings change nothing, and why --------------------------------------------------------------------------


def _where_its_own_head_reads(config: BaselineConfig) -> str:
    return "with --hf_model, whose own head says what it reads" if config.hf_model is not None else ""


def _where_nothing_is_kept(config: BaselineConfig) -> str:
    return "with --hf_model, of which no features are kept" if config.hf_model is not None else ""


def _without_examples(config: BaselineConfig) -> str:
    return "" if config.shots else "without --shots: no training message stands before a question"


READ_BY_ITS_HEAD = dict.fromkeys(("trainable_token_pos", "average_embeddings"), _where_its_own_head_reads)
NOT_KEPT = dict.fromkeys(KEPT, _where_nothing_is_kept)
def _fine_tuned_as(name: str, what: str, hf_model: str | None = None) -> Baseline:
    """A pretrained model, fine-tuned: the one that is named, or that of the command."""
    own = ("hf_model",) if hf_model is None else ()
    return Baseline(
        f"{what}, fine-tuned",
        {"model": "fine-tuned"},
        _fine_tuned,
        takes=(*own, *TRAINED),
        fixed={} if hf_model is None else {"hf_model": hf_model},
        needs=own,
        check=_in_batches,
        draws=DRAWS[name],
    )


IN_SECONDS = ("B1", "B2", "B3")  # which need no model
BASELINES = {
    "B1": Baseline("majority class", {"model": "majority"}, _of_words(majority_class), takes=FITTED),
    "B2": Baseline(
        "word TF-IDF + logistic regression",
        {"model": "logistic", "analyzer": "word", "ngrams": [1, 1], "strengths": [1.0]},
        _of_words(logistic_regression),
        takes=FITTED,
    ),
    "B3": Baseline(
        "character (2–5) TF-IDF + logistic regression, strength chosen on validation",
        {"model": "logistic", "analyzer": "char", "ngrams": [2, 5], "strengths": list(STRENGTHS)},
        _of_words(logistic_regression),
        takes=FITTED,
    ),
    "B4": Baseline(
        "untrained: the model with its new head, no step",
        {"model": "untrained", "first_batches": 10},
        _untrained,
        takes=(*MODEL, *READ, *KEPT, "order_seed", "batch_size"),
        no_effect={**READ_BY_ITS_HEAD, **NOT_KEPT},
        check=_in_batches,
        draws=DRAWS["B4"],
    ),
    "B5": Baseline(
        "frozen features + logistic regression, strength chosen on validation",
        {"model": "features", "strengths": list(STRENGTHS_OF_STATES)},
        _frozen_features,
        takes=(*FITTED, *MODEL, *READ, *KEPT),
        no_effect=NOT_KEPT,
        draws=DRAWS["B5"],
    ),
    "B6": Baseline(
        "asked in words, with no example or with some (--shots)",
        {"model": "prompted", "train_messages": 80, "text_tokens": 23},
        _prompted,
        takes=(*FITTED, *ASKED, "shots", "shots_by", "calibrate"),
        no_effect={"n_train": _without_examples},
        check=_answered_in_words,
        draws=DRAWS["B6"],
    ),
    "B7": _fine_tuned_as("B7", "another pretrained model"),
    "B8": _fine_tuned_as("B8", "BERT base (bert-base-uncased)", "bert-base-uncased"),
    "B9": _fine_tuned_as("B9", "BERT large (bert-large-uncased)", "bert-large-uncased"),
}  # fmt: skip
