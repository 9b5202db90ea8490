"""``fileflux tokens``."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from fileflux.cli.options import Format, JsonOption, LimitOption, OutputOption, settings

app = typer.Typer(help="What agents prove themselves with.")
_COLUMNS: Final = ("id", "agent_id", "name", "prefix", "expires_at", "last_used_at", "revoked_at")


@app.command("list")
def list_tokens(
    context: typer.Context, limit: LimitOption = 1000, output: OutputOption = Format.TABLE, as_json: JsonOption = False
) -> None:
    """List tokens, without their values."""
    from fileflux.cli.connect import connect
    from fileflux.cli.output import chosen, print_records

    with connect(settings(context)) as client:
        print_records(list(client.pages("/api/tokens", limit)), _COLUMNS, chosen(output, as_json=as_json))


@app.command()
def create(
    context: typer.Context,
    agent: Annotated[str, typer.Argument(help="Name or #id of the agent.")],
    name: Annotated[str, typer.Option("--name", help="To tell tokens apart.")] = "",
    expires_in_days: Annotated[int | None, typer.Option("--expires-in-days", min=1, max=3650)] = None,
    output: OutputOption = Format.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Make a token. Its value alone is printed, once: `fileflux tokens create web-1 > token` keeps it."""
    from fileflux.cli.connect import connect, find
    from fileflux.cli.output import chosen, print_record

    with connect(settings(context)) as client:
        agent_id = find(client, "agent", agent)["id"]
        made = client.post("/api/tokens", {"agent_id": agent_id, "name": name, "expires_in_days": expires_in_days})
    form = chosen(output, as_json=as_json)
    if form is not Format.TABLE:
        print_record(made, form)
        return
    print(made["value"])
    if not settings(context).quiet:
        print(f"token {made['token']['id']}: this value is not shown again", file=sys.stderr)


@app.command()
def revoke(context: typer.Context, token_id: Annotated[int, typer.Argument(min=1)]) -> None:
    """Make a token worthless and cut its agent's session."""
    from fileflux.cli.connect import connect

    with connect(settings(context)) as client:
        client.delete(f"/api/tokens/{token_id}")
