"""Labels out of folders and dataset.json."""

import math
import shutil
from pathlib import Path

import pytest
import torch
from image_sets import images_of, make_two_classes, save, write_labels, zipped

from stylegan2.errors import InputError
from stylegan2.files import class_table


@pytest.fixture
def two_classes(tmp_path) -> Path:
    return make_two_classes(tmp_path / "set")


def test_folders_are_classes_in_the_order_of_their_names(two_classes):
    dataset = images_of(two_classes, 8, classes="folders")
    assert dataset.class_names == ["cats", "dogs"] and dataset.num_classes == 2
    assert dataset[2][1].tolist() == [1, 0] and dataset[3][1].tolist() == [0, 1]
    assert dataset[0][1].dtype == torch.float32


def test_numbered_folders_are_classes_in_the_order_of_their_numbers(tmp_path):
    for k in range(12):
        save(tmp_path / f"{k}/a.png", (k, 0, 0))
    dataset = images_of(tmp_path, 8, classes="folders")
    assert dataset.class_names == [str(k) for k in range(12)] and class_table(dataset.class_names) == ""
    for image, label in dataset:
        assert label.argmax() == image[0, 0, 0]


def test_the_class_table_says_which_number_is_which_class(two_classes):
    assert class_table(images_of(two_classes, 8, classes="folders").class_names) == "0 cats, 1 dogs"
    assert class_table(images_of(two_classes, 8).class_names) == ""


def test_folders_of_systems_are_no_classes(two_classes):
    for name in (
        "@eaDir/a.png",
        "$RECYCLE.BIN/b.png",
        "__MACOSX/c.png",
        ".thumbnails/d.png",
        "#recycle/e.png",
    ):
        save(two_classes / name)
    save(two_classes / "cats/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg")
    for form in (two_classes, zipped(two_classes)):
        dataset = images_of(form, 8, classes="folders")
        assert dataset.class_names == ["cats", "dogs"] and dataset.num_images == 6


def test_labels_name_files_as_other_systems_spell_them(two_classes):
    save(two_classes / "cats/é.png")
    names = (
        [rf"cats\{k}.png" for k in range(3)] + [f"./dogs/{k}.png" for k in range(3)] + ["cats/e\u0301.png"]
    )
    write_labels(two_classes, [[name, k] for k, name in enumerate(names)])
    assert images_of(two_classes, 8, classes="labels").num_classes == 7


def test_dataset_json_gives_classes_or_vectors(two_classes):
    names = [f"{kind}/{k}.png" for kind in ("cats", "dogs") for k in range(3)]
    write_labels(two_classes, [[name, 5 - k] for k, name in enumerate(names)])
    dataset = images_of(two_classes, 8, classes="labels")
    assert dataset.num_classes == 6 and dataset[1][1].tolist() == [0, 0, 0, 0, 1, 0]
    assert torch.equal(images_of(zipped(two_classes, "top/"), 8, classes="labels")[1][1], dataset[1][1])

    write_labels(two_classes, [[name, [k, 0.5]] for k, name in enumerate(names)])
    dataset = images_of(two_classes, 8, classes="labels")
    assert dataset.num_classes == 2 and dataset.class_names == [] and dataset[4][1].tolist() == [4, 0.5]


@pytest.mark.parametrize(
    "labels, message",
    [
        (None, "null labels"),
        ({"a.png": 0}, "found something else"),
        ([["a.png", 0]], "1 images without label .*b.png"),
        ([["a.png", 0], ["b.png", 1], ["c.png", 1]], "labels of files that are not there .*c.png"),
        ([["a.png", 0], ["b.png", 1], ["a.png", 1]], "two of a.png .*: 0, 1"),
        ([["a.png", 0], ["b.png", 1], ["./a.png", 0]], "two of a.png"),
        ([["a.png", [10**400]], ["b.png", [1]]], "all integers, or all lists"),
        ([["a.png", 0], ["b.png", -1]], "without gaps, found -1, 0"),
        ([["a.png", 0], ["b.png", 2]], "without gaps, found 0, 2"),
        ([["a.png", 0], ["b.png", [1.0]]], "all integers, or all lists"),
        ([["a.png", [0.0, 1.0]], ["b.png", [1.0]]], "all integers, or all lists"),
        ([["a.png", [0.0]], ["b.png", [math.nan]]], "all integers, or all lists"),
        ([["a.png", True], ["b.png", False]], "all integers, or all lists"),
    ],
)
def test_unusable_labels_are_refused(tmp_path, labels, message):
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    write_labels(tmp_path, labels)
    with pytest.raises(InputError, match=message):
        images_of(tmp_path, 8, classes="labels")
    assert images_of(tmp_path, 8).num_classes == 0


def test_unusable_class_sources_are_refused(two_classes):
    with pytest.raises(InputError, match="dataset.json.*found none"):
        images_of(two_classes, 8, classes="labels")
    with pytest.raises(InputError, match="found 3 outside"):
        images_of(two_classes / "cats", 8, classes="folders")
    shutil.rmtree(two_classes / "dogs")
    with pytest.raises(InputError, match="found only cats"):
        images_of(two_classes, 8, classes="folders")
    save(two_classes / "x.png")
    with pytest.raises(InputError, match=r"found 1 outside \(x.png\)"):
        images_of(two_classes, 8, classes="folders")
    for text in ("{", "", "[" * 100_000, '{"labels": ' + "[" * 100_000, "\ufeff{}", "\0"):
        (two_classes / "dataset.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="found something else"):
            images_of(two_classes, 8, classes="labels")
