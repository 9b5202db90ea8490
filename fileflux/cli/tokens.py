"""``fileflux tokens``."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fileflux.cli.command import Call, Plain, noun, verb
from fileflux.cli.completion import complete_agent
from fileflux.cli.options import LimitOption, YesOption

app = noun("What agents prove themselves with.")
TokenArgument = Annotated[int, typer.Argument(min=1, help="The token's id.")]
_COLUMNS: Final = ("id", "agent_id", "name", "prefix", "expires_at", "last_used_at", "revoked_at")


@verb(app, "list", "fileflux tokens list", "fileflux tokens list --agent web-1")
def list_tokens(
    call: Call,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="AGENT", help="Name or #id.", autocompletion=complete_agent)
    ] = None,
    limit: LimitOption = 1000,
) -> None:
    """List tokens, without their values."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        agent_id = None if agent is None else find(client, "agent", agent)["id"]
        call.records(list(client.pages("/api/tokens", limit, agent_id=agent_id)), _COLUMNS)


@verb(app, "create", "fileflux tokens create web-1 > token", "fileflux tokens create web-1 --expires-in-days 90")
def create(
    call: Call,
    agent: Annotated[str, typer.Argument(help="Name or #id of the agent.", autocompletion=complete_agent)],
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="To tell tokens apart.")] = "",
    expires_in_days: Annotated[int | None, typer.Option("--expires-in-days", metavar="DAYS", min=1, max=3650)] = None,
) -> None:
    """Make a token. Its value alone is printed, once."""
    from fileflux.cli.connect import find
    from fileflux.cli.once import print_secret

    with call.connect() as client:
        agent_id = find(client, "agent", agent)["id"]
        made = client.post("/api/tokens", {"agent_id": agent_id, "name": name, "expires_in_days": expires_in_days})
    token_id = made["token"]["id"]
    print_secret(call, made, f"token {token_id}", f"fileflux tokens revoke {token_id}")


@verb(app, "rotate", "fileflux tokens rotate 7 > token", "fileflux tokens rotate 7 --overlap-hours 0 > token")
def rotate(
    call: Call,
    token_id: TokenArgument,
    overlap_hours: Annotated[
        int,
        typer.Option("--overlap-hours", metavar="HOURS", min=0, max=168, help="The old token works so much longer."),
    ] = 24,
) -> None:
    """Make a token that takes the place of another one; bring it to the agent before the old one expires."""
    from fileflux.cli.once import print_secret

    with call.connect() as client:
        made = client.post(f"/api/tokens/{token_id}/rotate", {"overlap_hours": overlap_hours})
    new_id = made["token"]["id"]
    print_secret(call, made, f"token {new_id}", f"fileflux tokens revoke {new_id}")


@verb(app, "revoke", "fileflux tokens revoke 7 --yes")
def revoke(call: Plain, token_id: TokenArgument, yes: YesOption = False) -> None:
    """Make a token worthless and cut its agent's session."""
    call.confirm(f"Revoke the token {token_id}? Its agent is cut off at once.", yes=yes)
    with call.connect() as client:
        client.delete(f"/api/tokens/{token_id}")
