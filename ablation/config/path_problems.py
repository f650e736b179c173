"""What is wrong with the paths of a command, one line per problem, before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def folder_problems(folders: Mapping[str, str | Path]) -> list[str]:
    """One line for each of some flags (by name) that is given a file, or something below one, for a folder."""
    problems = []
    for name, given in folders.items():
        folder = Path(given).absolute()
        obstacle = next((path for path in (folder, *folder.parents) if path.exists()), folder)
        if obstacle.is_file():
            problems.append(f"--{name} {given}: {obstacle} is a file; give a folder")
    return problems


def file_problems(files: Mapping[str, str]) -> list[str]:
    """One line for each of some flags (by name) that names no file."""
    return [
        f"--{name} {file}: {'is a folder' if Path(file).is_dir() else 'no such file'}; check the path"
        for name, file in files.items()
        if not Path(file).is_file()
    ]


def path_problems(results_dir: str, weights_path: str | None) -> list[str]:
    """What is wrong with the paths of a command, one line per problem."""
    problems = []
    folder = Path(results_dir).absolute()
    obstacle = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if obstacle is not None and not obstacle.is_dir():
        problems.append(f"--results_dir {results_dir}: {obstacle} is a file; give a folder")
    elif obstacle is not None and not os.access(obstacle, os.W_OK):
        problems.append(f"--results_dir {results_dir}: {obstacle} cannot be written to; give another folder")
    return problems + weights_path_problems(weights_path)


def weights_path_problems(weights_path: str | None) -> list[str]:
    """Whether there is nothing at the path, neither as such nor as the prefix of a TensorFlow checkpoint."""
    if weights_path is None or Path(weights_path).exists() or Path(f"{weights_path}.index").exists():
        return []
    return [f"--weights_path {weights_path}: no such file or folder; check the path"]
