"""Where images are found, and what is refused as a place for them."""

import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
import torch
from image_sets import images_of, make_two_classes, noise, save, zipped

from stylegan2.data import ImageData
from stylegan2.data.sources import open_source, sources
from stylegan2.data.sources.folder import Folder
from stylegan2.errors import InputError


@pytest.fixture
def two_classes(tmp_path) -> Path:
    return make_two_classes(tmp_path / "set")


def test_nested_folders_and_upper_case_extensions_are_found_in_a_fixed_order(tmp_path):
    for name in ("b.PNG", "a/deep/er/x.JPG", "a/y.webp", "c.jpeg", "d.Bmp"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    save(tmp_path / ".hidden/x.png")
    dataset = images_of(tmp_path, 8)
    assert dataset.names == ["a/deep/er/x.JPG", "a/y.webp", "b.PNG", "c.jpeg", "d.Bmp"]
    assert len(dataset) == dataset.num_images == 5 and dataset.num_classes == 0
    assert dataset[0][1].shape == (0,)


@pytest.mark.parametrize("prefix", ["", "top/"])
def test_a_zip_is_read_like_its_folder(two_classes, prefix):
    folder = images_of(two_classes, 8, classes="folders")
    path = zipped(two_classes, prefix)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("__MACOSX/cats/._0.png", b"resource fork")
    packed = images_of(path, 8, classes="folders")
    assert packed.names == folder.names and packed.class_names == folder.class_names
    for (a, la), (b, lb) in zip(packed, folder, strict=True):
        assert torch.equal(a, b) and torch.equal(la, lb)


def test_the_demo_is_small_has_nine_classes_and_is_readable():
    dataset = images_of("demo", 32, classes="folders")
    dataset.scan(progress=False)
    assert dataset.num_images == 1906 and dataset.num_classes == 9 and dataset.in_memory
    assert "animals-nature" in dataset.class_names
    assert Path(dataset.source.path).stat().st_size <= 3_000_000


def test_the_demo_has_a_folder_of_smileys():
    assert images_of("demo/smileys-emotion", 32).num_images == 169


def test_a_folder_in_a_zip_is_a_data_set_of_its_own(tmp_path):
    for kind in ("cats", "dogs"):
        for i in range(3):
            save(tmp_path / "all" / kind / f"{i}.png")
    archive = zipped(tmp_path / "all", prefix="top/")
    for inside in ("cats", "top/cats"):
        assert images_of(archive / inside, 8).names == ["0.png", "1.png", "2.png"]
    with pytest.raises(InputError, match="Expected images"):
        images_of(archive / "birds", 8)


def test_unusable_paths_are_refused(tmp_path):
    with pytest.raises(InputError, match="found nothing at"):
        images_of(tmp_path / "absent", 8)
    with pytest.raises(InputError, match=r"found no files\."):
        images_of(tmp_path, 8)
    (tmp_path / "a.gif").write_bytes(b"")
    (tmp_path / "b.gif").write_bytes(b"")
    (tmp_path / "c.txt").write_bytes(b"")
    with pytest.raises(InputError, match=r"\.png \.jpg \.jpeg \.webp \.bmp.*found 2 \.gif, 1 \.txt"):
        images_of(tmp_path, 8)
    with pytest.raises(InputError, match="a folder or a zip of images, found the file"):
        images_of(tmp_path / "c.txt", 8)


def test_a_corrupt_zip_is_refused(two_classes):
    path = zipped(two_classes)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="intact zip"):
        images_of(path, 8)


def test_a_folder_called_demo_is_a_folder_of_the_users(tmp_path, monkeypatch):
    noise(tmp_path / "demo/mine.png", 8)
    monkeypatch.chdir(tmp_path)
    assert images_of("./demo").names == ["mine.png"]
    assert images_of("demo").num_images == 1906


def test_a_name_that_a_zip_holds_twice_is_one_image(two_classes):
    path = zipped(two_classes)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as file:
        file.write(two_classes / "cats/0.png", "dogs/0.png")
    dataset = images_of(path)
    assert dataset.names == images_of(two_classes).names
    assert torch.equal(dataset[3][0], dataset[0][0])  # the later content is the valid one


def test_a_source_of_the_users_own_is_read_like_a_folder(two_classes, tmp_path):
    @sources.register("database")
    class Database:
        def __init__(self, path):
            self.path = path
            self.names = [name for (name,) in self.rows("SELECT name FROM images ORDER BY name")]

        @staticmethod
        def takes(path):
            return path.endswith(".sqlite")

        def read(self, name):
            return self.rows("SELECT content FROM images WHERE name = ?", name)[0][0]

        def rows(self, query, *values):
            with closing(sqlite3.connect(self.path)) as database:
                return database.execute(query, values).fetchall()

    folder = images_of(two_classes, classes="folders", mirror=True)
    path = tmp_path / "photos.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE images (name TEXT, content BLOB)")
        rows = [(name, folder.source.read(name)) for name in folder.names]
        database.executemany("INSERT INTO images VALUES (?, ?)", rows)
    for workers in (0, 2):
        data = ImageData(str(path), 8, classes="folders", mirror=True, workers=workers, cache_gb=0)
        dataset = data.open(progress=False)
        assert dataset.names == folder.names and dataset.class_names == ["cats", "dogs"]
        images, labels = next(iter(dataset.loader(12, seed=0)))
        expected, expected_labels = next(iter(folder.loader(12, seed=0)))
        assert torch.equal(images, expected) and torch.equal(labels, expected_labels)


def test_a_source_for_special_folders_comes_before_folders(two_classes):
    @sources.register("special folder")
    class Special(Folder):
        @staticmethod
        def takes(path):
            return (Path(path) / "special").exists()

    assert type(open_source(two_classes)) is Folder
    (two_classes / "special").touch()
    assert type(open_source(two_classes)) is Special
