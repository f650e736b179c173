"""What a finished run comes to, as a person reads it: its figures, what they are compared with, and where they stand.

The run's whole record is in its folder; here is what somebody who has just waited for it wants to know first.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ablation.config.experiment import ExperimentConfig, variant_settings
from ablation.config.flags import typed
from ablation.config.settings import LANGUAGE_MODEL, CommonSettings
from ablation.data.demo import disclaimer
from ablation.environment import python_command
from ablation.listener import Count
from ablation.results.costs import Costs, in_words
from ablation.results.log import RUN_JSON, RUNS_FOLDER
from ablation.results.read import DATA_DIGEST, FinishedRun, as_row, read_results
from ablation.results.result import ExperimentResult
from ablation.results.task import Metric, Task
from ablation.words import duration


@dataclass(frozen=True)
class Beside:
    """What a run's figures are compared with.

    Attributes:
        title: over their column.
        cells: the figures, by the name of the metric.
        time: how long that took; empty if it is not known.
        note: in words, what they are of.
    """

    title: str
    cells: Mapping[str, str]
    time: str = ""
    note: str = ""


NOTHING = Beside("", {})


@dataclass(frozen=True)
class Summary:
    """A finished run, its rows as appended, and the results that it is now one of.

    Attributes:
        majority: per split, what answering always alike would get.
        others: the runs of the results on the same examples; this run is one of them.
    """

    task: Task
    config: Any
    rows: Sequence[Mapping[str, Any]]
    majority: Mapping[str, Count]
    others: Sequence[FinishedRun]

    @classmethod
    def of(
        cls, task: Task, config: ExperimentConfig, rows: Sequence[Mapping[str, Any]], majority: Mapping[str, Count]
    ) -> Summary:
        """Look at the results folder of the configuration."""
        return cls(task, config, rows, majority, runs_alike(task, config, rows))

    @classmethod
    def of_result(cls, task: Task, result: ExperimentResult, rows: Sequence[Mapping[str, Any]]) -> Summary:
        """Of a result whose rows were appended."""
        return cls.of(task, result.config, rows, result.answers.majority)

    @property
    def folder(self) -> Path:
        return Path(self.config.results_dir) / RUNS_FOLDER / str(self.rows[0]["run_id"])

    @property
    def baselines(self) -> list[FinishedRun]:
        return [run for run in self.others if run.is_baseline]

    def describe(self) -> str:
        """As lines for a person."""
        csv = Path(self.config.results_dir) / self.task.csv_name
        appended = "row" if len(self.rows) == 1 else f"{len(self.rows)} rows"
        return "\n".join(
            [
                f"result: {self._name()}",
                *self.figures(),
                *self._costs(),
                *([disclaimer(self.config.own_data).long] if self.config.demo else []),
                f"{appended} appended to {csv}",
                f"full record: {self.folder / RUN_JSON}",
            ]
        )

    def figures(self) -> list[str]:
        """What the run found out, and where it stands."""
        beside, lines = self._beside(), list[str]()
        for row in self.rows:
            lines += [self._table(row, beside), *self.standing(row), *_forgetting(row)]
        return [*lines, *([beside.note] if beside.note else [])]

    def ways_to_use(self) -> dict[str, str]:
        """What can be done with the model that was kept, in a few words, and the command that does it."""
        folder = shlex.quote(str(self.folder))
        return {"ask the model": f'{python_command()} classify.py --model {folder} "a message"'}

    def _name(self) -> str:
        """Which experiment it was."""
        row, seed = self.rows[0]["row"], f"seed {self.config.seed}"
        settings = {name: value for name, value in variant_settings(self.config).items() if name != "demo"}
        if self.config.order_seed is not None:
            seed += f" (order {self.config.order_seed})"
        name = f"row {row}" if row else f"variant {typed(settings) or 'by its weights or messages'}"
        if self.config.weights == LANGUAGE_MODEL:  # the settings do not say which
            name += f" (weights {self.rows[0]['weights_digest'][:8]})"
        return f"{'demo, ' if self.config.demo else ''}{name}, {seed}"

    def _costs(self) -> list[str]:
        """What it trained and takes; of a row that does not say so, nothing."""
        row = self.rows[0]
        if any(row.get(field.name) is None for field in fields(Costs)):
            return []
        return [f"{title}: {text}" for title, text in in_words(row).items()]

    # ---- what it is compared with ------------------------------------------------------------------------------------

    def _beside(self) -> Beside:
        """The published row, where the run is one; else the best of the baselines in the results; else the simplest of
        them all."""
        row = self.rows[0]["row"]
        published = self.task.published().get(str(row)) if row and not self.config.demo else None
        if published is not None:
            cells = {metric.name: f"{published[metric.name]} %" for metric in self.task.metrics if metric.split}
            if "training_minutes" not in published:  # of a row that stands in no table
                return Beside("published", cells, note=f"published: {published['source']}")
            return Beside("published", cells, f"{published['training_minutes']} min ({published['device']})")
        if cheap := [run for run in self.baselines if run["row"] not in self.task.tuned_baselines]:
            return self._best_baseline(cheap)
        cells = {
            metric.name: _percent(self.majority[metric.split])
            for metric in self.task.metrics
            if metric.split is not None and metric.split in self.majority
        }
        note = "majority: the label that most training examples have, given as the answer to all"
        return Beside("majority", cells, note=note) if cells else NOTHING

    def _best_baseline(self, cheap: list[FinishedRun]) -> Beside:
        """The one of them that is best on the split that chooses."""
        choosing = self.task.chooser
        best = max(cheap, key=lambda run: _goodness(choosing, run.values[choosing.name]))
        cells = {metric.name: _value(metric, best.values[metric.name]) for metric in self.task.metrics}
        what = self.task.baselines.get(best["row"], "")
        note = f"{best['row']}: {what}; of the cheap baselines in these results the best on {choosing.split}"
        return Beside(best["row"], cells, duration(60 * best.training_minutes), note)

    # ---- the figures -------------------------------------------------------------------------------------------------

    def _table(self, row: Mapping[str, Any], beside: Beside) -> str:
        settings = " ".join(f"{name}={row[name]}" for name in self.task.evaluation_columns)
        lines = [(settings, "this run", "", beside.title)]
        for metric in self.task.metrics:
            counts = ""
            if metric.split is not None:
                counts = f"{row[f'{metric.split}_correct']:,} of {row[f'{metric.split}_total']:,}"
            lines.append((metric.title, _value(metric, row[metric.name]), counts, beside.cells.get(metric.name, "")))
        lines.append(("training time", duration(60 * row["training_minutes"]), "", beside.time))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            f"  {name:{widths[0]}}{own:>{widths[1] + 3}}{count:>{widths[2] + 3}}{other:>{widths[3] + 3}}".rstrip()
            for name, own, count, other in lines
        )

    def shown(self, metric: Metric, value: float) -> str:
        """A share in percent, anything else as it is."""
        return _value(metric, value)

    # ---- where it stands ---------------------------------------------------------------------------------------------

    def standing(self, row: Mapping[str, Any]) -> list[str]:
        """The run's place among the configurations on the same examples, seeds averaged; baselines do not count."""
        metric = self.task.headline
        evaluation = {name: str(row[name]) for name in self.task.evaluation_columns if row[name] is not None}
        values: dict[str, list[FinishedRun]] = {}
        for run in self.others:
            if not run.is_baseline and run.evaluation == evaluation:
                values.setdefault(run.key, []).append(run)
        own = next((runs for runs in values.values() if any(r["run_id"] == row["run_id"] for r in runs)), None)
        if own is None:  # somebody took it away
            return []
        if len(values) == 1:
            return ["standing: the only configuration in these results so far"]
        means = {id(runs): _goodness(metric, statistics.fmean(r.values[metric.name] for r in runs))
                 for runs in values.values()}  # fmt: skip
        better = sum(mean > means[id(own)] for mean in means.values())
        best = max(values.values(), key=lambda runs: means[id(runs)])
        text = f"standing: place {better + 1} of {len(values)} configurations in these results by {metric.title}"
        if any(len(runs) > 1 for runs in values.values()):
            text += ", the mean over seeds"
        if better:
            text += f"; first is {_name_of(best[0])} with {self.shown(metric, abs(means[id(best)]))}"
        return [text]


def runs_alike(task: Task, config: CommonSettings, rows: Sequence[Mapping[str, Any]]) -> list[FinishedRun]:
    """The runs of the configuration's results on the examples of these rows, trained on as many of them."""
    try:
        found, _ = read_results(Path(config.results_dir), task)
    except OSError:  # the run is kept, whoever may read it
        found = []
    mine = [str(rows[0].get(column) or "") for column in ("data_digest", "n_train")]
    return [run for run in found if [run["data_digest"], run["n_train"]] == mine]


def _forgetting(row: Mapping[str, Any]) -> list[str]:
    """How much worse the model predicts text than its base did; nothing where that was not measured."""
    before, after = row.get("perplexity_before"), row.get("perplexity_after")
    if before is None or after is None:
        return []
    return [f"forgetting: perplexity of held-out text {before:,.2f} before, {after:,.2f} after"]


def _goodness(metric: Metric, value: float) -> float:
    """Larger for the better one."""
    return value if metric.more_is_better else -value


def _percent(count: Count) -> str:
    return f"{100 * count.accuracy:.2f} %"


def _value(metric: Metric, value: float) -> str:
    """A share in percent, anything else as it is."""
    return f"{metric.scale * value:.2f} %" if metric.split is not None else f"{value:.4f}"


def _name_of(run: FinishedRun) -> str:
    as_published = as_row(run, run[DATA_DIGEST])
    return f"row {as_published.row}" if as_published.row else f"variant {typed(as_published.settings)}"
