"""Shards: they read as their source, in constant memory, from a disk or object storage."""

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import litdata
import numpy as np
import pytest
import torch
from image_sets import images_of, make_damaged, make_two_classes, noise, write_labels

from stylegan2.data import ImageData, InfiniteSampler
from stylegan2.data.order import AllBut, Feistel
from stylegan2.errors import InputError
from stylegan2.tools.pack import bytes_of, pack


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 1000, 4097])
def test_a_feistel_network_permutes(n):
    orders = [Feistel(n, [seed, 3])[:] for seed in (0, 1, 2**63)]
    assert all(sorted(order) == list(range(n)) for order in orders)
    assert n < 64 or orders[0] != orders[1] != orders[2]
    assert Feistel(n, [0, 3])[:] == orders[0]
    pytest.raises(IndexError, Feistel(n, [0]).__getitem__, n)


def test_places_of_a_feistel_network_are_uniform_and_independent():
    order = np.array([Feistel(50, [seed])[:] for seed in range(2000)])
    expected = 2000 / 50
    counts = np.stack([np.bincount(column, minlength=50) for column in order.T])
    chi2 = ((counts - expected) ** 2 / expected).sum()  # 49·49 degrees of freedom
    assert abs(chi2 - 49 * 49) < 5 * (2 * 49 * 49) ** 0.5
    steps = np.array([np.corrcoef(row[:-1], row[1:])[0, 1] for row in order])
    assert abs(steps.mean() + 1 / 49) < 5 * steps.std() / 2000**0.5


def test_the_rest_is_what_a_list_would_hold():
    random = np.random.default_rng(0)
    for n in (1, 5, 100):
        for _ in range(20):
            gone = random.permutation(n)[: random.integers(0, n)].tolist()
            assert AllBut(n, gone)[:] == [i for i in range(n) if i not in set(gone)]


def make_set(root: Path, count: int = 60) -> Path:
    for k in range(count):
        noise(root / f"{'cats' if k % 3 else 'dogs'}/{k:03}.png", 160, k)
    return root


@pytest.mark.parametrize("classes", ["none", "folders", "labels"])
def test_shards_read_as_their_source_and_litdata_reads_them_too(tmp_path, classes):
    source = make_set(tmp_path / "set")
    write_labels(source, [[name, [k / 7, -k]] for k, name in enumerate(images_of(source, 8).names)])
    pack(str(source), str(tmp_path / "shards"), 128, classes=classes, shards="1MB")
    assert len(list((tmp_path / "shards").glob("*.bin"))) >= 3
    folder, shards = (images_of(p, 128, classes=classes) for p in (source, tmp_path / "shards"))
    assert shards.num_classes == folder.num_classes and shards.class_names == folder.class_names
    shards.scan(progress=False)
    for (a, la), (b, lb) in zip(folder, shards, strict=True):
        assert torch.equal(a, b) and torch.equal(la, lb)
    theirs = litdata.StreamingDataset(str(tmp_path / "shards"), shuffle=False)
    assert len(theirs) == 60
    for k in (0, 31, 59):
        assert theirs[k][1] == shards.source.read(shards.names[k])


def same(one, other, count):
    for (a, la), (b, lb) in itertools.islice(zip(one, other), count):
        assert torch.equal(a, b) and torch.equal(la, lb)


@pytest.mark.parametrize("where", ["disk", "storage"])
def test_the_order_holds_with_workers_processes_and_after_resuming(tmp_path, where):
    make_two_classes(tmp_path / "set")
    pack(str(tmp_path / "set"), str(tmp_path / "shards"), 8, classes="folders", shards="1MB")
    path = str(tmp_path / "shards")
    if where == "storage":
        memory = fsspec.filesystem("memory")
        memory.put(path, f"/bucket/{tmp_path.name}", recursive=True)
        path = f"memory://bucket/{tmp_path.name}"
    workers = 2 if where == "disk" and sys.platform == "linux" else 0
    one, two = (
        images_of(path, 8, classes="labels", mirror=True, cache_gb=0, workers=n) for n in (0, workers)
    )
    same(one.loader(4, seed=1), two.loader(4, seed=1), 20)
    rest = itertools.islice(one.loader(4, seed=1), 10, None)
    same(rest, two.loader(4, seed=1, start=40), 10)
    halves = [one.loader(2, seed=1, rank=rank, world_size=2) for rank in (0, 1)]
    for (a, _), (b, _), (both, _) in itertools.islice(zip(*halves, one.loader(4, seed=1)), 10):
        assert torch.equal(torch.cat([a, b]), both)


def test_each_epoch_of_a_sampler_in_constant_memory_is_a_permutation():
    batches = itertools.islice(InfiniteSampler(30, batch=3, seed=5, in_memory=False), 100)
    flat = [i for batch in batches for i in batch]
    epochs = [tuple(flat[k : k + 30]) for k in range(0, 300, 30)]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs) and len(set(epochs)) == 10


def test_damaged_missing_and_foreign_shards_are_refused(tmp_path):
    make_two_classes(tmp_path / "set")
    pack(str(tmp_path / "set"), str(tmp_path / "shards"), 8, shards="1MB")
    with pytest.raises(InputError, match="shards with labels"):
        images_of(tmp_path / "shards", 8, classes="folders")
    with pytest.raises(InputError, match="packed already"):
        pack(str(tmp_path / "shards"), str(tmp_path / "a.zip"), 8)
    chunk = tmp_path / "shards/chunk-0-0.bin"
    data = chunk.read_bytes()
    chunk.write_bytes(data[:-10])
    with pytest.raises(InputError, match=r"bytes, found .*Copy the shards again"):
        ImageData(str(tmp_path / "shards"), 8).open(progress=False)
    chunk.write_bytes(data[:400] + bytes(1000) + data[1400:])
    with pytest.raises(InputError, match="that were tried cannot be read"):
        ImageData(str(tmp_path / "shards"), 8).open(progress=False)
    chunk.unlink()
    with pytest.raises(InputError, match="found none"):
        ImageData(str(tmp_path / "shards"), 8).open(progress=False)
    (tmp_path / "shards/index.json").write_text('{"chunks": []}', encoding="utf-8")
    with pytest.raises(InputError, match="index.json"):
        images_of(tmp_path / "shards", 8)
    with pytest.raises(InputError, match="index.json"):
        images_of("memory://absent", 8)
    for wrong in ("3", "10KB", "5GB", "many"):
        with pytest.raises(InputError, match="1MB to 2GB"):
            bytes_of(wrong)
    assert bytes_of("256MB") == 256 * 10**6 and bytes_of("1.5 gb") == 15 * 10**8


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_interrupted_shards_go_on_and_give_the_same_bytes(tmp_path):
    source, out, whole = make_set(tmp_path / "set"), tmp_path / "out", tmp_path / "whole"
    code = f"""
import os, signal, sys
from stylegan2 import __main__
from stylegan2.data import decoding
from stylegan2.tools import pack
def decode(data, *rest, count=[]):
    count.append(1)
    if len(count) == 50:
        os.kill(os.getpid(), signal.SIGKILL)
    return decoding.decode(data, *rest)
pack.decode = decode
arguments = ["pack", "--source", {str(source)!r}, "--out", {str(out)!r}, "--resolution", "128", "--shards", "1MB"]
sys.exit(__main__.main([*arguments, "--workers", "1"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists() and len(list(Path(f"{out}.partial").glob("*.bin"))) >= 2
    pack(str(source), str(out), 128, shards="1MB")
    pack(str(source), str(whole), 128, shards="1MB")
    names = sorted(path.name for path in whole.iterdir())
    assert names == sorted(path.name for path in out.iterdir()) and "index.json" in names
    assert all((out / name).read_bytes() == (whole / name).read_bytes() for name in names)
    pack(str(source), str(out), 128, shards="2MB")  # replaces them
    assert len(list(out.glob("*.bin"))) < len(names) - 1 and not list(tmp_path.glob("out.*ld"))


def test_unreadable_files_are_left_out_of_shards(tmp_path):
    make_damaged(tmp_path / "set")
    out = str(tmp_path / "shards")
    with pytest.raises(InputError, match=r"3 of 8(?s:.*)shards.partial, from which pack goes on"):
        pack(str(tmp_path / "set"), out, 8, classes="labels", shards="1MB")
    with pytest.warns(UserWarning, match="3 of 8"):
        pack(str(tmp_path / "set"), out, 8, classes="labels", shards="1MB", unreadable="skip")
    dataset = images_of(out, 8, classes="labels")
    assert [(int(image[0, 0, 0]), int(label.argmax())) for image, label in dataset] == [
        (k, k) for k in range(5)
    ]


PRETENDED = """
import json, sys, time, zlib
from pathlib import Path
from stylegan2.data import DataOptions, ImageDataset
from stylegan2.data.holdout import chosen_rows
from stylegan2.data.sources.shards import Shards
images = int(sys.argv[2])
path = Path(sys.argv[1])
index = json.loads((path / "index.json").read_text(encoding="utf-8"))
(one,) = index["chunks"]
real = Shards._read
def read(self, file, start=0, end=None):
    if file == "index.json":
        chunks = [dict(one, filename=f"chunk-0-{k}.bin") for k in range(images // one["chunk_size"])]
        return json.dumps(dict(index, chunks=chunks)).encode()
    return real(self, "chunk-0-0.bin", start, end)
Shards._read = read
Shards.check = lambda self: None
def peak():
    return int(Path("/proc/self/status").read_text(encoding="utf-8").split("VmHWM:")[1].split()[0])
Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak counts from now on
before = peak()
start = time.perf_counter()
dataset = ImageDataset(DataOptions(str(path), 8, classes="folders", mirror=True, workers=0))
dataset.scan(progress=False)
dataset.hold_out(chosen_rows(dataset.num_images, 0.05, 0, not dataset.is_lazy))
batches = iter(dataset.loader(8, seed=0, start=10**9))
sums = [zlib.crc32(next(batches)[0].numpy()) for _ in range(20)]
taken = time.perf_counter() - start
grown = (peak() - before) / 1024
print(json.dumps([dataset.num_images, taken, grown]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory on Linux alone")
def test_memory_and_start_are_the_same_for_a_hundred_million_images(tmp_path):
    """Of 10^8 images, chunks of 2,500 pretend to be there. A list of their names alone would take 8 GB."""
    for k in range(25):
        noise(tmp_path / f"set/{k % 2}/{k}.png", 8, k)
    pack(str(tmp_path / "set"), str(tmp_path / "shards"), 8, classes="folders", shards="1MB")
    index = tmp_path / "shards/index.json"
    chunk = (tmp_path / "shards/chunk-0-0.bin").read_bytes()
    data = chunk[4 + 4 * 26 :]
    sizes = np.diff(np.frombuffer(chunk[4 : 4 + 4 * 26], "<u4"))
    starts = 4 + 4 * 2501 + np.concatenate([[0], np.cumsum(np.tile(sizes, 100))])
    many = np.uint32(2500).tobytes() + starts.astype("<u4").tobytes() + data * 100
    (tmp_path / "shards/chunk-0-0.bin").write_bytes(many)
    text = json.loads(index.read_text(encoding="utf-8"))
    text["chunks"][0] |= {"chunk_size": 2500, "chunk_bytes": len(many)}
    index.write_text(json.dumps(text), encoding="utf-8")
    found = {}
    for images in (10**6, 10**8):
        command = [sys.executable, "-c", PRETENDED, str(tmp_path / "shards"), str(images)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        number, seconds, megabytes = json.loads(done.stdout.splitlines()[-1])
        assert number == images
        found[images] = seconds, megabytes
    print(found)  # shown by -s
    assert found[10**6][1] > 1  # MB, so that it measures something
    assert found[10**8][1] < found[10**6][1] + 60  # MB, of which 40,000 entries of the index take most
    assert found[10**8][0] < found[10**6][0] + 5  # seconds
