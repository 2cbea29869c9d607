"""Training runs that are killed at random moments, and go on."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from stylegan2.formats import native

from ..training_cases import tiny_config
from . import samples
from .runner import Family

ROOT = Path(__file__).parents[2]
CONFIG = tiny_config(
    {"path": "demo/smileys-emotion"}, kimg=0.4, log_kimg=0.008, sample_kimg=0, snapshot_kimg=0.016
)
"""Fifty iterations, with a checkpoint after every second one."""

LAST = Path("runs/x/checkpoints/last.ckpt")
SPEED = ("kimg_per_second",)
"""The columns of metrics.csv that differ from run to run."""


class Run:
    """A training run in the current folder, by the command line and in a process of its own."""

    def __init__(self, *args: object, path: str = ""):
        self.output = Path("output.txt")
        command = [sys.executable, ROOT / "train.py", *args]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                list(map(str, command)),
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"},
            )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, event: Callable[[], object]) -> bool:
        """Wait until something happens. Returns False if the run ends before."""
        while self.running:
            if event():
                return True
            time.sleep(0.001)
        return False

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def end(self) -> int:
        """Wait until the run and the processes that it has started have ended. Returns its exit status."""
        status = self.process.wait()
        deadline = time.monotonic() + 30
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.killpg(self.process.pid, 0)
                assert time.monotonic() < deadline, "a process that the run had started goes on without it"
                time.sleep(0.01)
        return status

    def text(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")


def start(random: Random, path: str = "") -> Run:
    """Start a run, with modules of another folder at first, if that is given."""
    Path("tiny.yaml").write_text(CONFIG, encoding="utf-8")
    workers = ["--data.workers", 2, "--data.cache_gb", 0] if random.random() < 0.5 else []
    return Run("--config", "tiny.yaml", "--name", "x", *workers, path=path)


def go_on(random: Random) -> Run:
    """What the user does after a kill: resume, or start again if there is no checkpoint yet."""
    if LAST.exists():
        return Run("--config", "runs/x/config.yaml", "--ckpt_path", "last")
    return start(random)


def seen_images() -> int:
    """The images that the last checkpoint has seen."""
    return native.read(LAST)[native.KEY]["images"]


def whole(before: int = 0) -> int:
    """Assert that every checkpoint is whole and the last one not older than before. Returns its images."""
    for path in LAST.parent.glob("*.ckpt"):
        native.read(path)
    if not LAST.exists():
        assert not before, "the last checkpoint is gone"
        return 0
    images = seen_images()
    assert images >= before, f"the last checkpoint went back from {before} to {images} images"
    return images


def rows() -> list[dict[str, str]]:
    with Path("runs/x/metrics.csv").open(encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k not in SPEED} for row in csv.DictReader(file)]


@dataclass
class Reference:
    """What a run gives that nothing has interrupted."""

    first: float
    """Seconds until its first checkpoint."""
    rest: float
    """Seconds from there to its end."""
    contents: dict[str, Any]
    """Of its last checkpoint."""
    rows: list[dict[str, str]]
    """Of its metrics.csv."""


@cache
def reference() -> Reference:
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            began = time.monotonic()
            run = start(Random(1))
            assert run.wait_for(LAST.exists), run.text()
            first = time.monotonic() - began
            assert run.end() == 0, run.text()
            return Reference(first, time.monotonic() - began - first, native.read(LAST), rows())
        finally:
            os.chdir(here)


family = Family(
    name="kills",
    tried="a training run, killed",
    holds="every checkpoint is whole after each kill, the last one never older than before, the run goes on, and at "
    "its end weights, optimizers and metrics are those of a run that was never interrupted, bit by bit",
    count=16,
    prepare=reference,
    seconds=400,
    in_process=False,
)


def finish(random: Random, images: int) -> str:
    """Go on until the end, and compare with the run that was not interrupted."""
    whole(images)
    finished = images >= 400
    if not finished:
        run = go_on(random)
        assert run.end() == 0, f"going on failed: {run.text()[-400:]}"
    ours, theirs = native.read(LAST), reference().contents
    for part in ("state_dict", "optimizer_states"):
        assert samples.same(ours[part], theirs[part]), f"{part} is not that of an uninterrupted run"
    assert rows() == reference().rows, "metrics.csv is not that of an uninterrupted run"
    left = [str(path) for path in Path("runs").rglob("*.tmp")]
    assert not left, f"files are left: {left}"
    return (
        "had finished already"
        if finished
        else f"went on from {'the start' if not images else 'a checkpoint'}"
    )


def kill(run: Run) -> None:
    run.signal(signal.SIGKILL)
    run.end()


@family.kind("while it starts")
def starting(folder: Path, random: Random) -> str:
    run = start(random)
    time.sleep(random.uniform(0, reference().first))
    kill(run)
    return finish(random, whole())


@family.kind("while it trains")
def training(folder: Path, random: Random) -> str:
    run = start(random)
    run.wait_for(LAST.exists)
    time.sleep(random.uniform(0, reference().rest))
    kill(run)
    return finish(random, whole())


@family.kind("while it saves")
def saving(folder: Path, random: Random) -> str:
    run, seen, wanted = start(random), set(), random.randint(1, 30)

    def writes() -> bool:
        with contextlib.suppress(OSError):
            for entry in os.scandir(LAST.parent):
                if entry.name.endswith(".tmp"):
                    seen.add((entry.name, entry.inode()))
        return len(seen) >= wanted

    run.wait_for(writes)
    time.sleep(random.choice([0, 0.001, 0.005]))
    kill(run)
    return finish(random, whole())


@family.kind("while it resumes")
def resuming(folder: Path, random: Random) -> str:
    run = start(random)
    run.wait_for(LAST.exists)
    time.sleep(random.uniform(0, reference().rest / 2))
    kill(run)
    images = whole()
    if images < 400:
        run = go_on(random)
        time.sleep(random.uniform(0, 1.2 * reference().first))
        kill(run)
        images = whole(images)
    return finish(random, images)


SLOW_DISK = """
import os, time
fsync = os.fsync

def slow_fsync(file):
    time.sleep(1)
    fsync(file)

os.fsync = slow_fsync
"""
"""Makes every file take a second to write."""

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@family.kind("asked to end twice, the second time while it saves")
def twice_while_saving(folder: Path, random: Random) -> str:
    Path("slow").mkdir()
    Path("slow/sitecustomize.py").write_text(SLOW_DISK, encoding="utf-8")
    run = start(random, path=str(folder / "slow"))
    run.wait_for(LAST.exists)
    time.sleep(random.uniform(0, 5))
    before = seen_images()
    run.signal(random.choice(SIGNALS))
    time.sleep(0.6)  # signals that come together count as one
    assert run.wait_for(lambda: any(LAST.parent.glob("*.tmp"))), f"it saves nothing: {run.text()[-400:]}"
    number = random.choice(SIGNALS)
    run.signal(number)
    status = run.end()
    assert status == 128 + number, f"ended with status {status} at signal {number}: {run.text()[-400:]}"
    return finish(random, whole(before))


def asked(random: Random, *numbers: int) -> str:
    """Signals that ask a run to end: it saves and says so by its status."""
    run = start(random)
    run.wait_for(LAST.exists)
    time.sleep(random.uniform(0, reference().rest / 2))
    before = seen_images()
    for number in numbers:
        run.signal(number)
        time.sleep(random.uniform(0.6, 1.2) if len(numbers) > 1 else 0)
    status = run.end()
    # The status of a process that a signal ended is its negative number here, and 128 more than it in a shell.
    ended = status in [128 + number for number in numbers] or -status in numbers
    assert ended or (status == 0 and seen_images() >= 400), f"ended with status {status}: {run.text()[-400:]}"
    images = whole(before)
    assert images > 0, "nothing was saved"
    return finish(random, images)


@family.kind("asked to end (SIGTERM, SIGINT or SIGHUP)")
def once(folder: Path, random: Random) -> str:
    return asked(random, random.choice(SIGNALS))


@family.kind("asked to end twice")
def twice(folder: Path, random: Random) -> str:
    return asked(random, *random.choices(SIGNALS, k=2))


@family.kind("five times")
def often(folder: Path, random: Random) -> str:
    run, images = start(random), 0
    for _ in range(5):
        time.sleep(random.uniform(0.5, 1.5) * reference().first)
        kill(run)
        images = whole(images)
        if images >= 400:
            break
        run = go_on(random)
    else:
        kill(run)
        images = whole(images)
    return finish(random, images)
