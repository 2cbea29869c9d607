"""The harness of tests/reliability: it tells what does not hold, and a sample of every family holds."""

import os
import sys
import time
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the cases are forked and their memory is limited", allow_module_level=True)

from tests.reliability import FAMILIES, load
from tests.reliability import __main__ as command
from tests.reliability.areas import COLORS, GRAYS, any_size, areas, check
from tests.reliability.runner import EXECUTED, Family, run
from tests.reliability.samples import encoded

SAMPLE = 5
"""Cases of each family."""


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "kills"])
def test_a_sample_of_cases_holds(name):
    family = load(name)
    spread = range(0, family.count, max(1, family.count // SAMPLE))
    tallies = run(family, list(spread)[:SAMPLE], progress=False)
    assert {number: why for tally in tallies.values() for number, why in tally.failures.items()} == {}
    assert sum(tally.held for tally in tallies.values()) == SAMPLE


def made_up():
    family = Family("made up", "a case", "it holds", count=6, seconds=2)
    wrong = {
        "raises": lambda folder, random: 1 / 0,
        "dies": lambda folder, random: os.kill(os.getpid(), 9),
        "hangs": lambda folder, random: time.sleep(60),
        "is greedy": lambda folder, random: str(len(bytearray(700 << 20))),
        "executes": lambda folder, random: Path(EXECUTED).write_text("x", encoding="utf-8"),
    }
    family.kind("holds")(lambda folder, random: f"refused {random.random()}")
    for name, attempt in wrong.items():
        family.kind(name)(attempt)
    return family


def test_whatever_does_not_hold_is_told():
    tallies = run(made_up(), range(6), progress=False)
    told = {kind: " ".join(tally.failures.values()) for kind, tally in tallies.items()}
    for kind, text in {
        "raises": "ZeroDivisionError",
        "dies": "the process died",
        "hangs": "still busy after 2 s",
        "is greedy": "MB of memory",
        "executes": "code of the input was executed",
    }.items():
        assert text in told[kind]
    assert (told["holds"], tallies["holds"].held) == ("", 1)


def test_a_case_is_made_from_its_number_alone():
    first, second = (run(made_up(), [number], progress=False)["holds"].how for number in (0, 0))
    assert first == second and first != run(made_up(), [6], progress=False)["holds"].how


def test_the_command_prints_how_to_try_a_failure_again_and_ends_with_1(monkeypatch, capsys):
    monkeypatch.setattr(command, "load", lambda name: made_up())
    assert command.main(["zips", "--count", "2"]) == 1
    assert "python -m tests.reliability zips --seed 1 --count 1" in capsys.readouterr().out
    assert command.main(["zips", "--count", "1"]) == 0


@pytest.mark.parametrize("wrong", [GRAYS, COLORS[::-1]])
def test_an_image_of_other_colors_or_places_is_told_apart(tmp_path, wrong):
    from random import Random

    data = encoded(areas(COLORS, any_size(Random(0)), "RGB"))
    assert check(tmp_path / "image.png", data, COLORS) == "read"
    with pytest.raises(AssertionError, match="became"):
        check(tmp_path / "image.png", data, wrong)
