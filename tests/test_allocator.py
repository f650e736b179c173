"""Memory that a training step frees is there for the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from ablation.allocator import give_back_freed_memory, keep_freed_memory

PAGES_OF_GRADIENTS = 4 * 6_494_208 // 4096  # of the layers below, about those of one of GPT-2's blocks
STEPS = """
import resource, torch
from torch import nn
from ablation.allocator import keep_freed_memory
torch.set_num_threads(1)
if {kept}: assert keep_freed_memory()
narrow = [nn.Linear(768, 768) for _ in range(3)]
model = nn.Sequential(*narrow, nn.Linear(768, 3072), nn.GELU(), nn.Linear(3072, 768))
x, optimizer = torch.randn(8, 768), torch.optim.AdamW(model.parameters())
def steps(count):
    for _ in range(count):
        model(x).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = steps(5)
print(steps(20) - before)
"""


def pages_fetched(kept: bool) -> int:
    """By twenty steps, in a process of its own, since the setting is the process's."""
    command = [sys.executable, "-c", STEPS.format(kept=kept)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's")
def test_freed_tensors_are_not_fetched_anew() -> None:
    assert pages_fetched(kept=True) < PAGES_OF_GRADIENTS
    assert pages_fetched(kept=False) > PAGES_OF_GRADIENTS  # or there would be nothing to gain


BETWEEN_WHAT_LASTS = """
import torch
from ablation.allocator import give_back_freed_memory, keep_freed_memory
keep_freed_memory()
if {given_back}: assert give_back_freed_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before, lasting, passing = resident(), [], []
for _ in range(10):
    passing.append(torch.ones(6 << 20))
    lasting.append(torch.ones(1 << 20))
del passing
print(resident() - before - 40 * (1 << 20))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's")
def test_what_lasts_holds_on_to_nothing_that_came_and_went() -> None:
    """Ten tensors of 4 MiB that stay, each behind one of 24 MiB that goes."""

    def left(given_back: bool) -> int:
        command = [sys.executable, "-c", BETWEEN_WHAT_LASTS.format(given_back=given_back)]
        return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)

    assert left(given_back=True) < 24 << 20 < left(given_back=False)


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory() and not give_back_freed_memory()
