"""A disk without room is noticed at the start, and one that fills in the middle leaves only whole files."""

import errno
import os
from types import SimpleNamespace

import numpy as np
import pytest
from explore_cases import save_network, tiny_network
from PIL import Image, ImageFilter

from stylegan2.__main__ import run
from stylegan2.explore.animation import frame_bytes, write_animation
from stylegan2.images import png_bytes, save_png

COMMANDS = {
    "generate": ["--seeds", "0-4", "--out", "out"],
    "video": ["--seeds", "0-3", "--frames", "4", "--out", "out"],
    "video of one file": ["--seeds", "0-3", "--frames", "4", "--out", "walk.gif"],
    "sheet": ["--kind", "mixing", "--out", "sheet.png"],
    "directions": ["--samples", "100", "--out", "found.safetensors"],
    "project": ["--image", "photo.png", "--steps", "4", "--distance", "pixels", "--out", "out"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    save_network(tiny_network(), tmp_path / "n.ckpt")
    Image.new("RGB", (16, 16), "red").save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(name):
    return run(name.split()[0], ["--checkpoint", "n.ckpt", *COMMANDS[name]], f"stylegan2 {name}")


def written(folder):
    """The files below a folder, with temporary ones."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_without_room_is_refused_before_anything_is_written(folder, capsys, monkeypatch, name):
    before = written(folder)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2000))
    assert start(name) == 2
    error = capsys.readouterr().err
    assert "2 kB free" in error and "Expected room for" in error and "about" in error
    assert "--out" in error and "Traceback" not in error
    assert written(folder) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_fills_in_the_middle_leaves_whole_files_only(folder, capsys, monkeypatch, name):
    """Every file goes through `put_in_place`, where a disk with delayed allocation says that it is full."""
    from stylegan2 import files

    before, left, put_in_place = written(folder), 2 if "directions" not in name else 0, files.put_in_place

    def full(temporary, path):
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary))
        left -= 1
        put_in_place(temporary, path)

    whole = name in ("video of one file", "sheet", "directions")
    left = 0 if whole else 2
    monkeypatch.setattr(files, "put_in_place", full)
    assert start(name) == 2
    error = capsys.readouterr().err
    assert "No space left on device" in error and "Make room" in error and "Traceback" not in error
    after = [path for path in written(folder) if path not in before]
    assert len(after) == (0 if whole else 2)
    for path in folder.rglob("*.png"):
        np.asarray(Image.open(path))  # whole
    if name in ("generate", "video"):
        total = "5 images" if name == "generate" else "13 frames"
        assert f"after 2 of {total}, which stay there" in error


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4", ""])
def test_the_room_for_frames_is_about_what_they_take(tmp_path, suffix):
    if suffix == ".mp4":
        pytest.importorskip("imageio_ffmpeg")
    random = np.random.default_rng(0)
    noise = [Image.fromarray(random.integers(0, 256, (96, 96, 3), np.uint8)) for _ in range(20)]
    smooth = [picture.filter(ImageFilter.GaussianBlur(3)) for picture in noise]
    for frames in (noise, smooth):
        path = write_animation(frames, tmp_path / f"a{suffix}", 30)
        files = [path] if suffix else list(path.iterdir())
        block = 1 if suffix else 4096  # of a disk
        taken = sum(-(-file.stat().st_size // block) * block for file in files)
        expected = len(frames) * frame_bytes(frames[0], suffix)
        assert taken <= 1.1 * expected <= (3 if suffix == ".mp4" else 1.3) * taken


def test_the_bytes_of_a_png_file_are_whole_blocks(tmp_path):
    picture = Image.effect_noise((200, 100), 50)
    save_png(picture, tmp_path / "a.png")
    size = (tmp_path / "a.png").stat().st_size
    assert size <= png_bytes(picture) < size + 4096 and png_bytes(picture) % 4096 == 0
    assert png_bytes(Image.new("L", (1, 1))) == 4096


def test_an_encoder_that_cannot_write_is_told_clearly(folder, capsys):
    """FFmpeg is another program. It ends with a message of its own when the disk is full."""
    pytest.importorskip("imageio_ffmpeg")
    pytest.importorskip("resource")
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))  # as if 3 kB were free
    try:
        status = run(
            "video",
            ["--checkpoint", "n.ckpt", "--seeds", "0-9", "--frames", "12", "--out", "walk.mp4"],
            "stylegan2 video",
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    error = capsys.readouterr().err
    assert status == 2 and "ffmpeg" in error and "Traceback" not in error
    assert written(folder) == ["n.ckpt", "photo.png"]
