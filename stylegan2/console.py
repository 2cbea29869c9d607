"""How a command meets the terminal: no character ends it, and what the user can mend is told in a line.

This module imports nothing that takes long, because the package imports it first.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from .errors import InputError

FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}

ROOT = Path(__file__).resolve().parents[1]
"""In a clone, the folder of train.py and generate.py."""


def hear_interrupts_early() -> None:
    """In a process of a command, let Ctrl-C end it with status 130 and without a traceback from now on.

    The imports that follow take seconds. `stop_hearing_early` ends this. Nothing happens in other processes.
    """
    if _is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def stop_hearing_early() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, so that what the command has begun is cleaned up."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_command() -> bool:
    """Whether Python was started to run one of our commands, rather than a program that imports the package."""
    given, name = sys.orig_argv, sys.argv[0] if sys.argv else ""
    if name == "-m":  # as long as Python looks for the module
        return ("-m", "stylegan2") in zip(given, given[1:])
    script = Path(name)
    is_ours = script.name in ("train.py", "generate.py") and script.resolve().parent == ROOT
    return name in given and (is_ours or script.stem == "stylegan2")


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"\nInterrupted.\n")
    os._exit(130)


def accept_any_character() -> None:
    """Let standard output and errors write a character that their encoding lacks as `\\xd7`, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook's is none
            stream.reconfigure(errors="backslashreplace")


def exit_status(command: Callable[[list[str]], int], args: list[str]) -> int:
    """Run a command. An error that the user can correct is printed without a traceback.

    Returns:
        The command's own status. 2: bad input. 1: the disk is full. 130: Ctrl-C. 141: nobody reads the output.
    """
    try:
        try:
            with _short_warnings():
                return command(args)
        finally:
            sys.stdout.flush()
    except InputError as error:
        return _refuse(str(error))
    except ImportError as error:
        if not isinstance(error, ValueError):  # the parser's error for a class path is a subclass of both
            raise
        return _refuse(
            "Expected plain values as options, found the path of a class, which is never imported. "
            f"Give a plain value. {error}"
        )
    except UnicodeEncodeError as error:
        if error.encoding != sys.getfilesystemencoding() or error.encoding == "utf-8":
            raise
        return _refuse(
            f"Expected names of files in {error.encoding}, which is this system's encoding, found "
            f"{error.object!r}. Set the environment variable PYTHONUTF8=1."
        )
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it ends
        return 141
    except OSError as error:
        if error.errno in FULL_DISK:
            print(f"error: {error}. Make room, and start again.", file=sys.stderr)
            return 1
        if error.filename is None:
            raise
        return _refuse(f"{error.strerror}: {error.filename}. Check the path and its permissions.")
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130


@contextmanager
def _short_warnings() -> Iterator[None]:
    """Show warnings without the place in the source that gave them."""

    def short(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        return f"warning: {message}\n"

    before = warnings.formatwarning
    warnings.formatwarning = short
    try:
        yield
    finally:
        warnings.formatwarning = before


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
