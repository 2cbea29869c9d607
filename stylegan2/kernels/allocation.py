"""Settings of the C library's memory allocation, which decide how fast large tensors are on the CPU."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory for new tensors, for the rest of this process.

    By default, glibc returns blocks above 32 MB to the system when they are freed. Every large feature map
    then consists of unmapped pages, and the first access to them takes several times as long as a copy of the
    feature map. The first use of the CPU kernels calls this function; importing does not. It does nothing
    except on Linux with glibc.

    Returns:
        Whether the C library accepted the settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def release_freed_memory() -> None:
    """Make the C library return as much freed memory to the system as it can (glibc only)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim:
        trim(0)
