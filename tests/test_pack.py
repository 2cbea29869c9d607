"""Converting a data set once."""

import io
import os
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from image_sets import RED, images_of, make_damaged, make_two_classes, noise, save, write_labels
from PIL import Image

from stylegan2.errors import InputError
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
