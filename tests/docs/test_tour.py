"""The notebook docs/tour.ipynb runs from a fresh clone, without a connection, and shows what it says."""

from __future__ import annotations

import ast
import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ablation.environment import PROJECT

TOUR = PROJECT / "docs" / "tour.ipynb"
CELLS: list[dict[str, Any]] = json.loads(TOUR.read_text(encoding="utf-8"))["cells"]
LONGEST_CELL = 900  # seconds on a machine that is busy with other tests


def test_the_notebook_is_kept_without_what_a_run_leaves() -> None:
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert len(code) >= 7 and all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    for cell in code:
        ast.parse("".join(cell["source"]))
    headings = [line for cell in CELLS for line in cell["source"] if line.startswith("## ")]
    assert [heading.split()[1] for heading in headings] == ["Run", "Losses", "Mistakes", "Is", "Classify", "Next"]


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbclient
    import nbformat

    for name in ("data", "ablation", *(file.name for file in PROJECT.glob("*.py"))):
        (tmp_path / name).symlink_to(PROJECT / name)
    (tmp_path / "docs").mkdir()
    shutil.copyfile(TOUR, tmp_path / "docs" / TOUR.name)
    for name in ("http_proxy", "https_proxy"):  # nobody answers there
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):  # of whoever runs the tests
        monkeypatch.setenv(name, str(tmp_path / "settings"))

    notebook = nbformat.read(tmp_path / "docs" / TOUR.name, as_version=4)
    where = {"metadata": {"path": str(tmp_path / "docs")}}
    nbclient.NotebookClient(notebook, timeout=LONGEST_CELL, kernel_name="python3", resources=where).execute()

    with (tmp_path / "results" / "demo" / "results.csv").open(newline="") as file:
        assert [row["row"] for row in csv.DictReader(file)] == ["5", "1"]
    shown = {cell["id"]: cell.get("outputs", []) for cell in notebook.cells}
    assert not [one for outputs in shown.values() for one in outputs if one.get("name") == "stderr"], shown
    for name in ("draw-losses", "draw-confusion"):
        assert any("image/png" in one.get("data", {}) for one in shown[name]), shown[name]
    (said,) = (one["text"] for one in shown["test"])
    assert "exact McNemar" in said and "another seed may say otherwise" in said
    (answers,) = (one["data"]["text/html"] for one in shown["answers"])
    assert re.findall("<td>(ham|spam)</td>", answers) == ["ham", "spam"]
