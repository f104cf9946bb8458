"""``password``: an account of the terminal, as the environment variable holds it."""

import argparse
import getpass
import sys
from typing import Any

from runtime.cli import add_command, say
from runtime.errors import EXIT_DONE, ConfigurationError
from ui.server.accounts import ROLES, USERS, new_entry


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Register ``password``."""
    parser = add_command(
        commands,
        "password",
        run,
        f"Make an account: asks for the password, prints an entry for the variable {USERS}.",
        "python -m ui password --name anna --role operator",
    )
    parser.add_argument("--name", required=True, help="letters and digits")
    parser.add_argument("--role", choices=ROLES, default="viewer", help="default: viewer")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    try:
        print(new_entry(arguments.name, arguments.role, _asked()))
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    say(f"put it into the environment variable {USERS}; several entries are separated by spaces")
    return EXIT_DONE


def _asked() -> str:
    """Ask twice on a terminal; a pipe is read once."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != password:
        raise ConfigurationError("the two are not the same")
    return password
