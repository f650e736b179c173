"""What a finished run of the language model comes to, as a person reads it: perplexities, BLEU by way of decoding,
sentences, and the published figures beside those of a published row."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from ablation.config.decoding import GREEDY, short
from ablation.config.generation import LanguageModelConfig
from ablation.environment import python_command
from ablation.results.language_model import LanguageModelResult
from ablation.results.language_model_record import PERPLEXITIES, QUALITIES
from ablation.results.task import Metric, Task
from ablation.run.summary import Summary, runs_alike
from ablation.words import duration, plural

BLEUS = ("forward", "backward", "harmonic")
WIDTH = 78  # of a line with a sentence in it
PUBLISHED, NONE = "published", "–"


@dataclass(frozen=True)
class SentenceSummary(Summary):
    """See :class:`ablation.run.summary.Summary`.

    Attributes:
        spoken: the first sentence of each way of decoding.
    """

    spoken: Sequence[str] = ()

    @classmethod
    def of_result(cls, task: Task, result: Any, rows: Sequence[Mapping[str, Any]]) -> SentenceSummary:
        """Of a result whose rows were appended."""
        found: LanguageModelResult = result
        first = tuple(one.texts[0] for one in found.spoken)
        return cls(task, found.config, rows, {}, runs_alike(task, found.config, rows), first)

    def figures(self) -> list[str]:
        """What the run found out, and where it stands."""
        lines = [*self._training(), *self._reached(), *self.standing(self.rows[0])]
        if self.rows[0]["decoding"] is None:
            return [*lines, "generated: nothing (--n_samples 0)"]
        return [*lines, *self._bleu(), *self._sentences()]

    def ways_to_use(self) -> dict[str, str]:
        """What can be done with the model that was kept, in a few words, and the command that does it."""
        run = f"{python_command()} {self.task.command} --run {shlex.quote(str(self.folder))}"
        return {"let it speak": f"{run} --generate A", "more rows": f"{run} --decoding greedy"}

    def shown(self, metric: Metric, value: float) -> str:
        """Perplexities as they are published."""
        return f"{value:,.2f}"

    # ---- the training ------------------------------------------------------------------------------------------------

    def _training(self) -> list[str]:
        """Perplexities, which epoch was the best, and how long it took."""
        row, published = self.rows[0], self._published
        lines = [("", "this run", PUBLISHED if published else "")]
        for metric in self.task.metrics:
            if metric.name not in QUALITIES:
                beside = published.get(metric.name, NONE if published else "")
                lines.append((metric.title, self.shown(metric, row[metric.name]), beside))
        lines.append(("best epoch", f"{row['best_epoch']} of {row['epochs']}", ""))
        lines.append(("training time", duration(60 * row["training_minutes"]), ""))
        return _in_columns(lines)

    def _reached(self) -> list[str]:
        """After how many steps it came to the perplexities that are asked about; nothing where to none of them."""
        steps = {perplexity: self.rows[0][f"steps_to_{perplexity}"] for perplexity in PERPLEXITIES}
        reached = [f"{perplexity} after {plural(count, 'step')}" for perplexity, count in steps.items() if count]
        return [f"validation perplexity: {', '.join(reached)}"] if reached else []

    @property
    def _published(self) -> Mapping[str, str]:
        """The published figures, where the run is a published row."""
        row = self.rows[0]["row"]
        return self.task.published().get(str(row), {}) if row and not self.config.demo else {}

    # ---- what it says ------------------------------------------------------------------------------------------------

    def _bleu(self) -> list[str]:
        """A table of BLEU; beside it, where there is such a thing, the same as published."""
        beside = [self._published_bleu(row) for row in self.rows]
        heads: list[tuple[str, ...]] = [("", *BLEUS)]
        if any(beside):
            heads = [("", "", "this run", "", "", PUBLISHED, ""), ("", *BLEUS, *BLEUS)]
        lines = [
            (_way(row), *(_three_digits(row[f"{name}_bleu"]) for name in BLEUS), *own)
            for row, own in zip(self.rows, beside, strict=True)
        ]
        title = f"BLEU-4 of {plural(self.rows[0]['n_samples'], 'sentence')} each and the test sentences:"
        return [title, *_in_columns([*heads, *lines], apart=2)]

    def _published_bleu(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """What is published of this way of decoding; nothing where that cuts elsewhere."""
        usual = LanguageModelConfig()
        cuts = {"top_k": usual.top_k, "top_p": usual.top_p}
        if any(row[name] not in (None, cut) for name, cut in cuts.items()):
            return ()
        names = [f"{name}_bleu {row['decoding']} {float(row['temperature'])}" for name in BLEUS]
        found = [self._published[name] for name in names if name in self._published]
        return tuple(found) if len(found) == len(names) else ()

    def _sentences(self) -> list[str]:
        """The first sentence of each way."""
        if not self.spoken:
            return []
        titles = [_way(row) for row in self.rows]
        width = max(map(len, titles))
        shown = ["".join(letter if letter.isprintable() else " " for letter in text) for text in self.spoken]
        lines = [f"  {title:{width}}  {text}" for title, text in zip(titles, shown, strict=True)]
        cut = [line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in lines]
        return ["the first sentence of each; the others are in the run's folder:", *cut]


def _way(row: Mapping[str, Any]) -> str:
    """A way of decoding in a word or two: ``top_p 0.7``, the last being the temperature."""
    name, temperature = str(row["decoding"]), float(row["temperature"])
    return name if name == GREEDY else f"{name} {short(temperature)}"


def _three_digits(value: float | None) -> str:
    return NONE if value is None or math.isnan(value) else f"{value:.3f}"


def _in_columns(lines: Sequence[Sequence[str]], apart: int = 3) -> list[str]:
    """The first column to the left, the others to the right; a line with fewer cells leaves the last ones empty."""
    columns = list(zip_longest(*lines, fillvalue=""))
    first, *widths = [max(map(len, column)) for column in columns]
    return [
        "  " + (f"{line[0]:{first}}" + "".join(
            f"{cell:>{width + apart}}" for cell, width in zip(line[1:], widths, strict=False)
        )).rstrip()
        for line in lines
    ]  # fmt: skip
