"""Converting a data set once."""

import io
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from image_sets import RED, images_of, make_damaged, make_two_classes, noise, save, write_labels
from PIL import Image

from stylegan2.data.decoding import decode
from stylegan2.errors import InputError
from stylegan2.tools import pack as tools_pack
from stylegan2.tools.pack import pack


@pytest.fixture
def two_classes(tmp_path) -> Path:
    return make_two_classes(tmp_path / "set")


@pytest.fixture
def damaged(tmp_path) -> Path:
    return make_damaged(tmp_path / "damaged")


@pytest.mark.parametrize("classes", ["none", "folders", "labels"])
def test_a_packed_set_reads_as_its_source(two_classes, tmp_path, classes):
    noise(two_classes / "dogs/large.jpg", 50)
    noise(two_classes / "dogs/large.png", 40)
    names = images_of(two_classes, 8).names
    write_labels(two_classes, [[name, [len(name), 0.25]] for name in names])
    out = tmp_path / "packed.zip"
    pack(str(two_classes), str(out), 8, classes=classes)
    source, packed = (images_of(p, 8, classes=classes) for p in (two_classes, out))
    assert ("dataset.json" in packed.source.names) == (classes != "none")
    assert packed.num_classes == source.num_classes and packed.class_names == source.class_names
    for (a, la), (b, lb) in zip(source, packed, strict=True):
        assert torch.equal(a, b) and torch.equal(la, lb)
    if classes == "folders":
        assert torch.equal(images_of(out, 8, classes="labels")[5][1], source[5][1])
    assert all(info.compress_type == zipfile.ZIP_STORED for info in zipfile.ZipFile(out).infolist())


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_packed_images_have_the_channels_asked_for(tmp_path, channels, mode):
    save(tmp_path / "set/a.png", (*RED, 100), mode="RGBA", size=(20, 20))
    pack(str(tmp_path / "set"), str(tmp_path / "a.zip"), 16, channels=channels)
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        image = Image.open(io.BytesIO(file.read("a.png")))
    assert image.mode == mode and image.size == (16, 16)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_names_that_a_zip_cannot_hold_are_changed(tmp_path):
    root = os.fsencode(make_two_classes(tmp_path / "set"))
    os.rename(root + b"/cats", root + b"/c\xe4ts")
    os.rename(root + b"/dogs/0.png", root + b"/dogs/0\\1.png")
    pack(str(tmp_path / "set"), str(tmp_path / "a.zip"), 8, classes="folders")
    packed = images_of(tmp_path / "a.zip", 8, classes="folders")
    assert packed.class_names == ["c\ufffdts", "dogs"] and "dogs/0_1.png" in packed.names
    assert images_of(tmp_path / "a.zip", 8, classes="labels").num_classes == 2


def test_a_failed_pack_leaves_nothing_and_keeps_the_old(damaged, tmp_path):
    out = tmp_path / "out.zip"
    out.write_bytes(b"old")
    with pytest.raises(InputError, match="3 of 8"):
        pack(str(damaged), str(out), 8)
    assert out.read_bytes() == b"old"
    with pytest.warns(UserWarning, match="3 of 8"):
        pack(str(damaged), str(out), 8, unreadable="skip")
    assert images_of(out, 8).num_images == 5
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    for bad in (out, tmp_path, tmp_path / "absent/out.zip"):
        with pytest.raises(InputError, match="name of a zip to write"):
            pack(str(out), str(bad), 8)
    with pytest.raises(InputError, match="name of a page to write"):
        pack(str(damaged), str(out), 8, report=str(tmp_path / "absent/page.html"))
    with pytest.raises(InputError, match="both as out and as report"):
        pack(str(damaged), str(tmp_path / "a.zip"), 8, report=str(tmp_path / "a.zip"))


def decoded(monkeypatch) -> list[bytes]:
    """The files that pack decodes from now on."""
    files = []
    monkeypatch.setattr(tools_pack, "decode", lambda data, *rest: files.append(data) or decode(data, *rest))
    return files


def test_what_was_refused_goes_on_without_decoding_again(damaged, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.zip"
    with pytest.raises(InputError, match="out.zip.partial, from which pack goes on"):
        pack(str(damaged), str(out), 8)
    assert "3a.png" in Path(f"{out}.html").read_text(encoding="utf-8")
    files = decoded(monkeypatch)
    with pytest.warns(UserWarning, match="3 of 8"):
        pack(str(damaged), str(out), 8, unreadable="skip", report=str(tmp_path / "page.html"), workers=1)
    assert files == [] and images_of(out, 8).num_images == 5
    assert "8 of 8 images are done already." in capsys.readouterr().out
    assert (tmp_path / "page.html").exists() and not list(tmp_path.glob("*.partial*"))


def test_after_a_change_the_images_before_it_stay(damaged, tmp_path, monkeypatch):
    with pytest.raises(InputError):
        pack(str(damaged), str(tmp_path / "out.zip"), 8)
    noise(damaged / "2a.png", 20)  # repaired
    (damaged / "0a.jpg").unlink()
    (damaged / "3a.png").unlink()
    names = images_of(damaged, 8).names
    files = decoded(monkeypatch)
    pack(str(damaged), str(tmp_path / "out.zip"), 8, workers=1)
    assert len(names) == 6 and len(files) == 5  # only 0.png comes before 0a.jpg
    pack(str(damaged), str(tmp_path / "again.zip"), 8)
    assert (tmp_path / "out.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("sent", ["SIGINT", "SIGKILL"])
def test_an_interrupted_pack_goes_on_and_gives_the_same_bytes(tmp_path, monkeypatch, sent):
    for k in range(60):
        noise(tmp_path / f"set/{k % 2}/{k}.png", 64, k)
    source, out, whole = str(tmp_path / "set"), tmp_path / "out.zip", tmp_path / "whole.zip"
    # The process sends itself the signal while it converts the 41st image.
    code = f"""
import os, signal, sys
from stylegan2 import __main__
from stylegan2.data import decoding
from stylegan2.tools import pack
def decode(data, *rest, count=[]):
    count.append(1)
    if len(count) == 41:
        os.kill(os.getpid(), signal.{sent})
    return decoding.decode(data, *rest)
pack.decode = decode
sys.exit(__main__.main({["pack", "--source", source, "--out", str(out), "--resolution", "16", "--workers", "1"]!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert done.returncode == (130 if sent == "SIGINT" else -signal.SIGKILL), done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert not out.exists() and Path(f"{out}.partial").stat().st_size > 20_000
    files = decoded(monkeypatch)
    pack(source, str(out), 16, workers=1)
    assert 18 <= len(files) <= 40  # at most those that were under way are decoded again
    pack(source, str(whole), 16)
    assert out.read_bytes() == whole.read_bytes()


def test_a_packed_set_is_cropped_around_the_points(tmp_path):
    for name in ("0.png", "1.png"):
        image = Image.open(save(tmp_path / f"set/{name}", RED, size=(40, 8)))
        image.paste((0, 0, 255), (24, 0, 40, 8))
        image.save(tmp_path / f"set/{name}")
    (tmp_path / "focus.json").write_text('{"1.png": [1, 0.5], "0.png": [0.1, 0.5]}', encoding="utf-8")
    out = str(tmp_path / "packed.zip")
    pack(str(tmp_path / "set"), out, 8, focus=str(tmp_path / "focus.json"))
    left, right = (image for image, _ in images_of(out, 8))
    assert (left.float().mean((1, 2)) == torch.tensor([255.0, 0, 0])).all()
    assert (right.float().mean((1, 2)) == torch.tensor([0.0, 0, 255])).all()


@pytest.mark.parametrize("channels", [1, 4])
def test_the_number_of_processes_changes_no_byte(damaged, tmp_path, channels):
    for k in range(40):
        noise(damaged / f"{k % 3}/{k}.png", 20, k)
    for workers in (1, 3):
        with pytest.warns(UserWarning, match="3 of 48"):
            out = str(tmp_path / f"{workers}.zip")
            pack(str(damaged), out, 8, channels=channels, unreadable="skip", workers=workers)
    one, three = ((tmp_path / f"{workers}.zip").read_bytes() for workers in (1, 3))
    assert one == three and len(zipfile.ZipFile(tmp_path / "3.zip").namelist()) == 45
    with pytest.raises(InputError, match="workers of 1 or more, found 0"):
        pack(str(damaged), str(tmp_path / "a.zip"), 8, workers=0)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
@pytest.mark.parametrize("victim, status", [("os.getpid()", 2), ("os.getppid()", -9)])
def test_a_killed_process_leaves_no_other_behind_and_pack_goes_on(tmp_path, victim, status):
    for k in range(60):
        noise(tmp_path / f"set/{k}.png", 64, k)
    source, out, whole = str(tmp_path / "set"), tmp_path / "out.zip", tmp_path / "whole.zip"
    code = f"""
import os, signal, sys
from stylegan2 import __main__
from stylegan2.data import decoding
from stylegan2.tools import pack
def decode(data, *rest):
    if data == open({str(tmp_path / "set/45.png")!r}, "rb").read():
        os.kill({victim}, signal.SIGKILL)
    return decoding.decode(data, *rest)
pack.decode = decode
sys.exit(__main__.main({["pack", "--source", source, "--out", str(out), "--resolution", "16", "--workers", "2"]!r}))
"""
    # The end of the output is reached only when every process has ended.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=100)
    assert done.returncode == status and "Traceback" not in done.stderr, done.stderr
    assert status != 2 or "Set fewer workers" in done.stderr
    pack(source, str(out), 16)
    pack(source, str(whole), 16, workers=1)
    assert out.read_bytes() == whole.read_bytes()
