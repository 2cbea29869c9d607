"""Names of files and folders."""

import random

from stylegan2.data.names import alike, from_bytes, in_natural_order, plain, printable, to_bytes, visible


def test_numbers_in_names_are_sorted_as_numbers():
    names = ["0", "1", "2", "9", "10", "11", "a", "a1", "a1b", "a2", "a10", "a10b2", "a10b10"]
    for seed in range(5):
        assert in_natural_order(random.Random(seed).sample(names, len(names))) == names
    assert in_natural_order(["001", "1", "01"]) == ["001", "01", "1"] == in_natural_order(["1", "01", "001"])
    assert in_natural_order(["x" + "9" * 5000, "x1"])[0] == "x1"


def test_names_without_numbers_are_sorted_as_text():
    names = ["Zebra", "ant", "a b", "a", "émeu", "b-c", "b_c"]
    assert in_natural_order(names) == sorted(names)


def test_what_systems_put_beside_files_is_not_visible():
    for name in (
        ".DS_Store",
        ".thumbnails",
        "__MACOSX",
        "@eaDir",
        "$Recycle.Bin",
        "System Volume Information",
    ):
        assert not visible(name)
    for name in ("photos", "eaDir", "recycle", "a.png", "_", "$5"):
        assert visible(name)


def test_names_are_utf8_and_other_bytes_are_kept():
    for raw in ("größe".encode(), b"gr\xf6\xdfe"):
        assert to_bytes(from_bytes(raw)) == raw
    assert printable(from_bytes(b"gr\xf6\xdfe")) == r"gr\xf6\xdfe"
    assert printable("größe") == "größe" and printable("a\n\x1b[2J\u202eb") == r"a\n\x1b[2J\u202eb"


def test_spellings_of_one_path_are_alike():
    assert plain(r".\cats\.\0.png") == plain("cats//0.png") == "cats/0.png"
    assert alike("cats/e\u0301.png") == alike(r"cats\é.png")
