"""``fileflux jobs``."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fileflux.cli.job_options import (
    CompressionOption,
    ConflictOption,
    ExcludeOption,
    IncludeOption,
    ParallelOption,
    PlaceArgument,
    VerifyOption,
    WaitOption,
    job_body,
)
from fileflux.cli.options import Format, JsonOption, LimitOption, OutputOption, TimeoutOption, settings

app = typer.Typer(help="What is moved from where to where.")
JobArgument = Annotated[str, typer.Argument(help="Name or #id.")]
_COLUMNS: Final = (
    "id",
    "name",
    "source_agent_id",
    "source_path",
    "destination_agent_id",
    "destination_path",
    "enabled",
)


@app.command("list")
def list_jobs(
    context: typer.Context, limit: LimitOption = 1000, output: OutputOption = Format.TABLE, as_json: JsonOption = False
) -> None:
    """List jobs."""
    from fileflux.cli.connect import connect
    from fileflux.cli.output import chosen, print_records

    with connect(settings(context)) as client:
        print_records(list(client.pages("/api/jobs", limit)), _COLUMNS, chosen(output, as_json=as_json))


@app.command()
def show(
    context: typer.Context, job: JobArgument, output: OutputOption = Format.TABLE, as_json: JsonOption = False
) -> None:
    """Show one job."""
    from fileflux.cli.connect import connect, find
    from fileflux.cli.output import chosen, print_record

    with connect(settings(context)) as client:
        print_record(find(client, "job", job), chosen(output, as_json=as_json))


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument()],
    source: PlaceArgument,
    destination: PlaceArgument,
    verify: VerifyOption = None,
    conflict: ConflictOption = None,
    compression: CompressionOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    parallel: ParallelOption = None,
    output: OutputOption = Format.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Define a job: `fileflux jobs create nightly web-1:/srv/data backup:/data/web-1`."""
    from fileflux.cli.connect import connect
    from fileflux.cli.output import chosen, print_record

    with connect(settings(context)) as client:
        body = job_body(
            client,
            name,
            source,
            destination,
            verify=verify,
            conflict=conflict,
            compression=compression,
            include=include,
            exclude=exclude,
            parallel=parallel,
        )
        print_record(client.post("/api/jobs", body), chosen(output, as_json=as_json))


@app.command()
def run(
    context: typer.Context,
    job: JobArgument,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
    output: OutputOption = Format.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Start a run of a job."""
    from fileflux.cli.connect import connect, find
    from fileflux.cli.output import chosen, print_record
    from fileflux.cli.runs import follow

    form = chosen(output, as_json=as_json)
    with connect(settings(context)) as client:
        started = client.post(f"/api/jobs/{find(client, 'job', job)['id']}/run")
        if wait:
            follow(context, client, started["id"], form, timeout)
        else:
            print_record(started, form)
