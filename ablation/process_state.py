"""A run leaves the process as it found it, so that two runs in one process give what two processes give."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def process_state_kept() -> Iterator[None]:
    """Whatever is done within, the threads, precision switches, random generators (Python's, numpy's, PyTorch's) and
    environment variables are afterwards what they were.

    CUDA's generators are kept if CUDA is in use already. What glibc was told of freed memory cannot be read back, and
    stays.
    """
    restorers = [_environment(), *_generators(), _threads(), _precision()]
    try:
        yield
    finally:
        for restore in restorers:
            restore()


def _environment() -> Callable[[], None]:
    before = dict(os.environ)

    def restore() -> None:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)

    return restore


def _generators() -> Iterator[Callable[[], None]]:
    import numpy as np
    import torch

    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield lambda: random.setstate(python)
    yield lambda: np.random.set_state(numpy)
    yield lambda: torch.set_rng_state(cpu)
    if torch.cuda.is_initialized():
        cuda = torch.cuda.get_rng_state_all()
        yield lambda: torch.cuda.set_rng_state_all(cuda)


def _threads() -> Callable[[], None]:
    import torch

    before = torch.get_num_threads()
    return lambda: torch.set_num_threads(before)


def _precision() -> Callable[[], None]:
    """The older switch for all backends, and the newer ones that it sets; whoever mixed both cannot read the older."""
    import torch

    backends: Any = torch.backends
    older: str | None = None
    with suppress(RuntimeError):
        older = torch.get_float32_matmul_precision()
    newer = [(backend, backend.fp32_precision) for backend in (backends.cuda.matmul, backends.mkldnn.matmul)]

    def restore() -> None:
        if older is not None:
            torch.set_float32_matmul_precision(older)
        for backend, precision in newer:
            backend.fp32_precision = precision

    return restore
