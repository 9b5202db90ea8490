"""Passwords come from a prompt or from standard input, never from a command line: other users of the machine see those."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from fileflux.errors import ConfigError

MAX_PASSWORD_CHARS: Final = 1024
PasswordStdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")
]


def read_password(*, from_stdin: bool, prompt: str = "Password: ") -> str:
    """One password. Raises ConfigError when there is nobody to ask."""
    if from_stdin:
        # One line, whatever else follows; the end of the line is not part of the password.
        return sys.stdin.readline(MAX_PASSWORD_CHARS + 2).rstrip("\r\n")
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for the password; use --password-stdin")
    import getpass

    return getpass.getpass(prompt)


def new_password(*, from_stdin: bool) -> str:
    """A password that was not there before: asked for twice."""
    chosen = read_password(from_stdin=from_stdin, prompt="New password: ")
    if not from_stdin and read_password(from_stdin=False, prompt="Again: ") != chosen:
        raise ConfigError("the two passwords differ; nothing was changed")
    return chosen
