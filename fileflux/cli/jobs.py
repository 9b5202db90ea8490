"""``fileflux jobs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fileflux.cli import job_files, watches
from fileflux.cli import job_options as o
from fileflux.cli import plan as planning
from fileflux.cli.command import Call, Plain, noun, verb
from fileflux.cli.completion import complete_agent, complete_job, complete_place
from fileflux.cli.job_shown import in_short, places
from fileflux.cli.options import Format, LimitOption, TimeoutOption, YesOption
from fileflux.errors import ConfigError

if TYPE_CHECKING:
    from fileflux.cli.client import HubClient

app = noun("What is moved from where to where.")
JobArgument = Annotated[str, typer.Argument(help="Name or #id.", autocompletion=complete_job)]
_COLUMNS: Final = ("id", "name", "source", "destination", "enabled")
_VERSIONS: Final = ("version", "changed_by", "changed_at", "enabled")


@verb(
    app,
    "list",
    "fileflux jobs list",
    "fileflux jobs list --agent web-1 --disabled",
    "fileflux jobs list --tag nightly -o yaml",
)
def list_jobs(
    call: Call,
    tag: Annotated[str | None, typer.Option("--tag", metavar="TAG")] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent", metavar="AGENT", help="Source or destination: name or #id.", autocompletion=complete_agent
        ),
    ] = None,
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", show_default=False)] = None,
    ad_hoc: Annotated[bool, typer.Option("--ad-hoc", help="Those of `fileflux send` instead.")] = False,
    limit: LimitOption = 1000,
) -> None:
    """List jobs."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        query = {
            "tag": tag,
            "agent_id": None if agent is None else find(client, "agent", agent)["id"],
            "enabled": None if enabled is None else str(enabled).lower(),
            "ad_hoc": "true" if ad_hoc else None,
        }
        people = call.form is Format.TABLE and not call.fields
        names = _agent_names(client) if people else {}
        found = list(client.pages("/api/jobs", limit, **query))
    call.records([{**job, **places(job, names)} for job in found] if people else found, _COLUMNS)


@verb(app, "show", "fileflux jobs show nightly", "fileflux jobs show nightly --json --fields name,include,exclude")
def show(call: Call, job: JobArgument) -> None:
    """Show one job: what is not as it would be anyway. With -o json or yaml all of it."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        found = find(client, "job", job)
        if call.form is Format.TABLE and not call.fields:
            found = in_short(client, found)
    call.record(found)


@verb(
    app,
    "create",
    "fileflux jobs create nightly web-1:/srv/data backup:/data/web-1",
    "fileflux jobs create logs web-1:/var/log/app backup:/logs --include '*.gz' --verify full --deadline 6h",
    "fileflux jobs create mirror web-1:/srv/www backup:/www --schedule '30 2 * * *' --timezone Europe/Berlin --delete-extra",
)
@o.described
def create(
    call: Call,
    name: Annotated[str, typer.Argument()],
    source: o.SourceArgument,
    destination: o.DestinationArgument,
    options: dict[str, Any],
    disabled: Annotated[bool, typer.Option("--disabled", help="It does not run before it is enabled.")] = False,
) -> None:
    """Define a job. It moves nothing until it runs: by hand, by its schedule, or when files arrive."""
    with call.connect() as client:
        body = o.job_fields(client, source, destination, **options, enabled=False if disabled else None)
        call.record(client.post("/api/jobs", {"name": name, **body}))


@verb(
    app,
    "edit",
    "fileflux jobs edit nightly --verify full --parallel 4",
    "fileflux jobs edit nightly --name hourly --destination backup:/data/hourly",
    "fileflux jobs edit nightly --schedule @hourly --bandwidth-limit 10MiB",
    "fileflux jobs edit nightly --clear exclude --clear tags",
)
@o.described
def edit(
    call: Call,
    job: JobArgument,
    options: dict[str, Any],
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="The new name.")] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="AGENT:PATH", autocompletion=complete_place)] = None,
    destination: Annotated[
        str | None, typer.Option("--destination", metavar="AGENT:PATH", autocompletion=complete_place)
    ] = None,
    clear: Annotated[
        list[str] | None,
        typer.Option("--clear", metavar="FIELD", help="Empty a field, as in schedule; may be given several times."),
    ] = None,
) -> None:
    """Change a job; what is not named stays. Lists are replaced as a whole, and a run that has begun stays as it is."""
    for field in clear or ():
        if field not in o.EMPTY:
            raise ConfigError(f"--clear empties {', '.join(o.EMPTY)}, not {field!r}")
    emptied = {field: o.EMPTY[field] for field in clear or ()}
    with call.connect() as client:
        fields = o.job_fields(client, source, destination, name=name, **options)
        changes: dict[str, Any] = emptied | fields
        if not changes:
            raise ConfigError("nothing to change; see `fileflux jobs edit --help`")
        path, shown, version = _versioned(client, job)
        if "retry" in changes:
            changes["retry"] = {**shown["retry"], **changes["retry"]}
        if changes.get("watch") is not None:
            changes["watch"] = {**(shown["watch"] or {}), **changes["watch"]}
        call.record(client.patch(path, changes, version))


@verb(app, "delete", "fileflux jobs delete nightly --yes")
def delete(call: Plain, job: JobArgument, yes: YesOption = False) -> None:
    """Remove a job; its runs stay. Refused while one of them goes on."""
    from fileflux.cli.output import clean

    with call.connect() as client:
        path, shown, version = _versioned(client, job)
        call.confirm(f"Delete the job {clean(shown['name'])}?", yes=yes)
        client.delete(path, version)


@verb(app, "enable", "fileflux jobs enable nightly")
def enable(call: Call, job: JobArgument) -> None:
    """Let a job run again."""
    with call.connect() as client:
        path, _, version = _versioned(client, job)
        call.record(client.post(f"{path}/enable", version=version))


@verb(app, "disable", "fileflux jobs disable nightly")
def disable(call: Call, job: JobArgument) -> None:
    """Keep a job from running until it is enabled; a run that has begun goes on."""
    with call.connect() as client:
        path, _, version = _versioned(client, job)
        call.record(client.post(f"{path}/disable", version=version))


@verb(app, "versions", "fileflux jobs versions nightly", "fileflux jobs versions nightly --json")
def versions(call: Call, job: JobArgument, limit: LimitOption = 100) -> None:
    """Who made a job what it is, version by version; --json shows what each one was."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        path = f"/api/jobs/{find(client, 'job', job)['id']}/versions"
        call.records(list(client.pages(path, limit)), _VERSIONS)


@verb(app, "run", "fileflux jobs run nightly", "fileflux jobs run nightly --wait --timeout 3600")
def run(call: Call, job: JobArgument, wait: o.WaitOption = False, timeout: TimeoutOption = None) -> None:
    """Start a run of a job. With --wait the exit code says how it ended; Ctrl-C leaves it running."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        started = client.post(f"/api/jobs/{find(client, 'job', job)['id']}/run")
        if wait:
            from fileflux.cli.runs import follow

            follow(call, client, started["id"], timeout, record=True)
        else:
            call.record(started)


def _agent_names(client: HubClient) -> dict[int, str]:
    return {agent["id"]: agent["name"] for agent in client.pages("/api/agents")}


def _versioned(client: HubClient, job: str) -> tuple[str, dict[str, Any], str]:
    """A job's path, itself and its ETag: a change is refused when somebody else was quicker."""
    from fileflux.cli.connect import find

    path = f"/api/jobs/{find(client, 'job', job)['id']}"
    shown, version = client.get_version(path)
    return path, shown, version


job_files.add_to(app)
planning.add_to(app)
watches.add_to(app)
