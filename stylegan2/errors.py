"""The error for what a user can correct. The command line prints its message and exits with status 2."""


class InputError(ValueError):
    """The input is invalid. The message says what was expected, what was found and what to do."""
