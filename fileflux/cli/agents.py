"""``fileflux agents``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from fileflux.cli.command import Call, Plain, noun, verb
from fileflux.cli.completion import complete_agent
from fileflux.cli.options import ExitCode, Format, LimitOption, YesOption
from fileflux.errors import ConfigError

app = noun("The programs beside the files.")
AgentArgument = Annotated[str, typer.Argument(help="Name or #id.", autocompletion=complete_agent)]
TagOption = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="May be given several times.")]
_COLUMNS: Final = ("id", "name", "status", "transport", "last_seen", "tags")
_ENTRIES: Final = ("name", "kind", "size", "mtime", "mode")
_ROOTS: Final = ("name", "read", "write")


class Status(StrEnum):
    """Of an agent."""

    NEW = "new"
    PENDING = "pending"
    ONLINE = "online"
    OFFLINE = "offline"
    REVOKED = "revoked"


@verb(app, "list", "fileflux agents list", "fileflux agents list --status offline --tag web -o json")
def list_agents(
    call: Call,
    status: Annotated[
        list[Status] | None,
        typer.Option(
            "--status", metavar="STATUS", help="new, pending, online, offline or revoked; may be given several times."
        ),
    ] = None,
    tag: Annotated[str | None, typer.Option("--tag", metavar="TAG")] = None,
    temporary: Annotated[bool, typer.Option("--temporary", help="Those of `fileflux send` instead.")] = False,
    limit: LimitOption = 1000,
) -> None:
    """List agents."""
    statuses = [item.value for item in status] if status else None
    with call.connect() as client:
        found = client.pages("/api/agents", limit, status=statuses, tag=tag, temporary="true" if temporary else None)
        call.records(list(found), _COLUMNS)


@verb(app, "show", "fileflux agents show web-1", "fileflux agents show '#3' --json")
def show(call: Call, agent: AgentArgument) -> None:
    """Show one agent."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        found = find(client, "agent", agent)
    call.record(_for_people(found) if call.form is Format.TABLE else found)


def _for_people(agent: dict[str, Any]) -> dict[str, Any]:
    """The transport with the reason for it, as in ``polling: upgrade refused with 403``."""
    reason = agent.get("transport_reason")
    shown = {name: value for name, value in agent.items() if name != "transport_reason"}
    return shown | ({"transport": f"{agent['transport']}: {reason}"} if reason else {})


@verb(app, "create", "fileflux agents create web-1 --description 'web server' --tag web")
def create(
    call: Call,
    name: Annotated[str, typer.Argument(help="As it will be written in AGENT:PATH.")],
    description: Annotated[str, typer.Option("--description", metavar="TEXT")] = "",
    tag: TagOption = None,
) -> None:
    """Make an agent known; give it a token with `fileflux tokens create`."""
    with call.connect() as client:
        call.record(client.post("/api/agents", {"name": name, "description": description, "tags": tag or []}))


@verb(
    app,
    "edit",
    "fileflux agents edit web-1 --name web-01",
    "fileflux agents edit web-1 --tag web --tag berlin",
    "fileflux agents edit web-1 --no-tags",
)
def edit(
    call: Call,
    agent: AgentArgument,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="The new name.")] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="The tags from now on; may be given several times.")
    ] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Take all tags away.")] = False,
) -> None:
    """Change what the hub says of an agent."""
    from fileflux.cli.connect import find

    if tag and no_tags:
        raise ConfigError("give --tag or --no-tags, not both")
    given = {"name": name, "description": description, "tags": [] if no_tags else tag}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise ConfigError("nothing to change; see `fileflux agents edit --help`")
    with call.connect() as client:
        call.record(client.patch(f"/api/agents/{find(client, 'agent', agent)['id']}", changes))


@verb(app, "revoke", "fileflux agents revoke web-1 --yes")
def revoke(call: Plain, agent: AgentArgument, yes: YesOption = False) -> None:
    """Shut an agent out for good and cut its session."""
    from fileflux.cli.connect import find
    from fileflux.cli.output import clean

    with call.connect() as client:
        found = find(client, "agent", agent)
        call.confirm(f"Revoke the agent {clean(found['name'])} for good?", yes=yes)
        client.delete(f"/api/agents/{found['id']}")


@verb(app, "test", "fileflux agents test web-1")
def run_test(call: Call, agent: AgentArgument) -> None:
    """A real round trip to an agent."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        call.record(client.post(f"/api/agents/{find(client, 'agent', agent)['id']}/test"))


@verb(
    app,
    "browse",
    "fileflux agents browse web-1",
    "fileflux agents browse web-1 /srv/data",
    "fileflux agents browse web-1 /srv/data --json --fields name,size",
)
def browse(
    call: Call,
    agent: AgentArgument,
    path: Annotated[str, typer.Argument(help="A folder below one of its roots; without it the roots.")] = "",
    limit: LimitOption = 1000,
) -> None:
    """List a folder of an agent, or its roots."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        agent_id = find(client, "agent", agent)["id"]
        found = list(client.pages(f"/api/agents/{agent_id}/browse", limit, path=path or None))
    call.records(found, _ENTRIES if path else _ROOTS)
    if len(found) == limit:
        call.say(f"cut after {limit} entries; see --limit")


@verb(app, "doctor", "fileflux agents doctor web-1", "fileflux agents doctor web-1 --json")
def doctor(call: Call, agent: AgentArgument) -> None:
    """Let an agent look at its own way to the hub and its roots; exit code 1 when something does not work."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        report = client.post(f"/api/agents/{find(client, 'agent', agent)['id']}/doctor")
    if call.form is Format.TABLE:
        call.records(report["checks"], ("name", "status", "found", "advice"))
    else:
        call.record(report)
    if not report["works"]:
        raise typer.Exit(ExitCode.OTHER)
