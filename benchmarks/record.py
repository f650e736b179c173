"""What every benchmark leaves behind: raw figures, the table made from them, and what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ablation.environment import environment_stamp

RAW, ENVIRONMENT = "raw.json", "environment.json"


def write_record(folder: Path | None, results: Any, table: str) -> None:
    """Write ``raw.json``, ``table.md`` and ``environment.json`` into a folder, made if need be; nothing without one."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        RAW: json.dumps(results, indent=1),
        "table.md": table,
        ENVIRONMENT: json.dumps(environment(folder), indent=1),
    }
    for name, text in texts.items():
        (folder / name).write_text(text + "\n", encoding="utf-8")


def earlier_results(folder: Path | None) -> dict[str, Any]:
    """What a record holds already, by name, where its parts are measured one by one; empty if there is none."""
    return {} if folder is None else _read(folder / RAW)


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Not the report's: a benchmark's cells have no bars to escape, and its tables no line end."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows))


def environment(folder: Path) -> dict[str, Any]:
    """The machine, the versions, and the commands that the record comes from, each with its commit, the latest last."""
    import safetensors

    stamp = environment_stamp("cpu")
    part = {
        "command": " ".join(["python", *sys.argv]),
        "git_commit": stamp.pop("git_commit"),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load_average_5_minutes": os.getloadavg()[1],  # much above what the benchmark takes: others were at work
    }
    earlier = [entry for entry in _read(folder / ENVIRONMENT).get("parts", []) if entry["command"] != part["command"]]
    return {
        **stamp,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "safetensors_version": safetensors.__version__,
        "parts": [*earlier, part],
    }
