"""How a command meets the terminal: no character ends it, and what the user can mend is told in a line."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable

from .errors import InputError

FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


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


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
