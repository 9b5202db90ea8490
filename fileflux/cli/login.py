"""``fileflux login``, ``logout`` and ``whoami``."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated

import typer

from fileflux.cli.options import Format, JsonOption, OutputOption, settings
from fileflux.errors import ConfigError

MAX_PASSWORD_CHARS = 1024


def login(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="The hub, as in https://hub.example:8040.")],
    email: Annotated[str, typer.Option("--email", envvar="FILEFLUX_EMAIL", help="Who you are.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    ca_file: Annotated[
        str | None,
        typer.Option("--ca-file", help="The CA of a hub that the system does not know; kept with the login."),
    ] = None,
) -> None:
    """Log in at a hub; the token is kept in a file that only you can read."""
    from fileflux.cli.connect import log_in

    chosen = settings(context)
    chosen = replace(chosen, ca_file=ca_file or chosen.ca_file)
    user = log_in(chosen, url, email, _password(from_stdin=password_stdin))
    if not chosen.quiet:
        print(f"logged in as {user['email']} ({user['role']})", file=sys.stderr)


def logout(context: typer.Context) -> None:
    """Log out everywhere: all tokens of this user stop working."""
    from fileflux.cli.connect import log_out

    if not log_out(settings(context)):
        print("the stored login is removed; the hub could not be told", file=sys.stderr)


def whoami(context: typer.Context, output: OutputOption = Format.TABLE, as_json: JsonOption = False) -> None:
    """Show the user and the hub that commands would use."""
    from fileflux.cli.connect import connect
    from fileflux.cli.output import chosen, print_record

    with connect(settings(context)) as client:
        print_record({"hub": client.url, **client.get("/api/auth/user")}, chosen(output, as_json=as_json))


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        # One line, whatever else follows; the end of the line is not part of the password.
        return sys.stdin.readline(MAX_PASSWORD_CHARS + 2).rstrip("\r\n")
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for the password; use --password-stdin")
    import getpass

    return getpass.getpass("Password: ")
