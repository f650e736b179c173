"""Settings of the baseline that asks a language model in words."""

from __future__ import annotations

from dataclasses import dataclass

from ablation.config.options import option
from ablation.config.values import integer

DRAWN, NEAREST = "drawn", "nearest"


@dataclass(frozen=True, kw_only=True)
class PromptSettings:
    """What stands before a question, and how its answer is read."""

    shots: int = option(0, "training messages that stand with their answers before each question", integer(0))
    shots_by: str = option(
        DRAWN,
        "which messages: drawn by the seed, as many of one label as of the other; or nearest, those most alike by"
        " TF-IDF",
        choices=(DRAWN, NEAREST),
    )
    calibrate: bool = option(
        False, "weigh the two answers by what the model answers to a question about nothing, such as N/A"
    )

    def prompt_problems(self) -> list[str]:
        """What is wrong with these settings together, one line per problem."""
        if self.shots_by == DRAWN or self.shots:
            return []
        return [
            f"--shots_by {self.shots_by} with --shots 0: there is no message to choose; give --shots 1 or more, or"
            " leave it out"
        ]
