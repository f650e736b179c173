"""What a run ran on: processor, versions, commit, and the memory it took."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ablation import __version__

PROJECT = Path(__file__).resolve().parent.parent
OWN_PYTHON = Path(".venv", "Scripts" if os.name == "nt" else "bin", "python")

# What requirements.txt installs, by the names under which it is imported.
PACKAGES = (
    "torch", "tiktoken", "pandas", "numpy", "scipy", "sklearn", "jinja2", "matplotlib", "tqdm", "requests",
    "safetensors", "google_crc32c", "filelock", "psutil",
)  # fmt: skip


def require_packages() -> None:
    """End the program with one line if this Python lacks what the project needs; imports nothing.

    Raises:
        SystemExit: with that line.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        install = shlex.join([sys.executable, "-m", "pip", "install", "-r", str(PROJECT / "requirements.txt")])
        raise SystemExit(
            f"error: {sys.executable} lacks {', '.join(missing)}; use the project's own {OWN_PYTHON}, which make run"
            f" makes, or install them: {install}"
        )


def python_command() -> str:
    """How to call this Python again: by its path if it is that of an environment in the current folder."""
    if sys.prefix != sys.base_prefix and Path(sys.executable).is_relative_to(Path.cwd()):
        return str(Path(sys.executable).relative_to(Path.cwd()))
    return "python"


def how_to_restore(otherwise: str = "restore it") -> str:
    """What to do about a file of the repository that is missing: ``otherwise``, unless only modules were installed."""
    if (PROJECT / "pyproject.toml").exists():
        return otherwise
    return "only the modules are installed here: clone the repository, and in it python -m pip install -e ."


def processor_name() -> str:
    """The CPU's model name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """The name of the hardware behind a device as PyTorch writes it: ``cuda:1``; ``cuda`` is the current one."""
    if device.partition(":")[0] == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return processor_name() if device == "cpu" else f"{device} ({processor_name()})"


@cache
def git_commit() -> str | None:
    """The project's commit, with ``+dirty`` where tracked files differ from it; None outside a repository."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return commit + ("+dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def version() -> str:
    """The project's version and the beginning of :func:`git_commit`, in a line that fits a terminal."""
    commit, plus, dirty = (git_commit() or "unknown").partition("+")
    return f"{__version__}, commit {commit[:12]}{plus}{dirty}"


def peak_memory_mb() -> float:
    """Peak resident set of this process or of its largest finished child, in MB (10⁶ bytes)."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 1e6, 1)  # type: ignore[attr-defined]
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB elsewhere
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(max(peaks) * unit / 1e6, 1)


def environment_stamp(device: str) -> dict[str, str | int | None]:
    """Everything about the environment that a row records, by column name."""
    import torch

    return {
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "python_version": platform.python_version(),
        "torch_version": torch.__version__,
        "git_commit": git_commit(),
    }
