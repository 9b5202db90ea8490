"""Plans: what a run of a job would do, found out beforehand, and how a run of it then differed.

A plan may have a million entries: everything here goes page by page, and what is not wanted any more is removed little by little.
"""

# ruff: noqa: S608  # SQL is put together from names in this file only; every value is a parameter
from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from psycopg2.extras import Json

from fileflux.errors import ConflictError, NotFoundError, OverloadedError
from fileflux.storage.jobs import JobRow
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, page_size
from fileflux.storage.values import safe_json, safe_text

Status = Literal["planning", "ready", "failed", "cancelled"]
Class = Literal["new", "changed", "equal", "extra", "refused"]
CLASSES: Final[tuple[Class, ...]] = ("new", "changed", "equal", "extra", "refused")
KEPT_DAYS: Final = 7
PER_JOB: Final = 20
"""Plans of a job; the oldest makes room."""
LIVE_MAX: Final = 16
"""Plans that are made at once: each has both agents walk a tree."""
SILENT_S: Final = 30
"""A plan of which nothing was heard for so long has lost the hub that made it; one says so three times as often."""
_LOST: Final = "the hub that made this plan has stopped: plan again"


@dataclass(frozen=True, slots=True)
class PlanRow:
    """``sums``: by class ``[files, bytes]``, and ``directories``, ``estimate_s``, ``estimate_note``; while it is made those so far.

    ``spec`` is the job's at that time. ``drift``: by kind, how many files its run found otherwise; None until they are compared.
    """

    id: int
    job_id: int
    job_version: int
    spec: dict[str, Any]
    status: str
    reason: str
    requested_by: str
    created_at: datetime
    ended_at: datetime | None
    warnings: list[str]
    sums: dict[str, Any]
    run_id: int | None
    drift: dict[str, int] | None


@dataclass(frozen=True, slots=True)
class Entry:
    """``path`` is below the source's base, of an extra one below the destination."""

    path: bytes
    kind: str
    size: int
    mtime_ns: int
    class_: Class
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    id: int
    path: bytes
    kind: str
    size: int
    mtime_ns: int
    class_: str
    reason: str


COLUMNS: Final = columns(PlanRow)
_ENTRY: Final = "id, path, kind, size, mtime_ns, class, reason"


def create(tx: Transaction, job: JobRow, requested_by: str) -> PlanRow:
    """A plan that is still to be made. Raises ConflictError while another one of the job is, OverloadedError when too many are."""
    give_up_lost(tx)
    live = tx.all("SELECT id, job_id FROM plans WHERE status = 'planning' AND remove_at > now() LIMIT %s", (LIVE_MAX,))
    own = next((plan_id for plan_id, job_id in live if job_id == job.id), None)
    if own is not None:
        raise ConflictError(f"plan {own} of this job is being made: wait for it, or cancel it", code="plan_running")
    if len(live) >= LIVE_MAX:
        raise OverloadedError(f"{LIVE_MAX} plans are being made: try again when one of them is ready")
    row = tx.one(
        f"INSERT INTO plans (job_id, job_version, spec, requested_by) VALUES (%s, %s, %s, %s) RETURNING {COLUMNS}",
        (job.id, job.version, Json(job.spec), requested_by),
    )
    assert row is not None  # noqa: S101  # for the type checker: INSERT … RETURNING gives its row
    tx.execute(
        "UPDATE plans SET remove_at = now() WHERE job_id = %s AND id NOT IN"
        " (SELECT id FROM plans WHERE job_id = %s ORDER BY id DESC LIMIT %s)",
        (job.id, job.id, PER_JOB),
    )
    return PlanRow(*row)


def give_up_lost(tx: Transaction) -> None:
    """Plans whose hub has stopped have failed."""
    tx.execute(
        "UPDATE plans SET status = 'failed', reason = %s, ended_at = clock_timestamp()"
        " WHERE status = 'planning' AND heard_at < clock_timestamp() - make_interval(secs => %s)",
        (_LOST, SILENT_S),
    )


def get(tx: Transaction, plan_id: int) -> PlanRow | None:
    """The plan, unless it was removed or its time is over."""
    row = tx.one(f"SELECT {COLUMNS} FROM plans WHERE id = %s AND remove_at > now()", (plan_id,))
    return None if row is None else PlanRow(*row)


def of_job(tx: Transaction, job_id: int, limit: int, cursor: int | None) -> list[PlanRow]:
    """Newest first, those before ``cursor``."""
    rows = tx.all(
        f"SELECT {COLUMNS} FROM plans WHERE job_id = %s AND id < %s AND remove_at > now() ORDER BY id DESC LIMIT %s",
        (job_id, cursor or 2**62, page_size(limit)),
    )
    return [PlanRow(*row) for row in rows]


def of_run(tx: Transaction, run_id: int) -> PlanRow | None:
    row = tx.one(f"SELECT {COLUMNS} FROM plans WHERE run_id = %s AND remove_at > now()", (run_id,))
    return None if row is None else PlanRow(*row)


def update(tx: Transaction, plan_id: int, *, status: Status = "planning", reason: str = "", **more: Any) -> bool:
    """Note how far a plan is; False when it is not being made any more. ``more``: ``sums``, ``warnings``."""
    given = {
        name: safe_json(value) if isinstance(value, dict) else Json([safe_text(text) for text in value])
        for name, value in more.items()
    }
    settings = "".join(f", {name} = %({name})s" for name in given)
    ended = "" if status == "planning" else ", ended_at = clock_timestamp()"
    changed = tx.execute(
        f"UPDATE plans SET status = %(status)s, reason = %(reason)s, heard_at = clock_timestamp(){settings}{ended}"
        " WHERE id = %(id)s AND status = 'planning'",
        {**given, "status": status, "reason": safe_text(reason), "id": plan_id},
    )
    return changed > 0


def remove(tx: Transaction, plan_id: int) -> None:
    """Take a plan out of every list; what is left of it goes little by little. Raises NotFoundError."""
    if not tx.execute(
        "UPDATE plans SET remove_at = now(), status = CASE WHEN status = 'planning' THEN 'cancelled' ELSE status END"
        " WHERE id = %s AND remove_at > now()",
        (plan_id,),
    ):
        raise NotFoundError(f"there is no plan {plan_id}")


def cancel(tx: Transaction, plan_id: int, who: str) -> PlanRow:
    """Stop making it; one that is over stays as it is. Raises NotFoundError."""
    update(tx, plan_id, status="cancelled", reason=f"cancelled by {who}")
    row = get(tx, plan_id)
    if row is None:
        raise NotFoundError(f"there is no plan {plan_id}")
    return row


def take_for_run(tx: Transaction, plan_id: int) -> PlanRow:
    """The plan, which nobody else can run until the transaction ends. Raises NotFoundError, ConflictError."""
    row = tx.one(f"SELECT {COLUMNS} FROM plans WHERE id = %s AND remove_at > now() FOR UPDATE", (plan_id,))
    if row is None:
        raise NotFoundError(f"there is no plan {plan_id}")
    plan = PlanRow(*row)
    if plan.status != "ready":
        raise ConflictError(f"plan {plan_id} is {plan.status}: there is nothing to run", code="plan_not_ready")
    if plan.run_id is not None:
        raise ConflictError(f"plan {plan_id} was run as run {plan.run_id}: make another plan", code="plan_used")
    version = tx.one("SELECT version FROM jobs WHERE id = %s AND deleted_at IS NULL", (plan.job_id,))
    if version != (plan.job_version,):
        raise ConflictError(f"the job of plan {plan_id} was changed or deleted: plan it again", code="plan_outdated")
    return plan


def ran(tx: Transaction, plan_id: int, run_id: int) -> None:
    """This run carries the plan out."""
    tx.execute("UPDATE plans SET run_id = %s, heard_at = '-infinity' WHERE id = %s", (run_id, plan_id))


def add(tx: Transaction, plan_id: int, entries: Sequence[Entry]) -> set[bytes]:
    """What a page of a listing holds; the paths that were not there yet."""
    rows = tx.values(
        "INSERT INTO plan_entries (plan_id, path, kind, size, mtime_ns, class, reason) VALUES %s"
        " ON CONFLICT (plan_id, sha256(path)) DO NOTHING RETURNING path",
        [(plan_id, e.path, e.kind, e.size, e.mtime_ns, e.class_, safe_text(e.reason)) for e in entries],
    )
    return {bytes(path) for (path,) in rows}


@dataclass(frozen=True, slots=True)
class Known:
    """An entry of the source. ``place``: where its row is until it is changed."""

    place: str
    path: bytes
    kind: str
    size: int
    mtime_ns: int
    class_: str


def known(tx: Transaction, plan_id: int, paths: Sequence[bytes]) -> dict[bytes, Known]:
    """Those of these paths that the plan has."""
    # LIMIT 1 keeps PostgreSQL from reading the whole plan for each page: without statistics of a table that grew a moment ago it would.
    rows = tx.all(
        "SELECT e.* FROM unnest(%s::bytea[]) AS asked (digest) CROSS JOIN LATERAL"
        " (SELECT ctid::text, path, kind, size, mtime_ns, class FROM plan_entries"
        " WHERE plan_id = %s AND sha256(path) = asked.digest LIMIT 1) AS e",
        ([hashlib.sha256(path).digest() for path in paths], plan_id),
    )
    return {bytes(row[1]): Known(row[0], bytes(row[1]), *row[2:]) for row in rows}


def judge(tx: Transaction, verdicts: Mapping[tuple[Class, str], Sequence[str]]) -> None:
    """Set the class and reason of what stands at these places, in the transaction that found them."""
    for (class_, reason), places in verdicts.items():
        tx.execute(
            "UPDATE plan_entries SET class = %s, reason = %s WHERE ctid = ANY(%s::tid[])",
            (class_, safe_text(reason), list(places)),
        )


def entries(tx: Transaction, plan_id: int, class_: str, limit: int, cursor: int | None) -> list[StoredEntry]:
    """Of one class, by id, those behind ``cursor``."""
    rows = tx.all(
        f"SELECT {_ENTRY} FROM plan_entries WHERE plan_id = %s AND class = %s AND id > %s ORDER BY id LIMIT %s",
        (plan_id, class_, cursor or 0, page_size(limit)),
    )
    return [StoredEntry(row[0], bytes(row[1]), *row[2:]) for row in rows]


@dataclass(frozen=True, slots=True)
class Speed:
    """The best of the last runs: bytes and files a second. ``same_job``: of this job, else of others between its agents."""

    bytes_per_s: float
    files_per_s: float
    same_job: bool


_SPEED: Final = (
    "SELECT max(bytes_done / seconds), max((files_done + files_skipped) / seconds) FROM"
    " (SELECT bytes_done, files_done, files_skipped, extract(epoch FROM ended_at - started_at)::float8 + 0.001 AS seconds"
    " FROM ({runs}) AS last WHERE bytes_done > 0 AND started_at IS NOT NULL LIMIT 5) AS measured"
)
_OF_JOB: Final = (
    "SELECT * FROM runs WHERE job_id = %(job)s AND status IN ('succeeded', 'partial') ORDER BY (id + 0) DESC LIMIT 200"
)
_OF_PAIR: Final = (
    "SELECT * FROM (SELECT * FROM runs WHERE status = 'succeeded' ORDER BY id DESC LIMIT 200) AS recent"
    " WHERE spec ->> 'source_agent_id' = %(source)s AND spec ->> 'destination_agent_id' = %(destination)s"
)


def speed(tx: Transaction, job_id: int, source_agent_id: int, destination_agent_id: int) -> Speed | None:
    """How quick the job's last runs were that moved something, or those of other jobs between its agents; None without any."""
    given = {"job": job_id, "source": str(source_agent_id), "destination": str(destination_agent_id)}
    for runs, same_job in ((_OF_JOB, True), (_OF_PAIR, False)):
        row = tx.one(_SPEED.format(runs=runs), given)
        if row is not None and row[0] is not None:
            return Speed(float(row[0]), float(row[1]), same_job)
    return None


def tidy(tx: Transaction, limit: int) -> int:
    """Remove so many rows of plans that nobody wants any more, and in the end those plans; how many rows went."""
    give_up_lost(tx)
    row = tx.one("SELECT id FROM plans WHERE remove_at <= now() AND status <> 'planning' ORDER BY remove_at LIMIT 1")
    if row is None:
        return 0
    for table in ("plan_entries", "plan_drift"):
        gone = tx.execute(
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE plan_id = %s LIMIT %s))",
            (row[0], limit),
        )
        if gone:
            return gone
    return tx.execute("DELETE FROM plans WHERE id = %s", row)
