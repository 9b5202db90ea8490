"""``fileflux transfers``."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fileflux.cli.command import Call, noun, verb
from fileflux.cli.options import LimitOption
from fileflux.cli.runs import JobFilter
from fileflux.jobs.status import TransferStatus

app = noun("The files of runs.")
TransferArgument = Annotated[int, typer.Argument(min=1, help="The transfer's id.")]
_COLUMNS: Final = ("id", "run_id", "status", "progress", "size", "filename", "reason")
_CHUNKS: Final = ("index", "offset", "size", "status")


@verb(
    app,
    "list",
    "fileflux transfers list --run 42",
    "fileflux transfers list --job nightly --status failed",
    "fileflux transfers list --run 42 --code no_space",
    "fileflux transfers list --run 42 --filename report --json --fields filename,status,file_hash",
)
def list_transfers(
    call: Call,
    run: Annotated[int | None, typer.Option("--run", metavar="RUN", min=1)] = None,
    job: JobFilter = None,
    status: Annotated[
        list[TransferStatus] | None,
        typer.Option("--status", metavar="STATUS", help="As in failed; may be given several times."),
    ] = None,
    code: Annotated[
        str | None, typer.Option("--code", metavar="CODE", help="What became of them, as in no_space; with --run.")
    ] = None,
    filename: Annotated[
        str | None, typer.Option("--filename", metavar="TEXT", help="A part of the name; with --run or --job.")
    ] = None,
    limit: LimitOption = 50,
) -> None:
    """List transfers."""
    from fileflux.cli.connect import find

    with call.connect() as client:
        query = {
            "run_id": run,
            "job_id": None if job is None else find(client, "job", job)["id"],
            "status": [item.value for item in status] if status else None,
            "code": code,
            "filename": filename,
        }
        call.records(list(client.pages("/api/transfers", limit, **query)), _COLUMNS)


@verb(app, "show", "fileflux transfers show 1234", "fileflux transfers show 1234 --json --fields file_hash")
def show(call: Call, transfer: TransferArgument) -> None:
    """Show one transfer."""
    with call.connect() as client:
        call.record(client.get(f"/api/transfers/{transfer}"))


@verb(app, "chunks", "fileflux transfers chunks 1234", "fileflux transfers chunks 1234 --limit 5000 --json")
def chunks(call: Call, transfer: TransferArgument, limit: LimitOption = 1000) -> None:
    """Which chunks of a file have arrived."""
    with call.connect() as client:
        call.records(list(client.pages(f"/api/transfers/{transfer}/chunks", limit)), _CHUNKS)


@verb(app, "cancel", "fileflux transfers cancel 1234")
def cancel(call: Call, transfer: TransferArgument) -> None:
    """Leave one file out of its run."""
    with call.connect() as client:
        call.record(client.post(f"/api/transfers/{transfer}/cancel"))


@verb(app, "resume", "fileflux transfers resume 1234")
def resume(call: Call, transfer: TransferArgument) -> None:
    """Try a file again while its run goes on; after that: `fileflux runs retry`."""
    with call.connect() as client:
        call.record(client.post(f"/api/transfers/{transfer}/resume"))
