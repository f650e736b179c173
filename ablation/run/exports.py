"""What a trained model can be exported to: a registry. A new target is a module of this room and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ablation.run import export_book, export_huggingface, export_peft
from ablation.run.export_folder import Trained


@dataclass(frozen=True)
class Target:
    """One of them.

    Attributes:
        problem: why nothing can be written at a path, to stand behind it; empty if it can.
        check: raises ExportError if a run cannot be exported so; needs no weights.
        write: writes it, and returns what has to be said of it, one line each.
    """

    problem: Callable[[Path], str]
    check: Callable[[Trained], None]
    write: Callable[[Trained, Path], list[str]]


TARGETS: Mapping[str, Target] = {
    "huggingface": Target(export_huggingface.problem, export_huggingface.check, export_huggingface.write),
    "book": Target(export_book.problem, export_book.check, export_book.write),
    "peft": Target(export_peft.problem, export_peft.check, export_peft.write),
}
