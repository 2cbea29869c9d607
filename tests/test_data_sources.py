"""Where images are found, and what is refused as a place for them."""

import os
import sqlite3
import subprocess
import sys
import time
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
from stylegan2.tools.train import default_name


@pytest.fixture
def two_classes(tmp_path) -> Path:
    return make_two_classes(tmp_path / "set")


def test_nested_folders_and_upper_case_extensions_are_found_in_a_fixed_order(tmp_path):
    for name in ("b.PNG", "a/deep/er/x.JPG", "a/y.webp", "c.jpeg", "d.Bmp"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("", encoding="utf-8")
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
    (tmp_path / "a.svg").write_bytes(b"")
    (tmp_path / "b.svg").write_bytes(b"")
    (tmp_path / "c.txt").write_bytes(b"")
    with pytest.raises(InputError, match=r"\.png .*\.jpeg .*\.webp .*found 2 \.svg, 1 \.txt"):
        images_of(tmp_path, 8)
    with pytest.raises(InputError, match="a folder or a zip of images, found the file"):
        images_of(tmp_path / "c.txt", 8)


def test_a_corrupt_zip_is_refused(two_classes):
    path = zipped(two_classes)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="intact zip"):
        images_of(path, 8)


def test_a_folder_called_demo_is_a_folder_of_the_users(tmp_path, monkeypatch):
    noise(tmp_path / "demo/smileys-emotion/mine.png", 8)
    monkeypatch.chdir(tmp_path)
    for path in (
        "./demo/smileys-emotion",
        "demo/smileys-emotion",
        "demo//smileys-emotion/",
        tmp_path / "demo",
    ):
        assert images_of(path).names[0].endswith("mine.png")
    assert images_of("demo").num_images == 1906 and images_of("demo:smileys-emotion").num_images == 169


@pytest.mark.parametrize(
    "path, name",
    [
        ("demo", "demo"),
        ("demo:smileys-emotion", "demo"),
        ("./demo", "demo"),
        (".", "pictures"),
        ("..", "holiday v1.5"),
        ("cats/", "cats"),
        ("../photos.v2", "photos.v2"),
        ("../photos.zip", "photos"),
        ("/", "run"),
    ],
)
def test_a_run_is_named_after_the_folder_that_the_path_means(tmp_path, monkeypatch, path, name):
    folder = tmp_path / "holiday v1.5/pictures"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert default_name(path) == name


@pytest.mark.parametrize("rename", [lambda name: name.replace("/", "\\"), lambda name: f"./{name}"])
def test_a_zip_with_backslashes_or_dots_is_read_like_its_folder(two_classes, rename):
    path = two_classes.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(rename("cats/"), "")
        for item in two_classes.rglob("*.png"):
            file.writestr(rename(item.relative_to(two_classes).as_posix()), item.read_bytes())
    packed, folder = (images_of(p, 8, classes="folders") for p in (path, two_classes))
    assert packed.names == folder.names and packed.class_names == ["cats", "dogs"]
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(packed, folder, strict=True))


def test_names_in_a_zip_are_utf8_even_if_it_does_not_say_so(tmp_path):
    noise(tmp_path / "set/grün.png", 8)
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.write(tmp_path / "set/grün.png", "gruen.png")
    path.write_bytes(path.read_bytes().replace(b"gruen.png", "grün.png".encode()))
    dataset = images_of(path)
    assert dataset.names == ["grün.png"] and dataset[0][0].shape == (3, 8, 8)


def test_links_that_lead_back_end_and_each_real_file_is_there_once(tmp_path):
    root, outside = tmp_path / "set", tmp_path / "outside"
    for name in ("set/cats/0.png", "set/.hidden/h.png", "outside/more/1.png"):
        noise(tmp_path / name, 8)
    for link, target in {
        "cats/loop": root,
        "above": tmp_path,
        "everything": Path("/"),
        "again": root / "cats",
        "itself": root / "itself",
        "a": outside / "more",
        "z": outside,
        "same.png": root / "cats/0.png",
        "twice.png": outside / "more/1.png",
        "kept.png": root / ".hidden/h.png",
    }.items():
        (root / link).symlink_to(target)
    dataset = images_of(root)
    assert dataset.names == ["a/1.png", "cats/0.png", "kept.png"]
    with pytest.warns(UserWarning, match="Left out") as warned:
        dataset.scan(progress=False)
    for name in ("cats/loop", "above", "everything", "again", "same.png", "twice.png"):
        assert f"{name}: a link to a" in str(warned[0].message)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no paths of 2,000 characters")
def test_the_time_to_look_through_nested_folders_grows_with_their_number(tmp_path):
    folders = [tmp_path / "set"]
    for _ in range(1000):
        folders.append(folders[-1] / "d")
    for folder in folders:
        folder.mkdir()
    noise(folders[-1] / "deepest.png", 8)
    (folders[-1] / "loop").symlink_to(folders[0])
    (folders[-1] / "inside").symlink_to(folders[500])
    start = time.process_time()
    source = Folder(str(folders[0]))
    seconds = time.process_time() - start
    (folders[-1] / "inside").unlink()  # pytest's own removal would recurse too deeply
    (folders[-1] / "loop").unlink()
    (folders[-1] / "deepest.png").unlink()
    for folder in reversed(folders):
        folder.rmdir()
    assert source.names == ["d/" * 1000 + "deepest.png"] and len(source.left_out) == 2
    assert seconds < 3  # with a look at every parent of every folder: 9 and more


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_pipes_devices_and_broken_links_do_not_block(tmp_path):
    noise(tmp_path / "0.png", 8)
    os.mkfifo(tmp_path / "1.png")
    (tmp_path / "2.png").symlink_to("/dev/zero")
    (tmp_path / "3.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(InputError, match="3 of 4 images") as error:
        images_of(tmp_path).scan(progress=False)
    for line in ("1.png: this is a pipe", "2.png: this is a pipe or a device", "3.png: No such file"):
        assert line in str(error.value)
    for make in (os.mkfifo, lambda path: path.symlink_to("/nowhere")):
        make(tmp_path / "dataset.json")
        with pytest.raises(InputError, match="found something else"):
            images_of(tmp_path, classes="labels")
        (tmp_path / "dataset.json").unlink()


def test_the_folders_of_runs_are_no_data(tmp_path):
    noise(tmp_path / "photos/0.png", 8)
    run = tmp_path / "runs/photos"
    noise(run / "samples/kimg00000.000.png", 8)
    noise(run / "checkpoints/x.png", 8)
    (run / "config.yaml").write_text("", encoding="utf-8")
    dataset = images_of(tmp_path)
    assert dataset.names == ["photos/0.png"]
    with pytest.warns(UserWarning, match="runs/photos: the folder of a training run"):
        dataset.scan(progress=False)
    with pytest.raises(InputError, match="is the folder of a training run"):
        images_of(run)
    assert images_of(run / "samples").num_images == 1  # named by itself, it is what the user wants


def test_files_of_other_types_are_counted(tmp_path):
    for name in ("0.png", "a.txt", "b.txt", "c.psd", "Thumbs.db", ".DS_Store", "dataset.json"):
        noise(tmp_path / name, 8, format="png")
    with pytest.warns(UserWarning, match=r"3 files of other types: 2 \.txt, 1 \.psd"):
        images_of(tmp_path).scan(progress=False)


def test_closed_folders_are_refused_or_skipped_and_told(tmp_path, monkeypatch):
    noise(tmp_path / "open/0.png", 8)
    noise(tmp_path / "closed/1.png", 8)
    real = os.scandir

    def scandir(path):
        if os.fsencode(path).rstrip(b"/").endswith(b"closed"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match="1 folders in .* cannot be read:\n  closed/: Permission denied"):
        images_of(tmp_path).scan(progress=False)
    with pytest.warns(UserWarning, match="closed/: Permission denied"):
        images_of(tmp_path, unreadable="skip").scan(progress=False)
    with pytest.raises(InputError, match="cannot be read \\(Permission denied\\)"):
        images_of(tmp_path / "closed")


def test_names_are_utf8_whatever_the_locale(tmp_path):
    """Python in an ASCII locale, as on a minimal server."""
    noise(tmp_path / "grün/größe.png", 8)
    noise(tmp_path / "rot/é.png", 8)
    (tmp_path / "dataset.json").write_text(
        '{"labels": [["grün/größe.png", 0], ["rot/e\u0301.png", 1]]}', encoding="utf-8"
    )
    code = """
import sys
from stylegan2.data import ImageData
data = ImageData(sys.argv[1], 8, classes="folders").open(progress=False)
print(ascii(data.class_names), len(data))
for path in (sys.argv[1], "gr\\xfcn"):
    ImageData(path, 8, classes="labels" if path == sys.argv[1] else "none").open(progress=False)
"""
    env = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env["PYTHONPATH"] = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.stdout == "['gr\\xfcn', 'rot'] 2\n", done.stderr


def test_a_name_that_a_zip_holds_twice_is_one_image(two_classes):
    path = zipped(two_classes)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as file:
        file.write(two_classes / "cats/0.png", "dogs/0.png")
    dataset = images_of(path)
    assert dataset.names == images_of(two_classes).names
    assert torch.equal(dataset[3][0], dataset[0][0])  # the later content is the valid one


@pytest.mark.parametrize("other", ["./dogs/0.png", "dogs\\0.png", "dogs//0.png"])
def test_two_spellings_of_one_name_in_a_zip_are_refused(two_classes, other):
    path = zipped(two_classes)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(other, (two_classes / "cats/0.png").read_bytes())
    with pytest.raises(InputError) as refusal:
        images_of(path)
    assert "one file per name" in str(refusal.value)
    assert repr("dogs/0.png") in str(refusal.value) and repr(other) in str(refusal.value)


def test_two_spellings_of_a_hidden_name_in_a_zip_are_no_matter(two_classes):
    path = zipped(two_classes)
    with zipfile.ZipFile(path, "a") as file:
        for name in ("cats/.DS_Store", "./cats/.DS_Store"):
            file.writestr(name, name)
    assert images_of(path).names == images_of(two_classes).names


@pytest.mark.parametrize("stated", [None, 3000])
def test_a_zip_gives_no_more_than_it_states_and_the_memory_allows(two_classes, monkeypatch, stated):
    path = zipped(two_classes)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("cats/bomb.png", bytes(5000))
        where = file.getinfo("cats/bomb.png").header_offset
    if stated:
        data = path.read_bytes()
        entry = data.rfind(b"PK\1\2", 0, data.rfind(b"cats/bomb.png"))
        for offset in (where + 22, entry + 24):
            data = data[:offset] + stated.to_bytes(4, "little") + data[offset + 4 :]
        path.write_bytes(data)
    monkeypatch.setattr("stylegan2.data.checking.usable_memory", lambda: 8 * 4000)
    with pytest.raises(Exception, match="CRC" if stated else "more than an eighth of the memory"):
        open_source(path).read("cats/bomb.png")


def test_a_file_larger_than_the_memory_allows_is_not_read(tmp_path):
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(1 << 43)
    with pytest.raises(ValueError, match="more than an eighth of the memory"):
        open_source(tmp_path).read("huge.png")


def test_a_path_that_cannot_be_looked_at_is_refused(tmp_path):
    with pytest.raises(InputError, match="found nothing at"):
        open_source(tmp_path / ("x" * 300) / "photos")  # as for a folder that may not be entered


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
