"""``fileflux users``."""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from fileflux.cli.command import Call, Plain, noun, verb
from fileflux.cli.options import LimitOption, YesOption
from fileflux.cli.passwords import PasswordStdinOption, new_password
from fileflux.errors import ConfigError

app = noun("Who may use the hub, and for what.")
_COLUMNS: Final = ("id", "email", "name", "role", "disabled", "last_login_at")
_GENERATED_BYTES: Final = 18
"""24 characters, 144 bits."""


class Role(StrEnum):
    """What a user may do: everything; agents and transfers; look; look and read the audit log."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"
    AUDITOR = "auditor"


UserArgument = Annotated[str, typer.Argument(help="E-mail or #id.")]
NameOption = Annotated[str | None, typer.Option("--name", metavar="TEXT", help="As people know them.")]


@verb(app, "list", "fileflux users list", "fileflux users list --role admin -o json")
def list_users(
    call: Call, role: Annotated[Role | None, typer.Option("--role")] = None, limit: LimitOption = 1000
) -> None:
    """List users."""
    with call.connect() as client:
        call.records(list(client.pages("/api/users", limit, role=role and role.value)), _COLUMNS)


@verb(app, "show", "fileflux users show ann@example.org")
def show(call: Call, user: UserArgument) -> None:
    """Show one user."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        call.record(find(client, "user", user, "email"))


@verb(
    app,
    "create",
    "fileflux users create ann@example.org --role operator",
    "fileflux users create ann@example.org --role viewer --generate-password",
    "fileflux users create ci@example.org --role operator --password-stdin < password",
)
def create(
    call: Call,
    email: Annotated[str, typer.Argument()],
    role: Annotated[Role, typer.Option("--role")],
    name: NameOption = None,
    password_stdin: PasswordStdinOption = False,
    generate: Annotated[
        bool, typer.Option("--generate-password", help="Make up a password and print it, this once.")
    ] = False,
) -> None:
    """Make a user. The password is asked for, read from standard input, or made up."""
    if generate and password_stdin:
        raise ConfigError("give --generate-password or --password-stdin, not both")
    password = secrets.token_urlsafe(_GENERATED_BYTES) if generate else new_password(from_stdin=password_stdin)
    body = {"email": email, "role": role.value, "password": password} | ({"name": name} if name is not None else {})
    with call.connect() as client:
        made = client.post("/api/users", body)
    if generate:
        made = {**made, "password": password}
        call.say(f"user {made['id']}: this password is not shown again")
    call.record(made)


@verb(
    app,
    "edit",
    "fileflux users edit ann@example.org --role auditor",
    "fileflux users edit ann@example.org --disable",
    "fileflux users edit ann@example.org --new-password",
)
def edit(
    call: Call,
    user: UserArgument,
    email: Annotated[str | None, typer.Option("--email", metavar="EMAIL")] = None,
    name: NameOption = None,
    role: Annotated[Role | None, typer.Option("--role")] = None,
    disabled: Annotated[
        bool | None, typer.Option("--disable/--enable", help="Shut the user out, or let them in again.")
    ] = None,
    set_password: Annotated[bool, typer.Option("--new-password", help="Ask for a new password.")] = False,
    password_stdin: PasswordStdinOption = False,
) -> None:
    """Change a user. A change of role or password, and --disable, end the user's sessions."""
    from fileflux.cli.connect import find

    given = {"email": email, "name": name, "role": role and role.value, "disabled": disabled}
    changes: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    if set_password or password_stdin:
        changes["password"] = new_password(from_stdin=password_stdin)
    if not changes:
        raise ConfigError("nothing to change; see `fileflux users edit --help`")
    with call.connect() as client:
        call.record(client.patch(f"/api/users/{find(client, 'user', user, 'email')['id']}", changes))


@verb(app, "delete", "fileflux users delete ann@example.org --yes")
def delete(call: Plain, user: UserArgument, yes: YesOption = False) -> None:
    """Remove a user with all sessions and API keys."""
    from fileflux.cli.connect import find
    from fileflux.cli.output import clean

    with call.connect() as client:
        found = find(client, "user", user, "email")
        call.confirm(f"Delete the user {clean(found['email'])}?", yes=yes)
        client.delete(f"/api/users/{found['id']}")
