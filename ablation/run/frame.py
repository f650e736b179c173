"""What surrounds every run: one at a time in a process, which is afterwards as it was, and failures in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

from ablation.allocator import keep_freed_memory
from ablation.config.settings import CommonSettings
from ablation.environment import git_commit
from ablation.execution.feature_file import FeatureStorageError
from ablation.process_state import process_state_kept
from ablation.run.inputs import RunError, current, resolve_device, thread_count
from ablation.run.stopwatch import Stopwatch

_ONE_RUN_AT_A_TIME = Lock()  # of this process: they share threads and random generators


@contextmanager
def running(config: CommonSettings) -> Iterator[tuple[torch.device, Stopwatch]]:
    """A run happens within: on which device, and a stopwatch that has begun.

    Raises:
        ConfigError: the device or precision is not to be had here.
        RunError: out of memory, or no room for features.
    """
    device = resolve_device(config)
    watch = Stopwatch(device)
    git_commit()  # remembered from here on: what the row names is the code that ran, not what is checked out at the end
    with _ONE_RUN_AT_A_TIME, process_state_kept(), current(device), _failures_explained(config):
        if (threads := thread_count(config)) is not None:
            torch.set_num_threads(threads)
        keep_freed_memory()
        torch.backends.cuda.matmul.allow_tf32 = config.precision == "tf32"
        yield device, watch


@contextmanager
def _failures_explained(config: CommonSettings) -> Iterator[None]:
    """What storage and memory raise, as a RunError in one line."""
    out_of_memory = (
        f"out of memory with --batch_size {config.batch_size}: give a smaller --batch_size {config.SPARES_MEMORY}"
    )
    try:
        yield
    except FeatureStorageError as error:
        raise RunError(str(error)) from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise RunError(out_of_memory) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise RunError(out_of_memory) from error
