"""``fileflux keys``."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fileflux.cli.command import Call, Plain, noun, verb
from fileflux.cli.options import LimitOption, YesOption

app = noun("API keys of yours, for scripts.")
_COLUMNS: Final = ("id", "name", "prefix", "scopes", "expires_at", "last_used_at", "revoked_at")


@verb(app, "list", "fileflux keys list", "fileflux keys list --user ann@example.org")
def list_keys(
    call: Call,
    user: Annotated[
        str | None, typer.Option("--user", metavar="USER", help="E-mail or #id; of others only as an admin.")
    ] = None,
    limit: LimitOption = 1000,
) -> None:
    """List keys, without their values."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        user_id = None if user is None else find(client, "user", user, "email")["id"]
        call.records(list(client.pages("/api/keys", limit, user_id=user_id)), _COLUMNS)


@verb(
    app,
    "create",
    "fileflux keys create nightly-script --scope jobs:run --scope runs:read > key",
    "fileflux keys create dashboard --scope read --expires-in-days 30",
)
def create(
    call: Call,
    name: Annotated[str, typer.Argument(help="To tell keys apart.")],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope", metavar="SCOPE", help="As in jobs:run; read: all that only look; all: what your role may."
        ),
    ],
    expires_in_days: Annotated[int | None, typer.Option("--expires-in-days", metavar="DAYS", min=1, max=3650)] = None,
) -> None:
    """Make a key. Its value alone is printed, once. Scripts use it as FILEFLUX_TOKEN or with --token-file."""
    from fileflux.cli.once import print_secret

    body = {"name": name, "scopes": scope} | ({"expires_in_days": expires_in_days} if expires_in_days else {})
    with call.connect() as client:
        made = client.post("/api/keys", body)
    key_id = made["key"]["id"]
    print_secret(call, made, f"key {key_id}", f"fileflux keys revoke {key_id}")


@verb(app, "revoke", "fileflux keys revoke 7 --yes")
def revoke(call: Plain, key_id: Annotated[int, typer.Argument(min=1)], yes: YesOption = False) -> None:
    """Make a key worthless at once."""
    call.confirm(f"Revoke the key {key_id}?", yes=yes)
    with call.connect() as client:
        client.delete(f"/api/keys/{key_id}")
