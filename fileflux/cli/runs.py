"""``fileflux runs``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fileflux.cli.command import Call, Plain, noun, verb
from fileflux.cli.completion import complete_agent, complete_job
from fileflux.cli.options import ExitCode, Format, LimitOption, TimeoutOption
from fileflux.jobs.status import RunStatus

if TYPE_CHECKING:
    from rich.console import Console

    from fileflux.cli.client import HubClient

app = noun("Executions of jobs.")
RunArgument = Annotated[int, typer.Argument(min=1, help="The run's id.")]
JobFilter = Annotated[
    str | None, typer.Option("--job", metavar="JOB", help="Name or #id of a job.", autocompletion=complete_job)
]
_COLUMNS: Final = (
    "id",
    "job_id",
    "status",
    "files",
    "created_at",
    "reason",
)


class Sort(StrEnum):
    """Of runs; with a minus the newest first."""

    ID = "id"
    NEWEST = "-id"
    CREATED = "created_at"
    LAST_CREATED = "-created_at"
    ENDED = "ended_at"
    LAST_ENDED = "-ended_at"


@verb(
    app,
    "list",
    "fileflux runs list",
    "fileflux runs list --job nightly --status failed --status partial",
    "fileflux runs list --since 2026-01-31T00:00:00Z --json --fields id,status,reason",
)
def list_runs(
    call: Call,
    job: JobFilter = None,
    status: Annotated[
        list[RunStatus] | None,
        typer.Option("--status", metavar="STATUS", help="As in failed; may be given several times."),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent", metavar="AGENT", help="Source or destination: name or #id.", autocompletion=complete_agent
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Made at or after, as in 2026-01-31T06:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Made before.")] = None,
    sort: Annotated[Sort | None, typer.Option("--sort")] = None,
    limit: LimitOption = 50,
) -> None:
    """List runs."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        query = {
            "job_id": None if job is None else find(client, "job", job)["id"],
            "status": [item.value for item in status] if status else None,
            "agent_id": None if agent is None else find(client, "agent", agent)["id"],
            "since": since,
            "until": until,
            "sort": sort and sort.value,
        }
        found = list(client.pages("/api/runs", limit, **query))
    if call.form is Format.TABLE and not call.fields:
        found = [{**run, "files": _files(run)} for run in found]
    call.records(found, _COLUMNS)


def _files(run: Mapping[str, Any]) -> str:
    total = "?" if run["files_total"] is None else run["files_total"]
    failed = f", {run['files_failed']} failed" if run["files_failed"] else ""
    return f"{run['files_done'] + run['files_skipped']}/{total}{failed}"


@verb(app, "show", "fileflux runs show 42", "fileflux runs show 42 --json")
def show(call: Call, run: RunArgument) -> None:
    """Show one run."""
    with call.connect() as client:
        call.record(client.get(f"/api/runs/{run}"))


@verb(app, "watch", "fileflux runs watch 42", "fileflux runs watch 42 --timeout 600")
def watch(call: Plain, run: RunArgument, timeout: TimeoutOption = None) -> None:
    """Follow a run with a progress bar until it ends; the exit code says how. Ctrl-C leaves it running."""
    with call.connect() as client:
        follow(call, client, run, timeout)


@verb(app, "wait", "fileflux runs wait 42 --timeout 3600 --json")
def wait(call: Call, run: RunArgument, timeout: TimeoutOption = None) -> None:
    """Wait silently until a run ends, then show it; the exit code says how it went."""
    with call.connect() as client:
        follow(call, client, run, timeout, record=True, silent=True)


@verb(app, "cancel", "fileflux runs cancel 42")
def cancel(call: Plain, run: RunArgument) -> None:
    """Ask a run to end."""
    with call.connect() as client:
        client.post(f"/api/runs/{run}/cancel")


@verb(app, "retry", "fileflux runs retry 42", "fileflux runs retry 42 --wait")
def retry(
    call: Call,
    run: RunArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run until it ends.")] = False,
    timeout: TimeoutOption = None,
) -> None:
    """Start a run with the files of another one that failed."""
    with call.connect() as client:
        started = client.post(f"/api/runs/{run}/retry")
        if wait:
            follow(call, client, started["id"], timeout, record=True)
        else:
            call.record(started)


@verb(app, "pause", "fileflux runs pause 42")
def pause(call: Call, run: RunArgument) -> None:
    """Hold a run; what has arrived stays."""
    with call.connect() as client:
        call.record(client.post(f"/api/runs/{run}/pause"))


@verb(app, "resume", "fileflux runs resume 42")
def resume(call: Call, run: RunArgument) -> None:
    """Let a paused run go on."""
    with call.connect() as client:
        call.record(client.post(f"/api/runs/{run}/resume"))


def follow(
    call: Plain,
    client: HubClient,
    run_id: int,
    timeout: float | None,
    *,
    record: bool = False,
    silent: bool = False,
) -> None:
    """Follow a run and leave with the exit code that says how it ended. With ``record`` the run is printed as ``call`` says, else a sentence."""
    from fileflux.cli.interrupt import told_to_stop
    from fileflux.cli.progress import failure_lines, summary, watch_run

    try:
        with told_to_stop():
            result = watch_run(client, run_id, stderr_console(call, silent=silent), timeout=timeout)
    except KeyboardInterrupt:
        call.say(
            f"run {run_id} goes on; follow it with `fileflux runs watch {run_id}`, end it with `fileflux runs cancel {run_id}`"
        )
        raise
    for line in failure_lines(result):
        print(line, file=sys.stderr)
    if record and isinstance(call, Call) and (silent or call.form is not Format.TABLE or call.fields):
        call.record(result.run)
    elif not call.settings.quiet:
        print(summary(result))
    if result.exit_code is not ExitCode.OK:
        raise typer.Exit(result.exit_code)


def stderr_console(call: Plain, *, silent: bool = False) -> Console:
    """Where progress goes: stdout is for results."""
    from rich.console import Console

    chosen = call.settings
    return Console(stderr=True, quiet=silent or chosen.quiet, no_color=None if chosen.color else True)
