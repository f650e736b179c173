"""What to do after a run: at most three commands, each as it can be typed, with the user's own folders."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ablation.config.experiment import DEMO_RESULTS_DIR, RESULTS_DIR
from ablation.config.flags import report_command
from ablation.environment import python_command
from ablation.run.dry_run import next_command
from ablation.run.summary import Summary

MOST = 3


@dataclass(frozen=True)
class Step:
    """Something to do, in a few words, and the command that does it."""

    what: str
    command: str


def next_steps(summary: Summary) -> list[Step]:
    """What a finished run suggests, the nearest first."""
    task, config = summary.task, summary.config
    usual = DEMO_RESULTS_DIR if config.demo else RESULTS_DIR
    results = "" if config.results_dir == usual else f" --results_dir {shlex.quote(config.results_dir)}"
    steps = [Step("all results", report_command(config.results_dir, config.data_dir))]
    uses = [Step(what, command) for what, command in summary.ways_to_use().items()] if config.save_model else []
    steps += uses[:1]
    if config.demo:
        command, megabytes = next_command(task, config)
        steps.append(Step(f"with GPT-2 ({megabytes:.0f} MB)" if megabytes else "with GPT-2", command))
    if task.baselines and not summary.baselines:
        data = "" if config.data_dir == type(config)().data_dir else f" --data_dir {shlex.quote(config.data_dir)}"
        own = "".join(f" --{name} {shlex.quote(str(value))}" for name, value in config.own_data_settings().items())
        few = "" if (count := getattr(config, "n_train", None)) is None else f" --n_train {count}"
        flags = (" --demo" if config.demo else data) + own + few
        steps.append(Step("what to beat", f"{python_command()} baselines.py{flags}{results}"))
    return [*steps, *uses[1:]][:MOST]


def show_steps(steps: Sequence[Step], width: int | None) -> str:
    """A line per step; where that would be wider than ``width``, the command stands on a line of its own."""
    longest = max(len(step.what) for step in steps)
    lines = ["next:"]
    for step in steps:
        line = f"  {step.what:{longest}}  {step.command}"
        lines += [line] if width is None or len(line) <= width else [f"  {step.what}", f"  {step.command}"]
    return "\n".join(lines)
