"""The score of the black box: planted faults that it finds, and whether it names the right object."""

import importlib
import re
from pathlib import Path

import pytest
import torch
from faults import official
from faults.blind import FOUND_AT_FIRST, NAMED_AT_FIRST

from stylegan2.blackbox import audit, check_path_length, check_r1, probe_gan

FOLDERS = {
    folder: sorted(path.stem for path in (Path(__file__).parent / "faults" / folder).glob("[!_]*.py"))
    for folder in ("cases", "blind")
}
"""Faults that were written together with the rules, and faults that were written before the rules were looked at."""
FOLDER_OF = {name: folder for folder, names in FOLDERS.items() for name in names}


def reals():
    from stylegan2.blackbox.discriminator import smooth_images

    return smooth_images(8, 3, (32, 32))


def ws_of(generator):
    torch.manual_seed(2)
    w = generator.mapping(torch.randn(8, 64)).detach()
    return torch.stack([w, *[w.roll(i, 0) for i in range(1, generator.num_ws)]], dim=1)


def audited(training, iterations=11):
    torch.manual_seed(0)
    return audit(
        training.step,
        generator=training.generator,
        discriminator=training.discriminator,
        average=training.average,
        optimizers=[training.opt_g, training.opt_d],
        iterations=iterations,
        gamma=10.0,
        path_length_weight=2.0,
    )


def case_of(name):
    return importlib.import_module(f"faults.{FOLDER_OF[name]}.{name}")


def findings(case):
    """What the black box says of one case."""
    if hasattr(case, "generator"):
        return probe_gan(case.generator(), sample_z=64).findings
    if hasattr(case, "discriminator"):
        return probe_gan(discriminator=case.discriminator(), reals=reals()).findings
    every = getattr(case, "EVERY", 1)
    if hasattr(case, "r1"):
        return check_r1(case.r1, official.Discriminator(), reals(), gamma=10.0, every=every)
    if hasattr(case, "path_length"):
        generator = official.Generator(width=16, resolution=16, layers=2)
        return check_path_length(case.path_length, generator.synthesis, ws_of(generator), every=every)
    if hasattr(case, "training"):
        return audited(case.training()).findings
    raise AssertionError(f"{case.__name__} defines nothing to probe")


def outcome(name):
    """(found, named, the findings as text)"""
    case = case_of(name)
    said = [(f.name, str(f)) for f in findings(case)]
    found = [text for finding, text in said if finding in case.FINDINGS]
    return bool(found), any(case.OBJECT in text for text in found), [text for _, text in said]


@pytest.fixture(scope="module")
def outcomes():
    return {name: outcome(name) for name in FOLDER_OF}


@pytest.mark.slow
@pytest.mark.parametrize("names", FOLDERS.values(), ids=FOLDERS)
def test_at_least_85_percent_of_the_planted_faults_are_found_and_75_named(outcomes, names):
    missed = [name for name in names if not outcomes[name][0]]
    unnamed = [name for name in names if not outcomes[name][1]]
    assert len(missed) <= 0.15 * len(names), missed
    assert len(unnamed) <= 0.25 * len(names), unnamed


def table(outcomes):
    """The rows of the tables in docs/blackbox.md: the fault, and the finding that names it."""
    rows = []
    for name, (found, named, _) in outcomes.items():
        case = case_of(name)
        first = (
            f" {word(name in FOUND_AT_FIRST, name in NAMED_AT_FIRST)} |" if FOLDER_OF[name] == "blind" else ""
        )
        rows.append(
            f"| {name} | {case.__doc__} | {' or '.join(case.FINDINGS)} |{first} {word(found, named)} |"
        )
    return rows


def word(found, named):
    return "yes" if named else "found" if found else "no"


def score(outcomes, folder):
    """The rows of the table of scores."""
    names = FOLDERS[folder]
    found, named = (sum(outcomes[name][i] for name in names) for i in (0, 1))
    if folder == "cases":
        return [f"| faults written together with the rules | {len(names)} | {found} | {named} |"]
    return [
        "| faults written before rules were looked at, with the rules of that day | "
        f"{len(names)} | {len(FOUND_AT_FIRST)} | {len(NAMED_AT_FIRST)} |",
        f"| the same faults, with the rules of today | {len(names)} | {found} | {named} |",
    ]


@pytest.mark.slow
def test_the_table_of_the_documentation_is_the_outcome(outcomes):
    page = (Path(__file__).parent.parent / "docs" / "blackbox.md").read_text(encoding="utf-8")
    rows = [*table(outcomes), *(row for folder in FOLDERS for row in score(outcomes, folder))]
    assert [row for row in rows if row not in page] == []


@pytest.mark.parametrize("name", ["d_stddev_channels", "r1_gamma_not_halved", "path_length_batch_axis"])
def test_planted_faults_are_found_and_named(name):
    found, named, said = outcome(name)
    assert found and named, said


def test_the_table_lists_every_case():
    page = (Path(__file__).parent.parent / "docs" / "blackbox.md").read_text(encoding="utf-8")
    names = list(FOLDER_OF)
    assert names and re.findall(r"^\| (?!file )(\w+) \|", page, re.M)[-len(names) :] == names
