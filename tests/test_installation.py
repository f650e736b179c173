"""What ``pip install`` takes with it: the packages for notebooks, and a word on what stays in the repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
SETUPTOOLS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def test_all_that_modules_need_beside_them_is_installed() -> None:
    data = {path for folder, patterns in SETUPTOOLS["package-data"].items()
            for pattern in patterns for path in (PROJECT / folder.replace(".", "/")).glob(pattern)}  # fmt: skip
    files = {path for path in (PROJECT / "ablation").rglob("*.*") if path.suffix not in (".py", ".pyc")}
    assert files and files == data
    packages = {path.parent for path in (PROJECT / "ablation").rglob("*.py")}
    assert all((package / "__init__.py").exists() for package in packages), "else setuptools overlooks it"


@pytest.mark.parametrize(
    "code",
    [
        "from ablation.data.demo import read_demo_messages as read",
        "from ablation.data.demo import load_demo_tokenizer as read",
        "from ablation.results.published import published_table as read",
    ],
)
def test_modules_alone_say_what_they_lack(code: str, tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "ablation", tmp_path / "ablation", ignore=shutil.ignore_patterns("__pycache__"))
    for name in SETUPTOOLS["py-modules"]:
        shutil.copyfile(PROJECT / f"{name}.py", tmp_path / f"{name}.py")
    command = [sys.executable, "-c", f"{code}; import lora, previous_chapters; read()"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "only the modules are installed here: clone the repository" in done.stderr.splitlines()[-1]
