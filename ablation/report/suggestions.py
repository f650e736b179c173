"""The commands that a report suggests, typed as its reader types them: the same task and the same folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ablation.config.flags import typed
from ablation.config.settings import DEMO_RESULTS_DIR, RESULTS_DIR
from ablation.results.questions import Family, Side, row_and_settings
from ablation.results.runs import TASK_OF_OLD_RUNS
from ablation.results.task import Task
from ablation.words import in_ranges

DEFAULT_SEEDS = "123-132"  # ten: the fewest with which the sign-flip test can say anything


@dataclass(frozen=True)
class Suggestions:
    """Commands that add to the results of a folder.

    Attributes:
        results_dir: None stands for the folder that commands take if none is given.
        demo: runs are those of the demo.
        own_data: the flags that name the user's own data, where runs are on such.
        task: what a sweep has to be told that it is about; empty for what it is about by itself.
    """

    results_dir: Path | None = None
    demo: bool = False
    own_data: Mapping[str, str] = field(default_factory=dict)
    task: str = ""

    def about(self, task: Task) -> Suggestions:
        """The same for runs of a task: a sweep is told its name, unless it is about that task by itself."""
        return replace(self, task="" if task.name == TASK_OF_OLD_RUNS else task.name)

    def baseline(self, side: Side, family: Family) -> str:
        """Run one as a family has it, with the seeds that it is compared over."""
        row, settings = row_and_settings(side)
        return self.baselines([row], f"{typed({**family.overrides, **settings})} --seeds {DEFAULT_SEEDS}".strip())

    def baselines(self, names: Iterable[str] = (), flags: str = "") -> str:
        """Run these baselines, or those that are fitted in seconds."""
        rows = ",".join(names)
        parts = ["python baselines.py", "--demo" if self.demo else "", f"--rows {rows}" if rows else "", flags]
        parts += [*(f"--{name} {shlex.quote(value)}" for name, value in self.own_data.items()), self._folder]
        return " ".join(filter(None, parts))

    def sweep(self, sides: Iterable[Side], family: Family, seeds: str = DEFAULT_SEEDS) -> str:
        """Run these rows as a family has them; a command for each setting that some have on top, ``; `` between."""
        by_settings: dict[str, list[int]] = {}
        for side in sides:
            row, settings = row_and_settings(side)
            by_settings.setdefault(typed({**family.overrides, **settings}), []).append(int(row))
        about = (f"--task {self.task} " if self.task else "") + ("--demo " if self.demo else "")
        return "; ".join(
            " ".join(filter(None, [f"python sweep.py {about}--rows {in_ranges(sorted(rows))} --seeds {seeds}",
                                   flags, self._folder]))
            for flags, rows in by_settings.items()
        )  # fmt: skip

    @property
    def _folder(self) -> str:
        """The flag of the folder; empty where it is the usual one."""
        usual = Path(DEMO_RESULTS_DIR if self.demo else RESULTS_DIR)
        if self.results_dir is None or self.results_dir.resolve() == usual.resolve():
            return ""
        return f"--results_dir {shlex.quote(str(self.results_dir))}"
