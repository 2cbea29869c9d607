"""CIFAR's pickles and LMDB databases as sources of images: what is read, and what is refused unexecuted."""

import io
import os
import pickle
import sys

import lmdb
import numpy as np
import pytest
import torch
from image_sets import images_of
from PIL import Image

from stylegan2.errors import InputError
from stylegan2.tools.pack import pack


def cifar10(folder, protocol=2, count=4):
    """Six pickles in CIFAR-10's form. Returns the training images (N, 3, 32, 32) with their labels."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    found = []
    for k, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        data = random.integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = [(k + i) % 10 for i in range(count)]
        batch = {"batch_label": name, "labels": labels, "data": data, "filenames": ["x.png"] * count}
        (folder / name).write_bytes(pickle.dumps(batch, protocol))
        found += zip(data.reshape(-1, 3, 32, 32), labels) if name != "test_batch" else []
    names = [f"class {k}" for k in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, protocol))
    return found


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_cifar10_is_read_with_its_classes(tmp_path, protocol):
    expected = cifar10(tmp_path / "cifar-10-batches-py", protocol)
    dataset = images_of(tmp_path, 32, classes="folders")
    dataset.scan(progress=False)
    assert dataset.num_images == 20 and dataset.class_names == [f"class {k}" for k in range(8)]
    order = sorted(range(20), key=lambda i: (expected[i][1], i))
    for (image, label), i in zip(dataset, order, strict=True):
        assert np.array_equal(image, expected[i][0]) and label.argmax() == expected[i][1]
    test = images_of(tmp_path / "cifar-10-batches-py/test_batch", 32)
    assert test.num_images == 4 and test.names[0] == "class 5/test_batch-00000.png"


def test_cifar100_of_its_real_size_has_its_fine_classes(tmp_path):
    data = np.zeros((50_000, 3072), np.uint8)
    data[:, 0] = np.arange(50_000) % 251
    labels = [k % 100 for k in range(50_000)]
    batch = {
        "data": data,
        "fine_labels": labels,
        "coarse_labels": labels,
        "filenames": [f"{k}" for k in labels],
    }
    (tmp_path / "train").write_bytes(pickle.dumps(batch, 2))
    names = [f"kind {k:02}" for k in range(100)]
    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": names, "coarse_label_names": []}, 2))
    dataset = images_of(tmp_path, 32, classes="folders")
    assert dataset.num_images == 50_000 and dataset.class_names == names
    assert dataset[500][0][0, 0, 0] == 1 and dataset[499][0][0, 0, 0] == 49_900 % 251


class Executed:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Executed()),
        pickle.dumps({"data": Executed(), "labels": [0]}, 2),
        pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, Executed()]}, 2),
        pickle.dumps({"data": np.zeros((2, 10), np.uint8), "labels": [0, 0]}, 2),
        pickle.dumps([1, 2, 3]),
        pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 0]}, 2)[:-50],
    ],
)
def test_other_pickles_are_refused_unexecuted(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my set.pkl").write_bytes(content)
    with pytest.raises(InputError, match=r"CIFAR's|class number for each") as refused:
        images_of("my set.pkl", 32)
    assert not os.path.exists("executed")
    if "class number" not in str(refused.value):
        command = "stylegan2 pack --source FOLDER --out 'my set.zip' --resolution 256"
        assert command in str(refused.value)


def encoded(k: int, kind: str) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(k).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return file.getvalue()


def database(path, items, subdir=True):
    with (
        lmdb.Environment(str(path), map_size=1 << 24, subdir=subdir) as env,
        env.begin(write=True) as transaction,
    ):
        for key, value in items:
            transaction.put(key, value)
    return path


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF", "JPEG"])
@pytest.mark.parametrize("subdir", [True, False])
def test_a_database_reads_as_a_folder_of_the_same_files(tmp_path, kind, subdir):
    items = [(f"{k % 2}/{k:03}".encode(), encoded(k, kind)) for k in range(6)]
    path = database(tmp_path / "set.lmdb", items, subdir)
    for key, value in items:
        file = tmp_path / f"folder/{key.decode()}.{kind.lower()}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(value)
    one, other = (images_of(p, 8, classes="folders") for p in (path, tmp_path / "folder"))
    one.scan(progress=False)
    for (a, la), (b, lb) in zip(one, other, strict=True):
        assert torch.equal(a, b) and torch.equal(la, lb)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_processes_read_one_database(tmp_path):
    path = database(tmp_path / "set", [(f"{k}".encode(), encoded(k, "PNG")) for k in range(20)])
    one, two = (images_of(path, 8, cache_gb=0, workers=workers) for workers in (0, 2))
    for dataset in (one, two):
        dataset.scan(progress=False)
    batches = zip(one.loader(4, seed=0), two.loader(4, seed=0))
    for _, ((a, _), (b, _)) in zip(range(10), batches):
        assert torch.equal(a, b)
    for workers in (1, 2):
        pack(str(path), str(tmp_path / f"{workers}.zip"), 8, workers=workers)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_of_several_sizes_the_largest_is_used(tmp_path):
    items = [(f"{size}-{k:05}".encode(), encoded(k, "PNG")) for size in (8, 128, 32) for k in range(3)]
    dataset = images_of(database(tmp_path / "set", [*items, (b"length", b"3")]), 8)
    assert dataset.names == [f"128-{k:05}.png" for k in range(3)]
    with pytest.warns(UserWarning, match="a smaller copy of another image"):
        dataset.scan(progress=False)


def test_pickled_values_and_damaged_databases_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    database("pickles", [(b"a", pickle.dumps(Executed())), (b"b", pickle.dumps(Executed()))])
    with pytest.raises(
        InputError, match=r"(?s)2 of them pickles.*stylegan2 pack --source FOLDER --out pickles.zip"
    ):
        images_of("pickles", 8)
    assert not os.path.exists("executed")
    database("numbers", [(b"a", b"12")])
    with pytest.raises(InputError, match="values of another kind"):
        images_of("numbers", 8)
    mixed = images_of(database("mixed", [(b"a", encoded(0, "PNG")), (b"b", pickle.dumps(Executed()))]), 8)
    with pytest.warns(UserWarning, match="b: a pickle"):
        mixed.scan(progress=False)
    (tmp_path / "text.lmdb").write_text("no database", encoding="utf-8")
    with pytest.raises(InputError, match="intact LMDB"):
        images_of("text.lmdb", 8)
    whole = database("whole.lmdb", [(b"%d" % k, encoded(k, "PNG")) for k in range(99)], subdir=False)
    with open(whole, "r+b") as file:
        file.truncate(os.path.getsize(whole) - 5000)  # pages that are not there would end the process
    with pytest.raises(InputError, match=r"intact LMDB.* bytes of .*Copy it again"):
        images_of(whole, 8)
    monkeypatch.setitem(sys.modules, "lmdb", None)
    os.rename("mixed", "moved")
    with pytest.raises(InputError, match=r"stylegan2\[lmdb\]"):
        images_of("moved", 8)
