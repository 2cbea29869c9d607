"""Freed memory stays with the process: on the CPU, fresh pages cost more than the work done on them."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep() -> bool:
    """Have the C library keep freed blocks for the next tensor, for the rest of this process.

    glibc hands blocks above 32 MB back to the system at once, so every feature map of a large network arrives
    as unmapped pages, and touching those for the first time takes several times as long as a copy of it.
    The first use of the CPU's kernels calls this; importing does not. Elsewhere than on Linux with glibc it
    does nothing.

    Returns:
        Whether the C library did as asked.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def give_back() -> None:
    """Have the C library return freed blocks to the system, as far as it can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim:
        trim(0)
