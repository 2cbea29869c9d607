"""A zip that is written in steps."""

import sys
import zipfile

import pytest

from stylegan2.data.partial_zip import PartialZip, paths
from stylegan2.errors import InputError

STEPS = [("a.png", b"first" * 99), ("", b""), ("ü/b.png", b"second"), ("c.png", b""), ("d.png", b"x" * 1000)]
IDENTITY = {"size": 8}


def valid(step, note):
    return True


def write(target, steps, is_valid=valid, identity=IDENTITY):
    """Take up to so many steps in all. Returns how many of them were done before."""
    with PartialZip.open(target, identity, is_valid) as partial:
        done = len(partial.notes)
        for number, (name, data) in list(enumerate(STEPS))[done:steps]:
            partial.add(f"note {number}", name, data)
        if steps == len(STEPS):
            partial.finish({"dataset.json": b"{}"})
    return done


@pytest.fixture
def whole(tmp_path):
    assert write(tmp_path / "whole.zip", 5) == 0
    return (tmp_path / "whole.zip").read_bytes()


@pytest.mark.parametrize("steps", range(5))
def test_an_interrupted_zip_is_byte_for_byte_that_of_one_go(tmp_path, whole, steps):
    target = tmp_path / "out.zip"
    write(target, steps)
    assert not target.exists()
    assert write(target, 5) == steps
    assert target.read_bytes() == whole and not any(path.exists() for path in paths(target))
    with zipfile.ZipFile(target) as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in file.namelist()} == {
            name: data for name, data in STEPS if name
        } | {"dataset.json": b"{}"}


@pytest.mark.parametrize("cut", [1, 20, 600, 1100])
@pytest.mark.parametrize("which", [0, 1])
def test_what_is_cut_off_anywhere_is_done_again(tmp_path, whole, which, cut):
    target = tmp_path / "out.zip"
    write(target, 4)
    path = paths(target)[which]
    content = path.read_bytes()
    path.write_bytes(content[: max(0, len(content) - cut)])
    assert write(target, 5) <= 4
    assert target.read_bytes() == whole


def test_damage_is_found_by_the_checksum(tmp_path, whole):
    target = tmp_path / "out.zip"
    write(target, 4)
    part = paths(target)[0]
    part.write_bytes(part.read_bytes().replace(b"second", b"sEcond"))
    assert write(target, 5) == 2
    assert target.read_bytes() == whole


def test_steps_that_no_longer_hold_and_other_identities_start_anew(tmp_path, whole):
    target = tmp_path / "out.zip"
    write(target, 4)
    assert write(target, 4, lambda step, note: note != "note 1") == 1
    assert write(target, 4, identity={"size": 16}) == 0
    assert write(target, 5) == 0
    assert target.read_bytes() == whole


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_one_process_at_a_time_writes(tmp_path):
    with (
        PartialZip.open(tmp_path / "out.zip", IDENTITY, valid),
        pytest.raises(InputError, match="at work on it"),
    ):
        write(tmp_path / "out.zip", 5)
