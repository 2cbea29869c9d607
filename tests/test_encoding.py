"""Our text files are UTF-8 whatever the system's encoding, and no character ends a command."""

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from training_cases import tiny_config

from stylegan2.console import accept_any_character

ROOT = Path(__file__).parent.parent
SOURCES = [
    ROOT / "train.py",
    *(p for d in ("stylegan2", "docs", "examples", "tests") for p in (ROOT / d).rglob("*.py")),
]
STARTING = {"run", "Popen", "check_output"}
OURS = {"minimum", "progress"}
"""Keywords of ImageData.open, which opens no text."""

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def needs_encoding(call: ast.Call) -> bool:
    """Whether a call opens text, or reads that of another program, and does not say in which encoding."""
    keywords = {keyword.arg for keyword in call.keywords}
    constants = [
        a.value for a in [*call.args, *(k.value for k in call.keywords)] if isinstance(a, ast.Constant)
    ]
    function = call.func
    name = getattr(function, "attr", getattr(function, "id", ""))
    owner = getattr(getattr(function, "value", None), "id", "")
    if "encoding" in keywords or owner in ("Image", "os", "zipfile", "tarfile", "webbrowser"):
        return False
    if name in STARTING:
        return bool({"text", "universal_newlines"} & keywords)
    if name == "open":
        is_binary = any("b" in c for c in constants if isinstance(c, str))
        is_ours = isinstance(function, ast.Attribute) and (not keywords | set(constants) or keywords & OURS)
        return not is_binary and not is_ours
    if name == "write_text":  # files.write_text(path, text) is ours
        return isinstance(function, ast.Attribute)
    return name == "read_text"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_file_is_opened_with_an_encoding(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert [f"line {call.lineno}" for call in calls if needs_encoding(call)] == []


def start(args, cwd, **environment):
    """Run one of our commands under an environment; returns its status and what it printed, as bytes."""
    variables = (
        os.environ
        | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "STYLEGAN2_KERNELS": "off"}
        | environment
    )
    done = subprocess.run([sys.executable, *map(str, args)], cwd=cwd, env=variables, capture_output=True)
    return done.returncode, done.stdout, done.stderr


TINY = "# Größe 8×8, so that the text is no ASCII\n" + tiny_config({"path": "demo/smileys-emotion"})


def test_a_run_in_the_c_locale(tmp_path):
    folder = tmp_path / "größe ²"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
    status, out, error = start(
        [ROOT / "train.py", "--config", "tiny.yaml", "--name", "ä"], folder, **C_LOCALE
    )
    assert status == 0, error.decode(errors="replace")
    assert b"\\xd7" in out and b"Finished" in out  # the × of the summary


@pytest.mark.parametrize("encoding", ["cp1251", "cp437", "ascii", "cp932", "utf-8"])
def test_no_character_ends_a_command(monkeypatch, encoding):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    accept_any_character()
    for stream in (sys.stdout, sys.stderr):
        print("32×32, ² … я \udcff", file=stream, flush=True)
        assert b"\\udcff" in stream.buffer.getvalue()


@pytest.mark.parametrize("process", ["ablation/run/one.py", "optimum/curve.py"])
def test_a_process_of_a_study_takes_any_character_too(process):
    assert "accept_any_character()" in (ROOT / "stylegan2" / process).read_text(encoding="utf-8")
