"""``fileflux send``: a job for once, like scp."""

from __future__ import annotations

import secrets
import sys

import typer

from fileflux.cli.job_options import (
    CompressionOption,
    ConflictOption,
    ExcludeOption,
    IncludeOption,
    ParallelOption,
    PlaceArgument,
    VerifyOption,
    job_body,
)
from fileflux.cli.options import ExitCode, Format, JsonOption, OutputOption, TimeoutOption, settings


def send(
    context: typer.Context,
    source: PlaceArgument,
    destination: PlaceArgument,
    verify: VerifyOption = None,
    conflict: ConflictOption = None,
    compression: CompressionOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    parallel: ParallelOption = None,
    timeout: TimeoutOption = None,
    output: OutputOption = Format.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Move a file, a directory's contents or what a glob matches, and wait: `fileflux send web-1:/srv/in backup:/data/in`.

    Ctrl-C cancels it. With a time-out it goes on after the command has given up.
    """
    from fileflux.cli.connect import connect
    from fileflux.cli.output import chosen
    from fileflux.cli.runs import follow
    from fileflux.clock import SystemClock

    form = chosen(output, as_json=as_json)
    stamp = SystemClock().utc_now().strftime("%Y%m%d-%H%M%S")
    with connect(settings(context)) as client:
        body = job_body(
            client,
            f"send-{stamp}-{secrets.token_hex(3)}",
            source,
            destination,
            verify=verify,
            conflict=conflict,
            compression=compression,
            include=include,
            exclude=exclude,
            parallel=parallel,
        )
        job = client.post("/api/jobs", body)
        run = client.post(f"/api/jobs/{job['id']}/run")
        try:
            follow(context, client, run["id"], None if form is Format.TABLE else form, timeout)
        except KeyboardInterrupt:
            client.post(f"/api/runs/{run['id']}/cancel")
            print(f"run {run['id']} is being cancelled", file=sys.stderr)
            raise typer.Exit(ExitCode.CANCELLED) from None
