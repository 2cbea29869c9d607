"""The documentation's code runs, its extensions of Sphinx work, and golden numbers are unchanged."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
sys.path.append(str(DOCS / "extensions"))


def examples(page: str) -> list:
    """The Python code of a page, each block under the heading before it."""
    heading, found = "", []
    for match in re.finditer(
        r"^## ([^\n]+)$|^```python\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.M | re.S
    ):
        heading = match[1] or heading
        if match[2]:
            found.append(pytest.param(match[2], id=heading.replace(" ", "_")))
    return found


@pytest.mark.parametrize("code", examples("extending.md"))
def test_an_example_of_an_extension_runs_by_itself(code, tmp_path):
    script = tmp_path / "example.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); exec({code!r})"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr


def test_the_script_of_five_lines_brings_a_users_loss_to_the_command_line(tmp_path):
    text = (DOCS / "extending.md").read_text(encoding="utf-8")
    script = re.search(r"^```\n(import sys\nimport my_losses.*?)^```$", text, re.M | re.S)[1]
    (loss,) = (param.values[0] for param in examples("extending.md") if param.id == "An_adversarial_loss")
    (tmp_path / "my_losses.py").write_text(loss.partition("\ntiny = ")[0], encoding="utf-8")
    (tmp_path / "my_train.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "my_train.py", "--model.loss", "least_squares", "--print_config"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0 and "loss: least_squares" in done.stdout, done.stderr
    assert len(script.splitlines()) == 5


def test_every_kind_of_extension_has_an_example_of_ten_to_forty_five_lines():
    lengths = {param.id: len(param.values[0].split("\n")) for param in examples("extending.md")}
    assert len(lengths) == 8
    assert all(10 <= length <= 45 for length in lengths.values()), lengths


def test_golden_numbers_are_those_that_were_received():
    golden = ROOT / "tests" / "golden"
    sums = dict(
        reversed(line.split()) for line in (golden / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    )
    files = {path.name: path for path in golden.iterdir() if path.suffix in (".npz", ".json")}
    assert sums == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")) + [ROOT / "README.md"], ids=lambda path: path.name)
def test_links_to_files_of_the_repository_lead_somewhere(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    missing = [target for target in targets if not (path.parent / target).exists()]
    assert not [target for target in missing if not target.startswith(("api/", "examples/"))]


@pytest.mark.parametrize(
    "docstring, rst",
    [
        ("the name `w_avg`, plural `w`s", r"the name ``w_avg``, plural ``w``\ s"),
        ("E |∇D(x)|² * gamma", r"E \|∇D(x)\|² \* gamma"),
        ("leave `a_` and b_ alone", r"leave ``a_`` and b\_ alone"),
        ("``double`` stays", "``double`` stays"),
        ("`broken\n  over lines`", "``broken over lines``"),
    ],
)
def test_nothing_but_code_is_markup_in_a_docstring(docstring, rst):
    docstrings = pytest.importorskip("docstrings")
    assert docstrings.to_rst(docstring) == rst


def test_a_page_that_loads_something_from_elsewhere_is_found():
    offline = pytest.importorskip("offline")
    page = """<script src="https://cdn.example/a.js"></script> <link rel="x" href="//cdn.example/b.css"/>
    <style>@import "https://cdn.example/c.css"; a { background: url(https://cdn.example/d.png) }</style>
    <script src="own.js"></script> <a href="https://example.org">a link</a> <img src="images/own.png"/>"""
    found = sorted(address[-5:] for address in offline.remote_loads(page))
    assert found == [
        "/a.js",
        "b.css",
        "c.css",
        "d.png",
    ]


def test_an_equation_becomes_mathml_and_a_wrong_one_a_warning(caplog):
    nodes, mathml = pytest.importorskip("docutils.nodes"), pytest.importorskip("mathml")
    assert "<mfrac>" in mathml.mathml(nodes.math("", r"\frac{a}{b}"), "inline")
