"""Runs and their leases.

A run belongs to the hub process that holds its lease. Every taking of a lease counts ``lease_epoch`` up, and every write names the
epoch it was made under: whoever was fenced off changes nothing and learns it from the answer. Expiry is on the database's clock only.
"""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg2.extras import Json

from fileflux.errors import LocalProtocolError
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import RunStatus
from fileflux.storage.jobs import JobRow
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, page_size
from fileflux.storage.values import exact_json, exact_text, safe_text

LEASE_S = 60.0
CLAIM_LIMIT = 1000
TERMINAL = tuple(status.value for status in RunStatus if status.terminal)
LIVE_SQL = "status NOT IN ('succeeded', 'partial', 'failed', 'cancelled')"
"""Word for word the condition of the partial index, so that the planner can use it."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """``spec`` is ``JobSpec.to_json()`` of the job as it was; ``seconds_to_deadline`` counts from when the row was read."""

    id: int
    job_id: int
    spec: dict[str, Any]
    status: str
    reason: str
    retry_of: int | None
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    deadline_at: datetime
    plan: dict[str, Any] | None
    planned: bool
    files_total: int | None
    files_done: int
    files_failed: int
    files_skipped: int
    bytes_total: int | None
    bytes_done: int
    bytes_wire: int
    bytes_reused: int
    lease_owner: UUID | None
    lease_epoch: int
    lease_until: datetime | None
    seconds_to_deadline: float


_COLUMNS = columns(RunRow).replace(
    "seconds_to_deadline", "extract(epoch FROM deadline_at - clock_timestamp())::float8 AS seconds_to_deadline"
)
_CHANGEABLE = frozenset(
    {
        "status",
        "reason",
        "plan",
        "planned",
        "files_total",
        "files_done",
        "files_failed",
        "files_skipped",
        "bytes_total",
        "bytes_done",
        "bytes_wire",
        "bytes_reused",
    }
)
_TAKE = (
    "UPDATE runs SET lease_owner = %(owner)s::uuid, lease_epoch = lease_epoch + 1,"
    " lease_until = clock_timestamp() + make_interval(secs => %(lease)s)"
)


def create(tx: Transaction, job: JobRow, requested_by: str, retry_of: int | None = None) -> RunRow:
    """A queued run of ``job``, held by nobody yet. After the commit, let its owner ``claim_one`` it."""
    spec = JobSpec.from_json(job.spec)
    row = tx.one(
        "INSERT INTO runs (job_id, spec, requested_by, retry_of, deadline_at)"
        f" VALUES (%s, %s, %s, %s, now() + make_interval(secs => %s)) RETURNING {_COLUMNS}",
        (
            job.id,
            exact_json(spec.to_json(), "the job"),
            exact_text(requested_by, "the user"),
            retry_of,
            spec.deadline_s,
        ),
    )
    assert row is not None  # noqa: S101  # for the type checker: INSERT … RETURNING gives its row
    return _row(row)


def get(tx: Transaction, run_id: int) -> RunRow | None:
    row = tx.one(f"SELECT {_COLUMNS} FROM runs WHERE id = %s", (run_id,))
    return None if row is None else _row(row)


def list_page(
    tx: Transaction, limit: int, cursor: int | None = None, *, job_id: int | None = None, status: str | None = None
) -> list[RunRow]:
    """Newest first, those before ``cursor`` (the last id of the page before)."""
    # Conditions are written out only when they are needed: the planner then takes the index that has the order.
    conditions, params = ["true"], dict[str, Any](limit=page_size(limit))
    for name, condition, value in (
        ("cursor", "id < %(cursor)s", cursor),
        ("job_id", "job_id = %(job_id)s", job_id),
        ("status", "status = %(status)s", status),
    ):
        if value is not None:
            conditions.append(condition)
            params[name] = value
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM runs WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT %(limit)s", params
    )
    return [_row(row) for row in rows]


def claim(tx: Transaction, owner: UUID, lease_s: float = LEASE_S, limit: int = CLAIM_LIMIT) -> list[RunRow]:
    """Take the live runs that nobody holds, whose lease ran out, or that are the owner's own; each gets a new epoch.

    Runs that another transaction is taking at this moment are left to it. Oldest first.
    """
    return _take(
        tx,
        f"id IN (SELECT id FROM runs WHERE {LIVE_SQL}"
        " AND (lease_until IS NULL OR lease_until < clock_timestamp() OR lease_owner = %(owner)s::uuid)"
        " ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)",
        {"owner": str(owner), "lease": lease_s, "limit": limit},
    )


def claim_one(tx: Transaction, run_id: int, owner: UUID, lease_s: float = LEASE_S) -> RunRow | None:
    """Take this run under the same rule as ``claim``; None when another owner holds it or it has ended."""
    taken = _take(
        tx,
        f"id = %(run)s AND {LIVE_SQL}"
        " AND (lease_until IS NULL OR lease_until < clock_timestamp() OR lease_owner = %(owner)s::uuid)",
        {"owner": str(owner), "lease": lease_s, "run": run_id},
    )
    return taken[0] if taken else None


def steal_all(tx: Transaction, owner: UUID, lease_s: float = LEASE_S) -> list[RunRow]:
    """Take every live run whoever holds it: for the start of a hub that is known to be the only one."""
    return _take(tx, LIVE_SQL, {"owner": str(owner), "lease": lease_s})


def renew(tx: Transaction, owner: UUID, lease_s: float = LEASE_S) -> int:
    """Hold on to every live run of the owner for another ``lease_s``, under the same epochs; returns how many."""
    return tx.execute(
        "UPDATE runs SET lease_until = clock_timestamp() + make_interval(secs => %s)"
        f" WHERE lease_owner = %s::uuid AND {LIVE_SQL}",
        (lease_s, str(owner)),
    )


def update(tx: Transaction, run_id: int, epoch: int, **changes: Any) -> bool:
    """Change columns of a live run under its lease; False when the caller is fenced off or the run has ended: stop then.

    Times follow from the status: ``started_at`` when it leaves ``queued``, ``ended_at`` when it is terminal, which also ends the
    lease. Raises LocalProtocolError for a column that nobody may set this way.
    """
    unknown = changes.keys() - _CHANGEABLE
    if unknown or not changes:
        raise LocalProtocolError(f"not to be changed this way: {', '.join(sorted(unknown)) or 'nothing was given'}")
    params: dict[str, Any] = {name: _param(name, value) for name, value in changes.items()}
    settings = [f"{name} = %({name})s" for name in changes]
    if "status" in changes:
        status = RunStatus(changes["status"])
        if status is not RunStatus.QUEUED:
            settings.append("started_at = coalesce(started_at, clock_timestamp())")
        if status.terminal:
            settings += ["ended_at = clock_timestamp()", "lease_owner = NULL", "lease_until = NULL"]
    params |= {"run_id": run_id, "epoch": epoch}
    return (
        tx.execute(
            f"UPDATE runs SET {', '.join(settings)} WHERE id = %(run_id)s AND lease_epoch = %(epoch)s AND {LIVE_SQL}",
            params,
        )
        == 1
    )


def _take(tx: Transaction, condition: str, params: dict[str, Any]) -> list[RunRow]:
    rows = tx.all(f"{_TAKE} WHERE {condition} RETURNING {_COLUMNS}", params)
    return sorted((_row(row) for row in rows), key=lambda row: row.id)


def _param(name: str, value: Any) -> Any:
    match name:
        case "status":
            return RunStatus(value).value
        case "reason":
            return safe_text(value)
        case "plan":
            return None if value is None else Json(value)
        case _:
            return value


def _row(values: tuple[Any, ...]) -> RunRow:
    row = RunRow(*values)
    return row if row.lease_owner is None else replace(row, lease_owner=UUID(str(row.lease_owner)))
