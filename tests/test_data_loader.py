"""Batches from worker processes."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from image_sets import images_of, make_two_classes
from torch.utils.data import DataLoader

from stylegan2.data import loader as loader_module
from stylegan2.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")


@pytest.fixture
def two_classes(tmp_path) -> Path:
    return make_two_classes(tmp_path / "set")


def children() -> list[int]:
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(pid) for pid in path.read_text(encoding="utf-8").split()]


def test_batches_do_not_pass_through_shared_files(two_classes, monkeypatch):
    """As in a container whose /dev/shm is full."""

    def full(*_):
        raise RuntimeError("unable to write to file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", full)
    monkeypatch.setattr(torch.UntypedStorage, "_share_filename_cpu_", full)
    expected = images_of(two_classes, classes="folders", cache_gb=0, workers=0).loader(5, seed=0)
    loader = images_of(two_classes, classes="folders", cache_gb=0, workers=2).loader(5, seed=0)
    batches = list(itertools.islice(loader, 30))  # more than there are slots
    for (a, la), (b, lb) in zip(batches, expected):  # all at the end: none has been overwritten
        assert torch.equal(a, b) and torch.equal(la, lb)


def test_a_dead_worker_ends_the_iteration_between_two_batches(two_classes):
    others = DataLoader([0], num_workers=1, persistent_workers=True)
    next(iter(others))  # since then, the death of a process of ours would raise in any line
    before = set(children())
    batches = iter(images_of(two_classes, cache_gb=0, workers=2).loader(2, seed=0))
    next(batches)
    start = time.monotonic()
    for pid in set(children()) - before:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)  # nothing is raised here
    with pytest.raises(InputError, match="A process that decodes images has ended .*data.workers"):
        list(itertools.islice(batches, 100))
    assert time.monotonic() - start < 15


def test_workers_live_through_a_signal_to_the_whole_group(two_classes):
    """Also through one that comes before a worker has set its handlers."""
    before = set(children())
    loader = images_of(two_classes, cache_gb=0, workers=2).loader(2, seed=0)
    workers = loader.batches
    set_up = workers.worker_init_fn
    workers.worker_init_fn = lambda worker: (time.sleep(worker), set_up(worker))  # worker 1 starts late
    batches = iter(loader)
    next(batches)
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & loader_module.GROUP_SIGNALS
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
        for pid in set(children()) - before:
            os.kill(pid, number)
    assert len(list(itertools.islice(batches, 30))) == 30


def test_without_semaphores_there_are_no_workers(two_classes, monkeypatch):
    context = loader_module.multiprocessing.get_context("fork")

    def unwritable():
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(context), "Lock", lambda self: unwritable())
    with pytest.warns(UserWarning, match="without workers"):
        loader = images_of(two_classes, cache_gb=0, workers=2).loader(2, seed=0)
    assert loader.batches.num_workers == 0 and next(iter(loader))[0].shape == (2, 3, 8, 8)


def test_a_program_that_iterates_with_workers_ends():
    code = "from stylegan2.data import ImageData; "
    code += "d = ImageData('demo', 8, workers=1, cache_gb=0).open(progress=False)"
    code += "; batches = iter(d.loader(4, seed=0)); next(batches); print('read')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=120)
    assert done.stdout == "read\n" and done.returncode == 0
