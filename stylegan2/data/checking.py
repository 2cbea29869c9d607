"""A look at every image before training, in parallel."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing.pool import ThreadPool
from pathlib import Path

from tqdm import tqdm


def find_problems(check: Callable[[int], None], rows: int, title: str, progress: bool) -> dict[int, str]:
    """Call `check` on the numbers 0..rows-1, in one thread per CPU.

    Args:
        check: Raises if the image of that row is unreadable.
        rows: Number of images.
        title: Text before the progress bar.
        progress: Whether to show the bar.

    Returns:
        Why the unreadable images are unreadable, by row, in ascending order.
    """

    def problem(row: int) -> str | None:
        try:
            check(row)
        except Exception as error:  # PIL and zipfile raise a dozen kinds for damaged files
            return reason(error)
        return None

    with ThreadPool(usable_cpus()) as pool:
        results = pool.imap(problem, range(rows), chunksize=8)
        bar = tqdm(results, title, total=rows, unit="image", disable=not progress, leave=False)
        return {row: why for row, why in enumerate(bar) if why}


def listing(lines: Sequence[str], limit: int = 20) -> str:
    """The first lines, indented, and how many more there are."""
    more = [f"... and {len(lines) - limit} more"] if len(lines) > limit else []
    return "\n".join(f"  {line}" for line in [*lines[:limit], *more])


def reason(error: Exception) -> str:
    """An exception's message on one short line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__


def usable_cpus() -> int:
    """CPUs that this process may use. In a container these can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def usable_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or what its container is limited to."""
    sizes = []
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # there is no such file, or it says "max"
            sizes.append(int(Path(limit).read_text(encoding="ascii")))
    return min(sizes, default=8 * 10**9)
