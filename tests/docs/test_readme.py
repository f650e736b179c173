"""The README's screen is what a run prints at its end, made from the record of one that ships.

``python -m tests.docs.test_readme`` renews it.
"""

from __future__ import annotations

import json

from ablation.commands import fold
from ablation.config.rows import row_config
from ablation.environment import PROJECT
from ablation.report.documents import replace_block
from ablation.results.read import read_results
from ablation.run.summary import Summary
from ablation.tasks.spam import SPAM

README = PROJECT / "README.md"


def screen() -> str:
    """The end of the run of row 10, as if its results folder held nothing else."""
    reference = PROJECT / "results" / "reference"
    (run,) = (run for run in read_results(reference, SPAM)[0] if run["row"] == "10")
    record = json.loads((reference / "runs" / run["run_id"] / "run.json").read_text(encoding="utf-8"))
    text = Summary(SPAM, row_config(10), [record], {}, [run]).describe()
    return f"```\n{fold(text, 80)}\n```"


def renewed() -> str:
    return replace_block(README.read_text(encoding="utf-8"), "screen", screen())


def test_the_readme_shows_what_the_recorded_run_prints() -> None:
    assert README.read_text(encoding="utf-8") == renewed()
    assert "281 of 300" in screen() and "published" in screen()


if __name__ == "__main__":
    README.write_text(renewed(), encoding="utf-8")
