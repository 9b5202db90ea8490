"""``fileflux runs`` and ``fileflux transfers``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fileflux.cli.options import (
    ExitCode,
    Format,
    JsonOption,
    LimitOption,
    OutputOption,
    TimeoutOption,
    settings,
)

if TYPE_CHECKING:
    from rich.console import Console

    from fileflux.cli.client import HubClient

app = typer.Typer(help="Executions of jobs.")
transfers_app = typer.Typer(help="The files of runs.")
RunArgument = Annotated[int, typer.Argument(min=1, help="The run's id.")]
JobFilter = Annotated[str | None, typer.Option("--job", help="Name or #id of a job.")]
StatusFilter = Annotated[str | None, typer.Option("--status")]
_COLUMNS: Final = (
    "id",
    "job_id",
    "status",
    "progress",
    "files_done",
    "files_total",
    "files_failed",
    "created_at",
    "reason",
)
_TRANSFER_COLUMNS: Final = ("id", "run_id", "status", "progress", "size", "filename", "reason")


@app.command("list")
def list_runs(
    context: typer.Context,
    job: JobFilter = None,
    status: StatusFilter = None,
    limit: LimitOption = 50,
    output: OutputOption = Format.TABLE,
    as_json: JsonOption = False,
) -> None:
    """List runs."""
    from fileflux.cli.connect import connect, find
    from fileflux.cli.output import chosen, print_records

    with connect(settings(context)) as client:
        job_id = None if job is None else find(client, "job", job)["id"]
        found = list(client.pages("/api/runs", limit, job_id=job_id, status=status))
    print_records(found, _COLUMNS, chosen(output, as_json=as_json))


@app.command()
def show(
    context: typer.Context, run: RunArgument, output: OutputOption = Format.TABLE, as_json: JsonOption = False
) -> None:
    """Show one run."""
    from fileflux.cli.connect import connect
    from fileflux.cli.output import chosen, print_record

    with connect(settings(context)) as client:
        print_record(client.get(f"/api/runs/{run}"), chosen(output, as_json=as_json))


@app.command()
def watch(context: typer.Context, run: RunArgument, timeout: TimeoutOption = None) -> None:
    """Follow a run with a progress bar until it ends."""
    from fileflux.cli.connect import connect

    with connect(settings(context)) as client:
        follow(context, client, run, None, timeout)


@app.command()
def wait(
    context: typer.Context,
    run: RunArgument,
    timeout: TimeoutOption = None,
    output: OutputOption = Format.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Wait silently until a run ends, then show it; the exit code says how it went."""
    from fileflux.cli.connect import connect
    from fileflux.cli.output import chosen

    with connect(settings(context)) as client:
        follow(context, client, run, chosen(output, as_json=as_json), timeout, silent=True)


@app.command()
def cancel(context: typer.Context, run: RunArgument) -> None:
    """Ask a run to end."""
    from fileflux.cli.connect import connect

    with connect(settings(context)) as client:
        client.post(f"/api/runs/{run}/cancel")


@transfers_app.command("list")
def list_transfers(
    context: typer.Context,
    run: Annotated[int | None, typer.Option("--run", min=1)] = None,
    job: JobFilter = None,
    status: StatusFilter = None,
    limit: LimitOption = 50,
    output: OutputOption = Format.TABLE,
    as_json: JsonOption = False,
) -> None:
    """List transfers."""
    from fileflux.cli.connect import connect, find
    from fileflux.cli.output import chosen, print_records

    with connect(settings(context)) as client:
        job_id = None if job is None else find(client, "job", job)["id"]
        found = list(client.pages("/api/transfers", limit, run_id=run, job_id=job_id, status=status))
    print_records(found, _TRANSFER_COLUMNS, chosen(output, as_json=as_json))


@transfers_app.command("show")
def show_transfer(
    context: typer.Context,
    transfer: Annotated[int, typer.Argument(min=1)],
    output: OutputOption = Format.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Show one transfer."""
    from fileflux.cli.connect import connect
    from fileflux.cli.output import chosen, print_record

    with connect(settings(context)) as client:
        print_record(client.get(f"/api/transfers/{transfer}"), chosen(output, as_json=as_json))


def follow(
    context: typer.Context,
    client: HubClient,
    run_id: int,
    form: Format | None,
    timeout: float | None,
    *,
    silent: bool = False,
) -> None:
    """Follow a run and leave with the exit code that says how it ended; its record goes to stdout in ``form`` if one is given."""
    from fileflux.cli.output import print_record
    from fileflux.cli.progress import failure_lines, summary, watch_run

    result = watch_run(client, run_id, stderr_console(context, silent=silent), timeout=timeout)
    for line in failure_lines(result):
        print(line, file=sys.stderr)
    if form is not None:
        print_record(result.run, form)
    elif not settings(context).quiet:
        print(summary(result))
    if result.exit_code is not ExitCode.OK:
        raise typer.Exit(result.exit_code)


def stderr_console(context: typer.Context, *, silent: bool = False) -> Console:
    """Where progress goes: stdout is for results."""
    from rich.console import Console

    chosen = settings(context)
    return Console(stderr=True, quiet=silent or chosen.quiet, no_color=None if chosen.color else True)
