"""Jobs: what users defined. A deleted job stays as a row, since its runs refer to it."""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fileflux.errors import ConflictError
from fileflux.jobs.models import JobSpec
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


_COLUMNS = columns(JobRow)


def create(tx: Transaction, spec: JobSpec, created_by: str, *, enabled: bool = True) -> JobRow:
    """Raises ConflictError when the name is taken, FluxError (code ``bad_value``) for texts that cannot be stored unchanged."""
    row = tx.one(
        "INSERT INTO jobs (name, spec, enabled, created_by) VALUES (%s, %s, %s, %s)"
        f" ON CONFLICT (name) WHERE deleted_at IS NULL DO NOTHING RETURNING {_COLUMNS}",
        (spec.name, exact_json(spec.to_json(), "the job"), enabled, created_by),
    )
    if row is None:
        raise ConflictError(f"a job named {spec.name} exists already")
    return JobRow(*row)


def get(tx: Transaction, job_id: int) -> JobRow | None:
    """None for an unknown and for a deleted job."""
    return make(JobRow, tx.one(f"SELECT {_COLUMNS} FROM jobs WHERE id = %s AND deleted_at IS NULL", (job_id,)))


def by_name(tx: Transaction, name: str) -> JobRow | None:
    return make(JobRow, tx.one(f"SELECT {_COLUMNS} FROM jobs WHERE name = %s AND deleted_at IS NULL", (name,)))


def list_page(tx: Transaction, limit: int, cursor: int | None = None) -> list[JobRow]:
    """Jobs by id, those after ``cursor``, without deleted ones."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM jobs WHERE id > %s AND deleted_at IS NULL ORDER BY id LIMIT %s",
        (cursor or 0, page_size(limit)),
    )
    return [JobRow(*row) for row in rows]
