"""Work on many images by processes, with the results in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from stylegan2.data import decoding
from stylegan2.errors import InputError

T = TypeVar("T")

CHUNK = 8
"""Rows that a process takes at a time."""

AHEAD = 4
"""Chunks per process that are under way or waiting to be used."""


def in_order(work: Callable[[int], T], rows: range, workers: int) -> Generator[T]:
    """Yield work(row) for each row in order, as processes compute it. Memory does not grow with the rows.

    Processes are forked on Linux. Elsewhere they get a pickled copy of `work`. They end with this process, whatever
    ends it.

    Args:
        work: A function that can be called in another process.
        rows: What it is called with.
        workers: Number of processes. 1: this process.

    Raises:
        InputError: A process has ended, for example because memory was short.
    """
    if workers <= 1 or len(rows) <= 1:
        yield from map(work, rows)
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    turns = context.Lock()
    chunks = (rows[k : k + CHUNK] for k in range(0, len(rows), CHUNK))
    waiting: deque[Future[list[T]]] = deque()
    pool = ProcessPoolExecutor(min(workers, len(rows)), context, initializer=_start, initargs=(work, turns))
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_chunk, chunk))
            if len(waiting) > AHEAD * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise InputError(
            f"One of {workers} processes has ended before its images were done. Most often memory was short. "
            "Set fewer workers, and the same command goes on."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_work: Callable[[int], Any]


def _start(work: Callable[[int], Any], turns: AbstractContextManager[Any]) -> None:
    """In a new process: take the work, leave Ctrl-C to the main process, and end when that one ends."""
    global _work
    _work = work
    decoding.take_turns(turns)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _chunk(rows: range) -> list[Any]:
    return [_work(row) for row in rows]
