"""What ``pip install`` takes with it: the packages for notebooks, and a word on what stays in the repository."""

from __future__ import annotations

import re
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


# ---- make ------------------------------------------------------------------------------------------------------------

# Stands for Python, and for the Python of the environment that it makes: says what it was asked.
STUB = """#!/bin/sh
echo "python $*"
if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
"""
TOOLS = ("sh", "make", "mkdir", "cp", "cut", "du", "grep", "rm", "sed", "touch")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what make needs of a clone, and in ``bin`` nothing but make's tools: no driver, a stub of Python
    and a system called Linux."""
    tools = {name: shutil.which(name) for name in TOOLS}
    if None in tools.values():
        pytest.skip("needs make and a POSIX shell's tools")
    (tmp_path / "bin").mkdir()
    for name, path in tools.items():
        (tmp_path / "bin" / name).symlink_to(str(path))
    for name, content in {"python3": STUB, "uname": "#!/bin/sh\necho ${SYSTEM:-Linux}\n"}.items():
        (tmp_path / "bin" / name).write_text(content)
        (tmp_path / "bin" / name).chmod(0o755)
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copyfile(PROJECT / name, tmp_path / name)
    return tmp_path


def make(clone: Path, *arguments: str, stdout: int = subprocess.PIPE, **environment: str) -> list[str]:
    done = subprocess.run(
        ["make", "NVIDIA_DRIVER=nowhere", *arguments],
        cwd=clone, env={"PATH": str(clone / "bin"), **environment}, stdout=stdout, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    return (done.stdout or "").splitlines()


def asked(lines: list[str]) -> list[str]:
    """What the stub was asked."""
    return [line.removeprefix("python ") for line in lines if line.startswith("python ")]


def test_make_run_says_what_it_installs_before_it_does(clone: Path) -> None:
    lines = make(clone, "run", "PIP_ARGS=--no-index")
    assert max(len(line) for line in lines if line.startswith(("creating", "install", "about", "no NVIDIA"))) <= 80
    said = "\n".join(lines).partition("python -m pip install")[0]
    assert "requirements.txt lists into .venv: PyTorch" in said and "GB on disk" in said
    assert "no NVIDIA driver is seen here: make run TORCH=cpu saves the several GB" in said
    assert asked(lines) == [
        "-m venv .venv",
        "-m pip install --quiet --no-index -r requirements.txt",
        "additional_experiments.py --demo",
    ]
    assert any(line.startswith("installed: .venv has ") for line in lines)
    assert asked(make(clone, "run", "ARGS=--row 10")) == ["additional_experiments.py --row 10"]


@pytest.mark.parametrize("case", ["a driver's file", "nvidia-smi", "another system", "TORCH=cpu"])
def test_nobody_with_a_driver_is_told_to_do_without(case: str, clone: Path) -> None:
    arguments = {"a driver's file": ["NVIDIA_DRIVER=Makefile"], "TORCH=cpu": ["TORCH=cpu"]}.get(case, [])
    if case == "nvidia-smi":
        (clone / "bin" / "nvidia-smi").symlink_to(clone / "bin" / "python3")
    lines = make(clone, "run", *arguments, SYSTEM="Darwin" if case == "another system" else "Linux")
    assert not [line for line in lines if "NVIDIA" in line]
    assert any(line.startswith("installed: ") for line in lines)


def test_make_run_without_cuda_takes_pytorch_from_its_own_index(clone: Path) -> None:
    torch = next(line for line in (PROJECT / "requirements.txt").read_text().split() if line.startswith("torch=="))
    assert asked(make(clone, "test", "TORCH=cpu"))[1:4] == [
        f"-m pip install --quiet --no-deps --index-url https://download.pytorch.org/whl/cpu {torch}",
        "-m pip install --quiet -r requirements.txt",
        "-m pip install --quiet -r requirements-dev.txt",
    ]
    (line,) = make(clone, "run", "TORCH=gpu")
    assert "TORCH=gpu: give TORCH=cpu, or leave it out" in line


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_sees_what_pip_does(clone: Path) -> None:
    import os
    import pty

    ours, theirs = pty.openpty()
    make(clone, "run", stdout=theirs)
    said = os.read(ours, 1 << 16).decode()
    assert asked(said.splitlines())[1] == "-m pip install -r requirements.txt"


def test_make_help_lists_every_target(clone: Path) -> None:
    targets = re.findall(r"^\.PHONY: (.*)$", (clone / "Makefile").read_text(), re.MULTILINE)[0].split()
    lines = make(clone, "help")
    assert {line.split()[1] for line in lines} == set(targets)
    assert max(map(len, lines)) <= 80
