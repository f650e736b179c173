"""The commands that a report suggests, typed as its reader types them: the same task and the same folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablation.config.baseline import DRAWS
from ablation.config.flags import typed
from ablation.config.generation_rows import GENERATION
from ablation.config.settings import DEMO_RESULTS_DIR, RESULTS_DIR, SHAPE_OVERRIDES
from ablation.results.log import RUNS_FOLDER
from ablation.results.questions import Family, Side, base_of_side, row_and_settings
from ablation.results.runs import TASK_OF_OLD_RUNS
from ablation.results.task import Task
from ablation.words import in_ranges

RUN = "RUN"  # stands for the folder of a run that is still to be made
FOLDER = "FOLDER"  # stands for where the reader has a model of somebody else's
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
        settings = {**family.overrides, **settings}
        seeds = f"--seeds {DEFAULT_SEEDS}" if row in DRAWS and DRAWS[row](settings) else ""
        if "hf_model" in settings:  # a question knows it by its own name, wherever it lies
            settings["hf_model"] = f"{FOLDER}/{settings['hf_model']}"
        return self.baselines([row], f"{typed(settings)} {seeds}".strip())

    def baselines(self, names: Iterable[str] = (), flags: str = "") -> str:
        """Run these baselines, or those that are fitted in seconds."""
        rows = ",".join(names)
        parts = ["python baselines.py", "--demo" if self.demo else "", f"--rows {rows}" if rows else "", flags]
        parts += [*(f"--{name} {shlex.quote(value)}" for name, value in self.own_data.items()), self._folder]
        return " ".join(filter(None, parts))

    def sweep(self, sides: Iterable[Side], family: Family, seeds: str = DEFAULT_SEEDS) -> str:
        """Run these rows as a family has them; a command for each setting that some have on top, ``; `` between. Before
        rows on a language model comes the command that trains it."""
        by_settings: dict[tuple[str, str], list[int]] = {}
        for side in sides:
            row, settings = row_and_settings(side)
            base, own = self._base(side), {**family.overrides, **settings}
            flags = typed(self._on_base(own) if base else own)
            by_settings.setdefault((base, flags), []).append(int(row))
        about = (f"--task {self.task} " if self.task else "") + ("--demo " if self.demo else "")
        commands = []
        for (base, flags), rows in by_settings.items():
            parts = [f"python sweep.py {about}--rows {in_ranges(sorted(rows))} --seeds {seeds}", flags, self._folder]
            commands += [*filter(None, [base]), " ".join(filter(None, parts))]
        return "; ".join(commands)

    def _base(self, side: Side) -> str:
        """Train the language model that a side starts from, and keep it; empty where it starts from none."""
        base = base_of_side(side)
        if base is None:
            return ""
        parts = [f"python {GENERATION.program}", typed(base), "--save_model --n_samples 0", self._folder]
        return " ".join(filter(None, parts))

    def _on_base(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings as they are typed on a language model: the folder of its run says weights and shape."""
        own = {name: value for name, value in settings.items() if name not in ("weights", *SHAPE_OVERRIDES)}
        return {**own, "weights_path": (self.results_dir or self._usual) / RUNS_FOLDER / RUN}

    @property
    def _usual(self) -> Path:
        return Path(DEMO_RESULTS_DIR if self.demo else RESULTS_DIR)

    @property
    def _folder(self) -> str:
        """The flag of the folder; empty where it is the usual one."""
        if self.results_dir is None or self.results_dir.resolve() == self._usual.resolve():
            return ""
        return f"--results_dir {shlex.quote(str(self.results_dir))}"
