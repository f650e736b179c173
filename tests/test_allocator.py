"""Memory that a training step frees is there for the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from ablation.allocator import keep_freed_memory

PAGES_OF_A_STEP = 4 * 11_000_000 // 4096
FAULTS = """
import resource, torch
from ablation.allocator import keep_freed_memory
if {kept}: assert keep_freed_memory()
def step(): return [torch.empty(size).fill_(1.0) for size in (2_400_000, 2_400_000, 600_000, 600_000, 5_000_000)]
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3): step()
before = faults()
for _ in range(10): step()
print(faults() - before)
"""


def faults_of_ten_steps(kept: bool) -> int:
    """In a process of its own, since the setting is the process's."""
    printed = subprocess.run(
        [sys.executable, "-c", FAULTS.format(kept=kept)], stdout=subprocess.PIPE, text=True, check=True
    )
    return int(printed.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's")
def test_freed_tensors_are_not_given_back() -> None:
    assert faults_of_ten_steps(kept=True) < 0.1 * PAGES_OF_A_STEP
    assert faults_of_ten_steps(kept=False) > PAGES_OF_A_STEP  # or there would be nothing to gain


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
