"""What ends a command is told in a line, without a traceback, and by its exit status."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stylegan2.console import exit_status

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "error, status, words",
    [
        (PermissionError(13, "Permission denied", "runs"), 2, "Permission denied: runs"),
        (OSError(28, "No space left on device"), 1, "Make room"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (UnicodeEncodeError("ascii", "ü", 0, 1, "no"), 2, "PYTHONUTF8"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_the_system_refuses_is_told_without_a_traceback(monkeypatch, capsys, error, status, words):
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")

    def command(args):
        raise error

    assert exit_status(command, []) == status
    assert words in capsys.readouterr().err


def test_a_reader_that_stops_reading_ends_a_command_quietly(tmp_path):
    code = "from stylegan2.__main__ import main; import sys; sys.exit(main(['train', '--help']))"
    command = f'{sys.executable} -c "{code}" | true; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.stderr == "" and done.stdout.strip() in ("141", "0")


INTERRUPT = """
import os, signal, sys

class Interrupt:
    def find_spec(name, *_):
        if name == os.environ["AT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt)
"""
"""Sends Ctrl-C when a module is being imported."""

SCRIPT = "import sys; from stylegan2.__main__ import main; sys.exit(main())"
"""What pip makes of the entry point."""


def interrupted(folder, at, *command):
    (folder / "sitecustomize.py").write_text(INTERRUPT, encoding="utf-8")
    environment = os.environ | {"AT": at, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize("at", ["torch", "torch.nn", "stylegan2.cli"])
@pytest.mark.parametrize(
    "command",
    [["train.py"], ["generate.py"], ["-m", "stylegan2", "train"], ["bin/stylegan2", "pack"]],
    ids=str,
)
def test_ctrl_c_while_libraries_are_imported_ends_with_a_line(tmp_path, command, at):
    if command[0].endswith(".py"):
        command = [ROOT / command[0]]
    elif command[0] != "-m":
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/stylegan2").write_text(SCRIPT, encoding="utf-8")
    done = interrupted(tmp_path, at, *command)
    assert (done.returncode, done.stderr.strip(), done.stdout) == (130, "Interrupted.", "")


def test_ctrl_c_while_the_training_framework_is_imported_ends_with_a_line(tmp_path):
    done = interrupted(tmp_path, "pytorch_lightning", ROOT / "train.py")
    assert (done.returncode, done.stderr.strip(), done.stdout) == (130, "Interrupted.", "")


def test_ctrl_c_in_a_program_that_imports_the_package_is_the_programs_own(tmp_path):
    (tmp_path / "train.py").write_text("import stylegan2", encoding="utf-8")
    done = interrupted(tmp_path, "stylegan2.networks", "train.py")
    assert done.returncode == -signal.SIGINT and "KeyboardInterrupt" in done.stderr


def test_a_command_shows_warnings_without_their_place_in_the_source():
    code = "import warnings; from stylegan2.console import exit_status; show = lambda *_: warnings.warn('Left out.')"
    code += "; print(exit_status(show, [])); show()"
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    short, pythons = done.stderr.splitlines()
    assert short == "warning: Left out." and pythons.endswith("UserWarning: Left out.") and len(pythons) > 30
