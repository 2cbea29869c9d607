"""What happens if a file of a run cannot be written: training goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stylegan2.errors import InputError

from .launch import is_first_process


@contextmanager
def going_on() -> Iterator[None]:
    """Context manager that turns a failure to write a file into a warning.

    The disk may have room again before the next file is due, so hours of training are not given up.
    """
    try:
        yield
    except (OSError, InputError) as error:
        if is_first_process():
            print(f"\nwarning: {error} Training goes on.", file=sys.stderr)
