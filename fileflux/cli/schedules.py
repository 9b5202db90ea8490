"""``fileflux schedules``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from fileflux.cli.command import Call, noun, verb
from fileflux.cli.options import Format, LimitOption

app = noun("When jobs run.")
_TIMES: Final = ("job_time", "viewer_time", "utc")
_UPCOMING: Final = ("job_id", "job", "job_time", "timezone", "starts_at")
_JOBS: Final = ("id", "name", "schedule", "timezone", "enabled", "next_run", "last_run", "last_run_id")


@verb(
    app,
    "preview",
    "fileflux schedules preview '*/5 * * * *' --tz Europe/Berlin",
    "fileflux schedules preview '0 30 2 * * MON-FRI' --tz America/New_York -n 10 -o json",
    "fileflux schedules preview @daily",
)
def preview(
    call: Call,
    cron: Annotated[str, typer.Argument(help="Five fields, six with seconds in front, or @daily and its like.")],
    tz: Annotated[str, typer.Option("--tz", metavar="ZONE", help="The job's time zone.")] = "UTC",
    viewer_tz: Annotated[
        str, typer.Option("--viewer-tz", metavar="ZONE", help="A second zone to show the times in.")
    ] = "UTC",
    count: Annotated[int, typer.Option("-n", "--count", metavar="N", min=1, max=200)] = 5,
) -> None:
    """Show the next times of a cron expression, as the hub computes them."""
    with call.connect() as client:
        found = client.get("/api/schedules/preview", cron=cron, tz=tz, count=count, viewer_tz=viewer_tz)
    if call.form is not Format.TABLE or call.fields:
        call.record(found)
        return
    call.say(" ".join(f"{text.rstrip('.')}." for text in (found["words"], found["dst_rule"]) if text))
    call.records(found["items"], _TIMES)


@verb(
    app,
    "upcoming",
    "fileflux schedules upcoming",
    "fileflux schedules upcoming --until 2030-01-31T06:00:00Z --limit 200 --json",
)
def upcoming(
    call: Call,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="As in 2030-01-31T06:00:00Z; seven days from now unless given."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=200)] = 20,
) -> None:
    """Show what starts next, over all jobs."""
    with call.connect() as client:
        call.records(client.get("/api/schedules/upcoming", until=until, limit=limit)["items"], _UPCOMING)


@verb(app, "list", "fileflux schedules list", "fileflux schedules list -o yaml --fields name,schedule,next_run")
def list_schedules(call: Call, limit: LimitOption = 1000) -> None:
    """List the jobs that have a schedule, the next to run first."""
    with call.connect() as client:
        scheduled = (job for job in client.pages("/api/jobs") if job["schedule"] is not None)
        found = list(itertools.islice(scheduled, limit))
    call.records(sorted(found, key=_next), _JOBS)


def _next(job: Mapping[str, Any]) -> tuple[bool, str]:
    """Those that are disabled come last."""
    return job["next_run"] is None, job["next_run"] or ""
