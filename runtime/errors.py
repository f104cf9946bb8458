"""Errors named by what the operator must do, and the exit codes that belong to them."""

from typing import Final

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_MISUSE: Final = 2


class OperatorError(Exception):
    """An error that ends a command with one line: what is wrong, where, how to fix it."""

    exit_code: int = EXIT_FAILED


class ConfigurationError(OperatorError):
    """Wrong usage, setting, or a missing input: fix it and start again."""

    exit_code = EXIT_MISUSE


class DataError(OperatorError):
    """Damaged or contradictory data: repair or import it again."""


class VenueError(OperatorError):
    """The venue is unreachable or refuses: retried already; try again later, or mend `hosts`."""
