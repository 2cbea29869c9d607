"""Families of cases: each case runs in a process of its own, with limits on its time and memory."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import torch
from tqdm import tqdm

EXECUTED = "executed"
"""A file of this name in the folder of a case is what hostile code would write."""

EIGHTH_OF_MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8 >> 20
"""An eighth of this machine's memory in MB, which a single file may take."""

HEADROOM = 6000
"""Megabytes beyond what a case may take, from which on it gets no more."""

Try = Callable[[Path, Random], str]
"""Tries one case in an empty folder, which is the current one. It returns how the product dealt with it, such as
"refused", and raises if the product did not hold."""


@dataclass(frozen=True)
class Kind:
    """One kind of cases."""

    name: str
    attempt: Try
    megabytes: int
    """How much memory a case may take."""


@dataclass
class Family:
    """A list of kinds of cases. Case n is of kind n modulo their number."""

    name: str
    tried: str
    """What is tried, for tables."""
    holds: str
    """What it means that a case holds, for tables."""
    count: int
    """How many cases are tried by default."""
    prepare: Callable[[], object] = lambda: None
    """Makes, once, what all cases use."""
    seconds: float = 60
    """How long a case may take."""
    in_process: bool = True
    """Whether a case calls functions of the product and not its command line in another process."""
    kinds: list[Kind] = field(default_factory=list)

    def kind(self, name: str, megabytes: int = 500) -> Callable[[Try], Try]:
        """A decorator that registers a function as the kind `name`."""

        def register(attempt: Try) -> Try:
            self.kinds.append(Kind(name, attempt, megabytes))
            return attempt

        return register

    def kind_of(self, number: int) -> Kind:
        return self.kinds[number % len(self.kinds)]


@dataclass
class Tally:
    """How the cases of one kind went."""

    tried: int = 0
    how: Counter[str] = field(default_factory=Counter)
    """How many of those that held ended in which way."""
    failures: dict[int, str] = field(default_factory=dict)
    """By the number of the case."""

    @property
    def held(self) -> int:
        return self.how.total()


def run(family: Family, numbers: Iterable[int], progress: bool = True) -> dict[str, Tally]:
    """Try the cases of these numbers, and tell by kind how they went."""
    family.prepare()
    tallies: dict[str, Tally] = {}
    bar = tqdm(list(numbers), family.name, unit="case", disable=not progress, smoothing=0.05)
    for number in bar:
        tally = tallies.setdefault(family.kind_of(number).name, Tally())
        tally.tried += 1
        held, text = attempt(family, number)
        if held:
            tally.how[text] += 1
        else:
            tally.failures[number] = text
        bar.set_postfix(failed=sum(len(tally.failures) for tally in tallies.values()))
    return tallies


def attempt(family: Family, number: int) -> tuple[bool, str]:
    """Try one case. Returns whether it held, and how or why not."""
    _return_freed_memory()
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="reliability é ", ignore_cleanup_errors=True) as folder:
        child = fork.Process(target=_child, args=(family, number, Path(folder).resolve(), sender))
        child.start()
        sender.close()
        try:
            if not receiver.poll(family.seconds):
                return False, f"still busy after {family.seconds:g} s"
            held, text = receiver.recv()
        except EOFError:
            child.join()
            return False, f"the process died with {child.exitcode}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.join()
        if (Path(folder) / EXECUTED).exists():
            return False, "code of the input was executed"
        return held, text


def _child(family: Family, number: int, folder: Path, sender: Connection) -> None:
    os.setsid()  # so that whatever a case starts can be ended with it
    os.chdir(folder)
    torch.set_num_threads(1)
    kind = family.kind_of(number)
    output = os.open(os.devnull, os.O_WRONLY)
    os.dup2(output, 1), os.dup2(output, 2)
    before = _peak()
    if family.in_process:
        limit = _address_space() + (kind.megabytes + HEADROOM << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        result = True, kind.attempt(folder, Random(f"{family.name} {number}"))
        used = _peak() - before
        if family.in_process and used > kind.megabytes:
            result = False, f"took {used} MB of memory, expected at most {kind.megabytes}"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error}"[:600]
        result = False, f"{text} ({Path(where.filename).name}:{where.lineno})"
    sender.send(result)


def _return_freed_memory() -> None:
    """Give freed memory back to the system, or a case could use it without holding more than before."""
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _peak() -> int:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _address_space() -> int:
    """The size of this process's address space in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()
