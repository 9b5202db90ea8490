"""Jobs: what users defined. A deleted job stays as a row, since its runs refer to it.

Every change counts ``version`` up and leaves a copy in ``job_versions``, in the same transaction.
"""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fileflux.errors import ConflictError, NotFoundError
from fileflux.jobs.models import JobSpec
from fileflux.storage import fire_times, outbox
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, make, page_size
from fileflux.storage.values import exact_json


@dataclass(frozen=True, slots=True)
class JobRow:
    """``spec`` is ``JobSpec.to_json()``; read it with ``JobSpec.from_json``."""

    id: int
    name: str
    spec: dict[str, Any]
    enabled: bool
    version: int
    created_at: datetime
    updated_at: datetime
    created_by: str
    deleted_at: datetime | None
    ad_hoc: bool
    next_fire: datetime | None = None
    """The time of its schedule at which it runs next; None for a job that does not fire."""
    last_run_id: int | None = None
    last_run_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobVersion:
    """A job as it was from ``changed_at`` on. ``id`` is the version."""

    id: int
    spec: dict[str, Any]
    enabled: bool
    changed_by: str
    changed_at: datetime


COLUMNS = columns(JobRow)


def from_values(values: tuple[Any, ...]) -> JobRow:
    """The row of what ``COLUMNS`` selected."""
    return JobRow(*values)


def create(tx: Transaction, spec: JobSpec, created_by: str, *, enabled: bool = True, ad_hoc: bool = False) -> JobRow:
    """``ad_hoc``: made for one run, left out of the usual list.

    Raises ConflictError when the name is taken, FluxError (code ``bad_value``) for texts that cannot be stored unchanged.
    """
    row = tx.one(
        "INSERT INTO jobs (name, spec, enabled, created_by, ad_hoc) VALUES (%s, %s, %s, %s, %s)"
        f" ON CONFLICT (name) WHERE deleted_at IS NULL DO NOTHING RETURNING {COLUMNS}",
        (spec.name, exact_json(spec.to_json(), "the job"), enabled, created_by, ad_hoc),
    )
    if row is None:
        raise ConflictError(f"a job named {spec.name} exists already")
    made = _scheduled(tx, JobRow(*row), None, spec if enabled and not ad_hoc else None)
    return _kept(tx, made, created_by)


def get(tx: Transaction, job_id: int) -> JobRow | None:
    """None for an unknown and for a deleted job."""
    return make(JobRow, tx.one(f"SELECT {COLUMNS} FROM jobs WHERE id = %s AND deleted_at IS NULL", (job_id,)))


def by_name(tx: Transaction, name: str) -> JobRow | None:
    return make(JobRow, tx.one(f"SELECT {COLUMNS} FROM jobs WHERE name = %s AND deleted_at IS NULL", (name,)))


def hold(tx: Transaction, job_id: int) -> JobRow:
    """The job, which nobody else can change or run until the transaction ends. Raises NotFoundError."""
    return _locked(tx, job_id, "FOR UPDATE")


def to_run(tx: Transaction, job_id: int) -> JobRow:
    """The job, which stays as it is until the transaction ends: make the run in it.

    Raises NotFoundError, and ConflictError (code ``job_disabled``) for a job that may not run.
    """
    # Stronger than FOR SHARE: two that make runs at once would each wait for the other to note its run in the job.
    row = _locked(tx, job_id, "FOR NO KEY UPDATE")
    if not row.enabled:
        raise ConflictError(f"job {row.name} is disabled: enable it, then run it", code="job_disabled")
    return row


def change(tx: Transaction, held: JobRow, changed_by: str, *, spec: JobSpec, enabled: bool, ad_hoc: bool) -> JobRow:
    """Make a held job this; the same row when nothing differs. Raises ConflictError when the name is taken."""
    if (spec, enabled, ad_hoc) == (JobSpec.from_json(held.spec), held.enabled, held.ad_hoc):
        return held
    # Two that take one name at the same time both pass this; the unique key then refuses the second.
    taken = by_name(tx, spec.name)
    if taken is not None and taken.id != held.id:
        raise ConflictError(f"a job named {spec.name} exists already")
    row = tx.one(
        "UPDATE jobs SET name = %s, spec = %s, enabled = %s, ad_hoc = %s, version = version + 1, updated_at = now()"
        f" WHERE id = %s RETURNING {COLUMNS}",
        (spec.name, exact_json(spec.to_json(), "the job"), enabled, ad_hoc, held.id),
    )
    assert row is not None  # noqa: S101  # for the type checker: the row is held
    before = JobSpec.from_json(held.spec) if held.enabled and not held.ad_hoc else None
    changed = _scheduled(tx, JobRow(*row), before, spec if enabled and not ad_hoc else None)
    return _kept(tx, changed, changed_by)


def delete(tx: Transaction, held: JobRow) -> None:
    """Take a held job out of every list. Raises ConflictError (code ``job_running``) while a run of it is live."""
    live = tx.one(
        "SELECT id FROM runs WHERE job_id = %s AND status NOT IN ('succeeded', 'partial', 'failed', 'cancelled') LIMIT 1",
        (held.id,),
    )
    if live is not None:
        raise ConflictError(
            f"run {live[0]} of job {held.name} has not ended: cancel it or wait for it", code="job_running"
        )
    tx.execute(
        "UPDATE jobs SET deleted_at = now(), updated_at = now(),"
        " next_fire = NULL, due_at = NULL, expect_at = NULL, expect_since = NULL WHERE id = %s",
        (held.id,),
    )
    if not held.ad_hoc:
        outbox.add(tx, "job.changed", job_id=held.id, detail={"change": "deleted", "version": held.version})


def versions(tx: Transaction, job_id: int, limit: int, cursor: int | None = None) -> list[JobVersion]:
    """Newest first, those before ``cursor``."""
    rows = tx.all(
        "SELECT version, spec, enabled, changed_by, changed_at FROM job_versions"
        " WHERE job_id = %s AND version < %s ORDER BY version DESC LIMIT %s",
        (job_id, cursor or 2**31, page_size(limit)),
    )
    return [JobVersion(*row) for row in rows]


def _locked(tx: Transaction, job_id: int, lock: str) -> JobRow:
    row = make(JobRow, tx.one(f"SELECT {COLUMNS} FROM jobs WHERE id = %s AND deleted_at IS NULL {lock}", (job_id,)))
    if row is None:
        raise NotFoundError(f"there is no job {job_id}")
    return row


def _scheduled(tx: Transaction, row: JobRow, before: JobSpec | None, after: JobSpec | None) -> JobRow:
    """The row with the times that follow from what the job was and is; None for a job that never fires."""
    if before is None and (after is None or (after.schedule is None and after.expected_by is None)):
        return row
    now = tx.one("SELECT clock_timestamp()")
    assert now is not None  # noqa: S101  # for the type checker: such a SELECT has one row
    times = fire_times.changes(row.id, before, after, now[0])
    if not times:
        return row
    settings = ", ".join(f"{name} = %({name})s" for name in times)
    changed = tx.one(f"UPDATE jobs SET {settings} WHERE id = %(id)s RETURNING {COLUMNS}", {**times, "id": row.id})
    assert changed is not None  # noqa: S101  # for the type checker: the row was written by this transaction
    return JobRow(*changed)


def _kept(tx: Transaction, row: JobRow, changed_by: str) -> JobRow:
    tx.execute(
        "INSERT INTO job_versions (job_id, version, spec, enabled, changed_by) VALUES (%s, %s, %s, %s, %s)",
        (row.id, row.version, exact_json(row.spec, "the job"), row.enabled, changed_by),
    )
    if not row.ad_hoc:
        detail = {"change": "made" if row.version == 1 else "changed", "version": row.version, "by": changed_by}
        outbox.add(tx, "job.changed", job_id=row.id, detail=detail)
    return row
