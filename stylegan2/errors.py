"""The error for everything a user can mend: the command line prints it and exits with status 2."""


class InputError(ValueError):
    """Bad input: the message says what was expected, what was found and what to do."""
