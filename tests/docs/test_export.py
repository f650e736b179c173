"""docs/export.md, typed from top to bottom: commands print what the page shows, figures aside, and its Python runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import export
from ablation.environment import PROJECT
from ablation.run.peft_adapters import ADAPTERS
from tests.docs.test_classify import COMMAND, without_figures

DOCUMENT = (PROJECT / "docs" / "export.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(console|python)\n(.*?)```", flags=re.DOTALL)
RUN = re.compile(r"1-123-[0-9a-f]{8}-\w+\.\w+Z")


def test_the_page_names_what_there_is() -> None:
    for target in export.TARGETS:
        assert f"\n| `{target}` |" in DOCUMENT and f"--to {target} " in DOCUMENT
    named = {"lora": "LoRA", "lora_alternative": "LoRA", "dora": "DoRA", "dylora": "DyLoRA", "ia3": "IA3"}
    assert named.keys() == ADAPTERS.keys()
    assert all(f"\n| {name} | " in DOCUMENT for name in named.values())
    assert {kind for kind, _ in BLOCK.findall(DOCUMENT)} == {"console", "python"}


@pytest.mark.slow
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("peft")
    for name in ("data", "ablation", *(file.name for file in PROJECT.glob("*.py"))):
        (tmp_path / name).symlink_to(PROJECT / name)

    def run(command: str | list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, shell=isinstance(command, str), cwd=tmp_path, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        )  # fmt: skip

    for kind, block in BLOCK.findall(DOCUMENT):
        if kind == "python":
            done = run([sys.executable, "-c", block])
            assert done.returncode == 0, done.stdout
            continue
        for command, shown in COMMAND.findall(block):
            first_row = next((path.name for path in tmp_path.glob("results/demo/runs/1-*")), "")
            command = RUN.sub(first_row, command).replace("python ", f"{sys.executable} ")
            done = run(command)
            assert done.returncode == (1 if "error: " in shown else 0), done.stdout
            printed = without_figures(done.stdout)
            for line in without_figures(shown):
                assert line in printed, f"{command}\n{done.stdout}"
