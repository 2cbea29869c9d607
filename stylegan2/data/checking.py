"""A check of every image before training, in parallel."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing.pool import ThreadPool
from pathlib import Path

from tqdm import tqdm

from stylegan2.data.names import printable


def find_problems(check: Callable[[int], None], rows: int, title: str, progress: bool) -> dict[int, str]:
    """Call `check` with every number from 0 to rows-1, in one thread per CPU.

    Args:
        check: Function that raises an exception if the image of a row is unreadable.
        rows: Number of images.
        title: Text before the progress bar.
        progress: Whether to show the progress bar.

    Returns:
        For each unreadable image, its row and the reason, in ascending order.
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
    """Indent the first `limit` lines, and say how many more there are."""
    more = [f"... and {len(lines) - limit} more"] if len(lines) > limit else []
    return "\n".join(f"  {printable(line)}" for line in [*lines[:limit], *more])


def reason(error: Exception) -> str:
    """Shorten the message of an exception to one line of at most 120 characters."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__


def usable_cpus() -> int:
    """The number of CPUs that this process may use. In a container, the machine can have more."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def usable_memory() -> int:
    """The bytes of memory that this process may use. In a container, the machine can have more."""
    sizes = []
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # there is no such file, or it says "max"
            sizes.append(int(Path(limit).read_text(encoding="ascii")))
    return min(sizes, default=8 * 10**9)


def require_room(size: int) -> None:
    """Refuse to read a file into memory whose size, in bytes, is more than an eighth of the memory.

    Raises:
        ValueError: The file is that large.
    """
    limit = usable_memory() // 8
    if size > limit:
        raise ValueError(f"{size:,} bytes are more than an eighth of the memory, {limit:,}")
