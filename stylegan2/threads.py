"""The number of CPU threads, chosen by timing.

PyTorch splits an operation over all cores and waits for the slowest one. While another program keeps a core
busy, every operation waits for the part on that core, and one thread can be ten times as fast as two. On an
idle machine more threads are faster. No fixed number is right for both, so the number is chosen by measurement
and measured again when the speed changes.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

SAMPLES = 3
"""Timed repetitions per number of threads, after one that is not counted."""

WATCHED = 7
"""Pieces whose median is compared with that of the trial."""

SLOWDOWN = 1.25
"""A median this many times as long as before means that the machine has changed."""

TRIAL_SHARE = 0.02
"""Share of the time that trials may cost."""


def candidates() -> list[int]:
    """Numbers of threads worth trying, in descending order: PyTorch's own, and its halves down to 1.

    The list has one number if the user has chosen it by OMP_NUM_THREADS or MKL_NUM_THREADS.
    """
    most = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ or "MKL_NUM_THREADS" in os.environ:
        return [most]
    numbers = [most]
    while numbers[-1] > 1:
        numbers.append(numbers[-1] // 2)
    return numbers


class ThreadTuner:
    """Sets the number of threads to the fastest one for equal pieces of work that are done again and again.

    A trial times a few pieces with each number and keeps the fastest. It is repeated when the pieces become
    slower. While fewer threads than possible are in use, it is also repeated from time to time, so rarely that
    trials cost at most 2 % of the time.

    Args:
        numbers: The numbers of threads to choose from, in descending order.
        set_threads: Sets the number. It is called in the thread that does the work.
        clock: Returns seconds.
        patience: A smaller number is kept if it takes at most so many times as long as the fastest one. Above 1, it
            leaves cores to a program that waits for the work, such as a browser.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        set_threads: Callable[[int], None] = torch.set_num_threads,
        clock: Callable[[], float] = time.perf_counter,
        patience: float = 1.0,
    ):
        self.numbers, self.threads = list(numbers), numbers[0]
        self._set, self._clock, self._patience = set_threads, clock, patience
        self._recent: deque[float] = deque(maxlen=WATCHED)
        self.start_trial()

    @contextmanager
    def piece(self) -> Iterator[None]:
        """Time one piece of work, which is the block."""
        start = self._clock()
        yield
        self.record(self._clock() - start)

    def start_trial(self) -> None:
        """Measure all numbers, beginning with the next piece."""
        self._speeds: dict[int, float] = {}
        self._left = [n for n in self.numbers if n != self.threads]
        self._samples: list[float] | None = []
        self._spent, self._pieces = 0.0, 0
        self._recent.clear()

    def record(self, seconds: float) -> None:
        """Take the duration of a piece that was done with `self.threads` threads, and set the next number."""
        if len(self.numbers) == 1:
            return
        if self._samples is None:
            self._watch(seconds)
            return
        self._spent, self._pieces = self._spent + seconds, self._pieces + 1
        self._samples.append(seconds)
        best = min(self._speeds.values(), default=float("inf"))
        counted = self._samples[1:]  # the first piece with another number also pays for the change
        hopeless = bool(counted) and counted[-1] > SLOWDOWN * best
        if len(counted) < SAMPLES and not hopeless:
            return
        self._speeds[self.threads] = statistics.median(counted)
        if self._left:
            self._use(self._left.pop(0))
            self._samples = []
        else:
            self._finish_trial()

    def _finish_trial(self) -> None:
        fastest = min(self._speeds.values())
        self._use(min(n for n in self.numbers if self._speeds[n] <= self._patience * fastest))
        self._samples = None
        lost = self._spent - self._pieces * fastest
        self._next_trial = self._clock() + max(lost, 0.0) / TRIAL_SHARE

    def _watch(self, seconds: float) -> None:
        self._recent.append(seconds)
        if len(self._recent) < WATCHED or self._clock() < self._next_trial:
            return
        slower = statistics.median(self._recent) > SLOWDOWN * self._speeds[self.threads]
        if slower or self.threads < self.numbers[0]:
            self.start_trial()

    def restore(self) -> None:
        """Set the number of threads that was in use before the first trial."""
        self._use(self.numbers[0])

    def _use(self, number: int) -> None:
        self.threads = number
        self._set(number)
