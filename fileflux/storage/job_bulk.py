"""Many jobs at once, as ``jobs.create`` and ``jobs.change`` do it for one, in a few statements."""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fileflux.errors import ConflictError
from fileflux.jobs.models import JobSpec
from fileflux.storage import fire_times, outbox
from fileflux.storage.jobs import COLUMNS, JobRow
from fileflux.storage.pool import Transaction
from fileflux.storage.values import exact_json


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job as it shall be."""

    spec: JobSpec
    enabled: bool


def hold_named(tx: Transaction, names: Sequence[str]) -> dict[str, JobRow]:
    """Those of these jobs that exist, by name; nobody else can change or run them until the transaction ends."""
    rows = tx.all(
        f"SELECT {COLUMNS} FROM jobs WHERE name = ANY(%s::text[]) AND deleted_at IS NULL ORDER BY id FOR UPDATE",
        (list(names),),
    )
    return {row.name: row for row in (JobRow(*values) for values in rows)}


def differs(held: JobRow, wanted: Wanted) -> bool:
    """Whether a job is not yet as it shall be."""
    return held.ad_hoc or (wanted.spec, wanted.enabled) != (JobSpec.from_json(held.spec), held.enabled)


def page(tx: Transaction, after: int, limit: int, tag: str | None) -> list[JobRow]:
    """Jobs by id, those behind ``after``, without those made for one run."""
    tagged = "" if tag is None else " AND spec -> 'tags' ? %(tag)s"
    rows = tx.all(
        f"SELECT {COLUMNS} FROM jobs WHERE id > %(after)s AND deleted_at IS NULL AND NOT ad_hoc{tagged} ORDER BY id LIMIT %(limit)s",
        {"after": after, "limit": limit, "tag": tag},
    )
    return [JobRow(*row) for row in rows]


def agents(tx: Transaction, *, usable: bool) -> dict[int, str]:
    """Names of all agents by id; ``usable``: without those that are revoked."""
    condition = " WHERE status <> 'revoked'" if usable else ""
    return dict(tx.all(f"SELECT id, name FROM agents{condition}"))


def create_many(
    tx: Transaction, jobs: Sequence[Wanted], created_by: str, breathe: Callable[[], None]
) -> dict[str, int]:
    """Their ids by name. ``breathe`` is called now and then. Raises ConflictError when a name was taken meanwhile."""
    rows = []
    for job in jobs:
        rows.append((job.spec.name, exact_json(job.spec.to_json(), "the job"), job.enabled, created_by))
        breathe()
    made = tx.values(
        "INSERT INTO jobs (name, spec, enabled, created_by) VALUES %s"
        " ON CONFLICT (name) WHERE deleted_at IS NULL DO NOTHING RETURNING id, name",
        rows,
        "(%s, %s::jsonb, %s, %s)",
    )
    if len(made) != len(rows):
        raise ConflictError("a job of this name was made meanwhile: import the file again")
    ids = {name: row_id for row_id, name in made}
    _set_times(tx, [(ids[job.spec.name], None, job) for job in jobs], breathe)
    _keep_versions(tx, list(ids.values()), created_by)
    return ids


def change_many(
    tx: Transaction, changes: Sequence[tuple[JobRow, Wanted]], changed_by: str, breathe: Callable[[], None]
) -> None:
    """Make held jobs these; only those that differ."""
    rows = []
    for held, job in changes:
        rows.append((held.id, exact_json(job.spec.to_json(), "the job"), job.enabled))
        breathe()
    tx.values(
        "UPDATE jobs AS j SET spec = v.spec, enabled = v.enabled, ad_hoc = false, version = j.version + 1, updated_at = now()"
        " FROM (VALUES %s) AS v (id, spec, enabled) WHERE j.id = v.id RETURNING j.id",
        rows,
        "(%s::bigint, %s::jsonb, %s::boolean)",
    )
    _set_times(tx, [(held.id, held, job) for held, job in changes], breathe)
    _keep_versions(tx, [held.id for held, _ in changes], changed_by)


def _set_times(tx: Transaction, jobs: Sequence[tuple[int, JobRow | None, Wanted]], breathe: Callable[[], None]) -> None:
    row = tx.one("SELECT clock_timestamp()")
    assert row is not None  # noqa: S101  # for the type checker: such a SELECT has one row
    now: datetime = row[0]
    names = ("next_fire", "due_at", "expect_at", "expect_since")
    settings: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for job_id, held, job in jobs:
        fired = held is not None and held.enabled and not held.ad_hoc
        before = JobSpec.from_json(held.spec) if held is not None and fired else None
        times = fire_times.changes(job_id, before, job.spec if job.enabled else None, now)
        if times:
            given = tuple(name for name in names if name in times)
            settings.setdefault(given, []).append((job_id, *(times[name] for name in given)))
        breathe()
    for given, rows in settings.items():
        tx.values(
            f"UPDATE jobs AS j SET {', '.join(f'{name} = v.{name}' for name in given)}"
            f" FROM (VALUES %s) AS v (id, {', '.join(given)}) WHERE j.id = v.id RETURNING j.id",
            rows,
            f"(%s::bigint{', %s::timestamptz' * len(given)})",
        )


def _keep_versions(tx: Transaction, ids: Sequence[int], changed_by: str) -> None:
    tx.execute(
        "INSERT INTO job_versions (job_id, version, spec, enabled, changed_by)"
        " SELECT id, version, spec, enabled, %s FROM jobs WHERE id = ANY(%s::bigint[])",
        (changed_by, list(ids)),
    )
    outbox.add_many(tx, "job.changed", ids, detail={"change": "imported", "by": changed_by})
