"""A run leaves the process as it found it, so that two runs in one process give what two processes give."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def process_state_kept() -> Iterator[None]:
    """Whatever is done within, the threads, precision switches, random generators (Python's, numpy's, PyTorch's) and
    environment variables are afterwards what they were.

    CUDA's generators are kept if CUDA is in use already. What glibc was told of freed memory cannot be read back, and
    stays.
    """
    import numpy as np
    import torch

    environment, threads = dict(os.environ), torch.get_num_threads()
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    # The older switch for all backends, and the newer ones that it sets; whoever mixed both cannot read the older.
    older: str | None = None
    with suppress(RuntimeError):
        older = torch.get_float32_matmul_precision()
    backends: Any = torch.backends
    newer = [(backend, backend.fp32_precision) for backend in (backends.cuda.matmul, backends.mkldnn.matmul)]
    try:
        yield
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        torch.set_num_threads(threads)
        if older is not None:
            torch.set_float32_matmul_precision(older)
        for backend, precision in newer:
            backend.fp32_precision = precision
        if cuda:  # last, because a device that failed may fail here again
            torch.cuda.set_rng_state_all(cuda)
