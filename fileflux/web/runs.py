"""Runs: stored rows, with the newer counters of live ones laid over them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fileflux.errors import NotFoundError
from fileflux.jobs.status import RunStatus
from fileflux.storage import runs as rows
from fileflux.storage.lists import RUNS
from fileflux.storage.pages import Ask
from fileflux.web import schemas
from fileflux.web.context import deps
from fileflux.web.paging import listed
from fileflux.web.resource import Resource

runs = Resource("runs", "Executions of jobs.")


@runs.route("GET", "/api/runs", query=schemas.RunQuery, returns=schemas.RunPage)
def list_runs(query: Ask) -> dict[str, Any]:
    """Runs, newest first."""
    with deps().database.transaction() as tx:
        found = RUNS.page(tx, query)
    return listed(query, found, run_fields)


@runs.route("GET", "/api/runs/<id:run_id>", returns=schemas.RunOut)
def show_run(run_id: int) -> dict[str, Any]:
    """One run."""
    return run_fields(_stored(run_id))


def run_fields(row: rows.RunRow) -> dict[str, Any]:
    """A run as the API shows it."""
    status = RunStatus(row.status)
    shown: dict[str, Any] = {
        "status": status.value,
        "reason": row.reason,
        "files_total": row.files_total,
        "files_done": row.files_done,
        "files_failed": row.files_failed,
        "files_skipped": row.files_skipped,
        "bytes_total": row.bytes_total or 0,
        "bytes_done": row.bytes_done,
        "bytes_wire": row.bytes_wire,
        "bytes_reused": row.bytes_reused,
    }
    # What is stored as ended is the truth; a live run that has not noticed yet is behind it.
    live = None if status.terminal else deps().live_runs.progress(row.id)
    if live is not None:
        shown = {name: getattr(live, name) for name in shown}
    return {
        **shown,
        "bandwidth": None if live is None or live.bandwidth is None else asdict(live.bandwidth),
        "bottleneck": None if live is None else live.bottleneck,
        "id": row.id,
        "job_id": row.job_id,
        "requested_by": row.requested_by,
        "trigger": row.trigger,
        "fire_time": row.fire_time,
        "after_run": row.after_run,
        "retry_of": row.retry_of,
        "files_deleted": row.files_deleted,
        "delete_errors": row.delete_errors,
        "progress": percent(shown["bytes_done"], shown["bytes_total"], whole=status is RunStatus.SUCCEEDED),
        "bytes_transferred": shown["bytes_wire"],
        "created_at": row.created_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "deadline_at": row.deadline_at,
    }


def percent(done: int, total: int, *, whole: bool) -> float:
    """0 to 100, rounded down to a tenth: 100 is shown only for everything. ``whole`` says that nothing is left to do."""
    if whole:
        return 100.0
    return min(done, total) * 1000 // total / 10 if total > 0 else 0.0


def _stored(run_id: int) -> rows.RunRow:
    with deps().database.transaction() as tx:
        row = rows.get(tx, run_id)
    if row is None:
        raise NotFoundError(f"there is no run {run_id}")
    return row
