"""The settings that classifiers have besides those of all experiments: steps, features that are kept, forgetting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ablation.config.options import option, run_option
from ablation.config.settings import RANDOM, CommonSettings
from ablation.config.values import integer, number


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings(CommonSettings):
    """What every experiment has, and how a classifier is trained and computed."""

    SPARES_MEMORY: ClassVar = (
        "(and more --accumulation_steps), a smaller --feature_memory, fewer trainable layers or a smaller --model_size"
    )

    accumulation_steps: int = option(1, "batches whose gradients are added up before each update", integer(1))
    weight_decay: float = option(0.1, "AdamW's weight decay, on what --decayed says", number(positive=False))
    eval_freq: int = option(50, "batches between two evaluations of the losses", integer(1))
    eval_iter: int = option(5, "batches per evaluation during training", integer(1))
    feature_memory: float | None = run_option(
        None,
        "GB of hidden states to hold at a time, more of them go to a file in the temporary folder (TMPDIR);"
        " the smaller of 2 and a quarter of the free memory if not given",
        number(positive=True),
    )
    feature_cache: str | None = run_option(
        None, "folder to keep features in, for later runs of this and other rows; nothing is kept if not given"
    )
    feature_cache_limit: float = run_option(
        20.0,
        "GB of --feature_cache; those not used for longest are deleted to make room",
        number(positive=True),
    )
    measure_forgetting: bool = run_option(
        False, "perplexity of held-out text before and after training; in the results and the run's last lines"
    )
    held_out_text: str | None = run_option(
        None,
        "text of your own for --measure_forgetting, one sentence a line; if not given captions/test.txt in --data_dir,"
        " or with --demo its test messages",
    )

    @property
    def reads_data_dir(self) -> bool:
        captions = self.measure_forgetting and self.held_out_text is None and not self.demo
        return captions or super().reads_data_dir

    def problems(self) -> list[str]:
        problems = super().problems()
        if self.measure_forgetting and self.weights == RANDOM:
            problems.append(
                "--measure_forgetting with --weights random: there is nothing to forget yet; leave one of the two out"
            )
        return problems
