"""What is wrong with a command that asks something of saved models, before any of them is looked for."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from ablation.config.flags import threshold_problems
from ablation.config.path_problems import weights_path_problems
from ablation.data.inbox import STANDARD_INPUT

WORK = ("message", "file", "evaluate", "merge")  # a command asks for one of them
CHECKPOINTS = (".pth", ".pt", ".safetensors")


def checkpoint_problem(target: Path) -> str:
    """Why no whole model can be written there; empty if it can."""
    if target.suffix not in CHECKPOINTS:
        return f"give a file whose name ends in {', '.join(CHECKPOINTS)}"
    return "give a file in a folder that is there" if target.is_dir() or not target.absolute().parent.is_dir() else ""


def command_problems(options: Namespace) -> list[str]:
    """One line per problem."""
    given = [name for name in WORK if getattr(options, name)]
    problems = []
    if len(given) != 1 and (given or options.model is not None):
        what = " and ".join(given) or "nothing to do"
        problems.append(f"{what}: give messages, or --file, or --evaluate, or --merge")
    for name in ("file", "evaluate"):
        path = getattr(options, name)
        if path == STANDARD_INPUT and sys.stdin is None:
            problems.append(f"--{name} -: standard input is closed; give a file")
        elif path not in (None, STANDARD_INPUT) and not Path(path).is_file():
            what = "is a folder" if Path(path).is_dir() else "no such file"
            problems.append(f"--{name} {path}: {what}; give a file of messages, or -")
    if options.merge is not None and (problem := checkpoint_problem(Path(options.merge))):
        problems.append(f"--merge {options.merge}: {problem}")
    problems.extend(weights_path_problems(options.weights_path))
    if options.threads is not None and options.threads < 1:
        problems.append(f"--threads {options.threads}: give a whole number of at least 1")
    problems.extend(threshold_problems(options.threshold))
    return problems + _contradictions(options)


def _contradictions(options: Namespace) -> list[str]:
    """Flags that do not go together, one line per problem."""
    from_file = options.file is not None or options.evaluate is not None
    format_, evaluated, models = options.format, options.evaluate is not None, len(options.model or ())
    wrong = {
        f"--json with --format {format_}: give one of the two": options.json and format_ not in (None, "jsonl"),
        "--evaluate with --format csv: its figures are no table; give text or jsonl": evaluated and format_ == "csv",
        "--show_positions with --evaluate: give one of the two": evaluated and options.show_positions,
        f"--show_positions with {models} models: it shows one; give one --model": (
            options.show_positions and models > 1
        ),
        f"--merge with {models} models: it writes one; give one --model": options.merge is not None and models > 1,
        "--text_column without a file: give --file or --evaluate": options.text_column is not None and not from_file,
        "--label_column without --evaluate: only there labels are read": (
            options.label_column is not None and not evaluated
        ),
    }
    return [problem for problem, is_so in wrong.items() if is_so]
