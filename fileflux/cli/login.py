"""``fileflux login``, ``logout``, ``whoami`` and ``password``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from fileflux.cli.command import Call, Plain, verb
from fileflux.cli.passwords import PasswordStdinOption, new_password, read_password


def add_to(app: typer.Typer) -> None:
    """Make these commands of ``app``."""
    verb(
        app,
        "login",
        "fileflux login https://hub.example:8040 --email me@example.org",
        "fileflux login https://hub.example --email ci@example.org --password-stdin < password",
        "fileflux login https://hub.internal --email me@example.org --ca-file ca.pem",
    )(login)
    verb(app, "logout", "fileflux logout", "fileflux logout --everywhere")(logout)
    verb(app, "whoami", "fileflux whoami", "fileflux whoami --json")(whoami)
    verb(app, "password", "fileflux password", "fileflux password --password-stdin < old-and-new")(password)


def login(
    call: Plain,
    url: Annotated[str, typer.Argument(help="The hub, as in https://hub.example:8040.")],
    email: Annotated[str, typer.Option("--email", metavar="EMAIL", envvar="FILEFLUX_EMAIL", help="Who you are.")],
    password_stdin: PasswordStdinOption = False,
    ca_file: Annotated[
        str | None,
        typer.Option(
            "--ca-file", metavar="FILE", help="The CA of a hub that the system does not know; kept with the login."
        ),
    ] = None,
) -> None:
    """Log in at a hub; the token is kept in a file that only you can read."""
    from fileflux.cli.connect import log_in

    chosen = replace(call.settings, ca_file=ca_file or call.settings.ca_file)
    user = log_in(chosen, url, email, read_password(from_stdin=password_stdin))
    call.say(f"logged in as {user['email']} ({user['role']})")


def logout(
    call: Plain,
    everywhere: Annotated[bool, typer.Option("--everywhere", help="End every session of this user.")] = False,
) -> None:
    """Log out: the stored login is removed and its session ends."""
    from fileflux.cli.connect import log_out

    if not log_out(call.settings, everywhere=everywhere):
        call.say("the stored login is removed; the hub could not be told")


def whoami(call: Call) -> None:
    """Show the user and the hub that commands would use."""
    with call.connect() as client:
        call.record({"hub": client.url, **client.get("/api/auth/user")})


def password(call: Plain, password_stdin: PasswordStdinOption = False) -> None:
    """Change your password: the old one and the new one are asked for. Every other session of yours ends.

    With --password-stdin: the old one on the first line of standard input, the new one on the second.
    """
    from fileflux.cli.connect import change_password

    current = read_password(from_stdin=password_stdin, prompt="Present password: ")
    change_password(call.settings, current, new_password(from_stdin=password_stdin))
    call.say("the password is changed; other sessions have ended")
