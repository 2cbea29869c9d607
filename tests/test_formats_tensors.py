"""Files of tensors are written whole or not at all, and damage is told at every reading."""

import os
import random
import shutil
import subprocess
import sys
import zipfile

import pytest
import torch
from conftest import GOLDEN
from safetensors.torch import load_file

from stylegan2.errors import InputError
from stylegan2.formats import load_generator
from stylegan2.formats.tensors import newest_sound, read_tensors, write_safetensors, write_tensors


@pytest.fixture
def contents():
    torch.manual_seed(0)
    return {
        "state_dict": {f"weight{i}": torch.randn(40, 10) for i in range(6)},
        "stylegan2": {"images": 16, "class_names": ["a", "ü"], "random": [torch.get_rng_state()]},
    }


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


def assert_told_or_harmless(path, whole, data, what):
    path.write_bytes(data)
    try:
        read = read_tensors(path)
    except InputError:
        return True
    assert equal(read, whole), f"{what}: other contents were read"
    return False


def test_a_flipped_bit_is_told_or_changes_nothing(tmp_path, contents):
    path, draw = tmp_path / "a.ckpt", random.Random(0)
    write_tensors(contents, path)
    data = path.read_bytes()
    directory = data.index(b"PK\x01\x02")  # the end of the archive lists its records
    positions = [draw.randrange(8 * len(data)) for _ in range(200)]
    positions += [draw.randrange(8 * directory, 8 * len(data)) for _ in range(200)]
    told = 0
    for position in positions:
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        told += assert_told_or_harmless(path, contents, flipped, f"bit {position}")
    assert told > 200  # the others lie in padding, dates and the like


@pytest.mark.parametrize("size", [16, 512, 4096])
def test_a_zeroed_block_is_told_or_changes_nothing(tmp_path, contents, size):
    path = tmp_path / "a.ckpt"
    write_tensors(contents, path)
    data = path.read_bytes()
    for start in range(0, len(data), max(size, 256)):
        zeroed = data[:start] + bytes(len(data[start : start + size])) + data[start + size :]
        assert_told_or_harmless(path, contents, zeroed, f"{size} bytes from {start} on")


def test_a_file_cut_short_is_told(tmp_path, contents):
    path = tmp_path / "a.ckpt"
    write_tensors(contents, path)
    data = path.read_bytes()
    for length in range(0, len(data), 501):
        assert assert_told_or_harmless(path, contents, data[:length], f"cut to {length} bytes")


def test_the_message_names_the_newest_sound_checkpoint_beside_a_damaged_one(tmp_path, contents):
    for name in ("last", "kimg00000.100", "kimg00000.900", "kimg00001.000"):
        write_tensors(contents, tmp_path / f"{name}.ckpt")
    for name in ("last", "kimg00001.000"):
        path = tmp_path / f"{name}.ckpt"
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 4
        path.write_bytes(data)
    (tmp_path / "kimg00002.000.ckpt").write_bytes(b"")
    for read in (read_tensors, load_generator):
        with pytest.raises(InputError, match=r"last.ckpt.*damaged: .*kimg00000\.900\.ckpt"):
            read(tmp_path / "last.ckpt")
    assert newest_sound(tmp_path / "kimg00000.900.ckpt") == tmp_path / "kimg00000.100.ckpt"


def test_a_checkpoint_of_version_0_1_has_checksums_too(tmp_path):
    path = tmp_path / "last.ckpt"
    shutil.copy(GOLDEN / "v0.1" / "last.ckpt", path)
    assert read_tensors(path)["stylegan2"]["images"] == 16
    with zipfile.ZipFile(path) as archive:
        info = max(archive.infolist(), key=lambda info: info.file_size)
    data = bytearray(path.read_bytes())
    data[info.header_offset + 200] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        read_tensors(path)


def test_a_file_of_pytorchs_older_format_still_loads(tmp_path, contents):
    torch.save(contents, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert equal(read_tensors(tmp_path / "old.pt"), contents)


def test_a_file_that_was_written_without_checksums_still_loads(tmp_path, contents):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(contents, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert equal(read_tensors(tmp_path / "a.pt"), contents)


def test_what_cannot_be_written_leaves_the_old_file_and_says_so(tmp_path, contents):
    """The limit on the size of a file stands for a full disk."""
    write_tensors({"old": torch.zeros(3)}, tmp_path / "a.ckpt")
    code = (
        "import resource, signal, sys, torch\n"
        "from stylegan2.errors import InputError\n"
        "from stylegan2.formats.tensors import write_tensors\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "try:\n    write_tensors({'new': torch.zeros(99999)}, sys.argv[1])\n"
        "except InputError as error:\n    print(error)\n"
    )
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.ckpt"], capture_output=True, encoding="utf-8", check=True
    )
    assert "a.ckpt" in done.stdout and "previous checkpoint is unchanged" in done.stdout
    assert "old" in read_tensors(tmp_path / "a.ckpt") and os.listdir(tmp_path) == ["a.ckpt"]


def test_nothing_is_written_outside_the_targets_folder(tmp_path, contents, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr("tempfile.tempdir", None)
    names = []
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda value, file: (names.append(file.name), save(value, file)))
    write_tensors(contents, tmp_path / "a.ckpt")
    assert [os.path.dirname(name) for name in map(str, names)] == [str(tmp_path)]


@pytest.mark.parametrize(
    "broken",
    [
        {"stylegan2": {}},
        {"stylegan2": 3},
        {"stylegan2": {"generator": {"resolution": "x"}}, "state_dict": {}},
        {"synthesis.b4.conv1.weight": 1, "mapping.fc0.weight": 2},
        {"synthesis.b4.conv1.weight": torch.zeros(2), "mapping.fc0.weight": torch.zeros(2)},
    ],
)
def test_contents_that_describe_no_network_are_refused(tmp_path, broken):
    torch.save(broken, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"a\.ckpt"):
        load_generator(tmp_path / "a.ckpt")


def test_a_safetensors_file_that_the_disk_does_not_take_raises_an_os_error_and_leaves_nothing(tmp_path):
    """safetensors' own `save_file` raises another error, which no caller expects."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError):
            write_safetensors({"a": torch.zeros(1000)}, tmp_path / "a.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_tensors_that_share_memory_are_written_to_safetensors_as_they_are(tmp_path):
    a = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    write_safetensors({"a": a, "part": a[0]}, tmp_path / "a.safetensors", {"k": "é"})
    found = load_file(tmp_path / "a.safetensors")
    assert torch.equal(found["a"], a) and torch.equal(found["part"], a[0])
