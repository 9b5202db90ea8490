"""``fileflux agents``."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from fileflux.cli.options import Format, JsonOption, LimitOption, OutputOption, settings

app = typer.Typer(help="The programs beside the files.")
AgentArgument = Annotated[str, typer.Argument(help="Name or #id.")]
_COLUMNS: Final = ("id", "name", "status", "transport", "last_seen", "tags")


@app.command("list")
def list_agents(
    context: typer.Context, limit: LimitOption = 1000, output: OutputOption = Format.TABLE, as_json: JsonOption = False
) -> None:
    """List agents."""
    from fileflux.cli.connect import connect
    from fileflux.cli.output import chosen, print_records

    with connect(settings(context)) as client:
        print_records(list(client.pages("/api/agents", limit)), _COLUMNS, chosen(output, as_json=as_json))


@app.command()
def show(
    context: typer.Context, agent: AgentArgument, output: OutputOption = Format.TABLE, as_json: JsonOption = False
) -> None:
    """Show one agent."""
    from fileflux.cli.connect import connect, find
    from fileflux.cli.output import chosen, print_record

    with connect(settings(context)) as client:
        found, form = find(client, "agent", agent), chosen(output, as_json=as_json)
    print_record(_for_people(found) if form is Format.TABLE else found, form)


def _for_people(agent: dict[str, Any]) -> dict[str, Any]:
    """The transport with the reason for it, as in ``polling: upgrade refused with 403``."""
    reason = agent.get("transport_reason")
    shown = {name: value for name, value in agent.items() if name != "transport_reason"}
    return shown | ({"transport": f"{agent['transport']}: {reason}"} if reason else {})


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="As it will be written in AGENT:PATH.")],
    description: Annotated[str, typer.Option("--description")] = "",
    tag: Annotated[list[str] | None, typer.Option("--tag", help="May be given several times.")] = None,
    output: OutputOption = Format.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Make an agent known; give it a token with `fileflux tokens create`."""
    from fileflux.cli.connect import connect
    from fileflux.cli.output import chosen, print_record

    with connect(settings(context)) as client:
        made = client.post("/api/agents", {"name": name, "description": description, "tags": tag or []})
    print_record(made, chosen(output, as_json=as_json))


@app.command()
def revoke(context: typer.Context, agent: AgentArgument) -> None:
    """Shut an agent out for good and cut its session."""
    from fileflux.cli.connect import connect, find

    with connect(settings(context)) as client:
        client.delete(f"/api/agents/{find(client, 'agent', agent)['id']}")


@app.command("test")
def run_test(
    context: typer.Context, agent: AgentArgument, output: OutputOption = Format.TABLE, as_json: JsonOption = False
) -> None:
    """A real round trip to an agent."""
    from fileflux.cli.connect import connect, find
    from fileflux.cli.output import chosen, print_record

    with connect(settings(context)) as client:
        print_record(
            client.post(f"/api/agents/{find(client, 'agent', agent)['id']}/test"), chosen(output, as_json=as_json)
        )
