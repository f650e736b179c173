"""Keep the memory of freed tensors within the process, for the next tensors of the same size.

Every training step frees its gradients and activations and asks for as much again. Left alone, glibc gives the memory
back to the system in between, and each page is fetched and zeroed anew: a quarter of the time of a row 1 step.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGEST_KEPT = 32 << 20  # bytes of one allocation; glibc takes no more. Larger ones (feature tables) are given back.
KEPT_IN_ALL = 512 << 20
LARGEST_GATHERED = 1 << 20  # bytes of one allocation that shares pages with others where memory is scarce


def keep_freed_memory() -> bool:
    """Let glibc keep up to half a gigabyte of what is freed; returns whether this system's C library is glibc."""
    return _set_thresholds(mmap=LARGEST_KEPT, trim=KEPT_IN_ALL)


def give_back_freed_memory() -> bool:
    """Let each large tensor have its own pages, which go back to the system with it: where memory is scarce, what lasts
    (moments) would else lie between the places of what came and went, and hold on to them. Returns as above."""
    return _set_thresholds(mmap=LARGEST_GATHERED, trim=LARGEST_GATHERED)


def _set_thresholds(*, mmap: int, trim: int) -> bool:
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_THRESHOLD, mmap) and libc.mallopt(M_TRIM_THRESHOLD, trim))
