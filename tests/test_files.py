"""Files are replaced whole or not at all; tables come out as text."""

import os
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml

from stylegan2 import files
from stylegan2.errors import InputError
from stylegan2.files import (
    bytes_text,
    markdown_table,
    remove_leftovers,
    replacing,
    require_room,
    safe_name,
    text_table,
    with_room,
    write_text,
    yaml_text,
)


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with replacing(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old" and temporary.parent == tmp_path
    assert path.read_text(encoding="utf-8") == "new" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half of the n", encoding="utf-8")
        raise error
    assert path.read_text(encoding="utf-8") == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_block_that_writes_nothing_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text(encoding="utf-8") == "old"


def test_the_content_is_flushed_before_it_gets_its_name(tmp_path, monkeypatch):
    """Otherwise a power cut right after the renaming could leave an empty file."""
    events, fsync, replace = [], os.fsync, os.replace

    def record_fsync(handle):
        events.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "content")
        fsync(handle)

    def record_replace(*paths):
        events.append("name")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    write_text(tmp_path / "a.txt", "text")
    assert events == ["content", "name", *(["folder"] if os.name == "posix" else [])]


def test_only_what_replacing_leaves_behind_is_removed(tmp_path):
    """As a kill in the middle of writing leaves it."""
    for name in ("a.tmp", ".a.tmp", ".a.1.2.tmp.txt", "sub"):
        (tmp_path / name).touch() if name != "sub" else (tmp_path / name).mkdir()
    before = sorted(tmp_path.rglob("*"))
    code = (
        "import os, sys; from stylegan2.files import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n    temporary.touch()\n    os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "sub" / "a.txt"])
    assert len(sorted(tmp_path.rglob("*"))) == len(before) + 1
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_missing_folders_are_made(tmp_path):
    write_text(tmp_path / "a/b/c.txt", "text")
    assert (tmp_path / "a/b/c.txt").read_text(encoding="utf-8") == "text"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_a_file_gets_the_mode_that_any_new_file_gets(tmp_path):
    (tmp_path / "usual.txt").touch()
    write_text(tmp_path / "a.txt", "text")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual.txt", "a.txt")]
    assert modes[0] == modes[1]


def test_text_is_utf_8_whatever_the_locale(tmp_path):
    code = "import sys; from stylegan2.files import write_text; write_text(sys.argv[1], '256\\u00d7256')"
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    path = tmp_path / "a.txt"
    subprocess.run([sys.executable, "-c", code, path], env=environment, check=True)
    assert path.read_bytes() == "256×256".encode()


def test_text_tables_align_their_columns():
    assert text_table(["name", "n"], [["a", "10"], ["longer", "2"]]) == "name    n\na       10\nlonger  2"
    assert text_table(["name"], []) == "name"


def test_markdown_tables_escape_vertical_bars():
    assert markdown_table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 |"


@pytest.mark.parametrize(
    "text, name",
    [
        ("cats & dogs", "cats & dogs"),
        ('a<b>c:d"e/f\\g|h?i*j', "a_b_c_d_e_f_g_h_i_j"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("tab\tnew\nline\x1b[31m\u202e\udcff", "tab_new_line_[31m__"),
        ("ends with dots. ..", "ends with dots"),
        ("Käse 猫 🐱", "Käse 猫 🐱"),
        ("Ka\u0308se", "Käse"),
        ("猫" * 100, "猫" * 26),
        ("...", ""),
    ],
)
def test_a_safe_name_is_a_file_name_on_any_system(text, name, tmp_path):
    assert safe_name(text) == name
    write_text(tmp_path / f"{name}.txt", "text")


def test_a_safe_name_can_be_written_where_file_names_are_ascii():
    code = "import os, runpy, sys; name = runpy.run_path(sys.argv[1])['safe_name']('K\\u00e4se')"
    code += "; print(os.fsencode(name))"
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, files.__file__]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert done.stdout.strip() == b"b'K_se'"


def test_bytes_that_are_no_utf8_are_written_readably(tmp_path):
    name = os.fsdecode(b"photos\xff")
    write_text(tmp_path / "a.md", f"{name} und größe")
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == "photos\\udcff und größe"
    write_text(tmp_path / "a.yaml", yaml_text({"path": name}))
    assert yaml.safe_load((tmp_path / "a.yaml").read_text(encoding="utf-8")) == {"path": name}


def test_room_that_a_disk_does_not_have_is_refused_with_both_numbers(tmp_path, monkeypatch):
    asked = []
    usage = SimpleNamespace(free=1_300_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: asked.append(path) or usage)
    require_room(tmp_path / "new" / "folder", 1.2e9, "60 frames")
    with pytest.raises(InputError, match="60 frames, about 3.6 GB, found 1.3 GB free"):
        require_room(tmp_path / "new" / "folder", 3.6e9, "60 frames")
    assert asked == [tmp_path] * 2  # the disk of the nearest folder that exists


def test_the_first_piece_with_a_size_decides_before_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100))
    made = []

    def pieces():
        for size in (0, 20, 1000, 1000, 1000, 1000):
            made.append(size)
            yield size

    assert len(list(with_room(pieces(), 5, float, tmp_path, "pieces"))) == 6
    made.clear()
    with pytest.raises(InputError, match="free"):
        list(with_room(pieces(), 6, float, tmp_path, "pieces"))
    assert made == [0, 20]


def test_bytes_are_given_in_their_largest_unit():
    numbers = (300, 660e6, 99.6e6, 1.25e9, 3e12)
    assert [bytes_text(n) for n in numbers] == ["0.3 kB", "660 MB", "100 MB", "1.2 GB", "3 TB"]
