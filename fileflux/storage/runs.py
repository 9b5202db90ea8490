"""Runs and their leases.

A run belongs to the hub process that holds its lease. Every taking of a lease counts ``lease_epoch`` up, and every write names the
epoch it was made under: whoever was fenced off changes nothing and learns it from the answer. Expiry is on the database's clock only.
"""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg2.extras import Json

from fileflux.errors import ConflictError, LocalProtocolError, NotFoundError
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import RunStatus
from fileflux.storage import jobs
from fileflux.storage.jobs import JobRow
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns
from fileflux.storage.run_hubs import NEAR_SQL
from fileflux.storage.values import exact_json, exact_text, safe_text

Wanted = Literal["pause", "cancel"]
Trigger = Literal["user", "schedule", "watch", "retry"]

LEASE_S = 60.0
CLAIM_LIMIT = 200
"""Rows of one claim: with their jobs in them a thousand would hold the loop."""
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
    wanted: str | None = None
    """What a person asked for and the run still has to do, or does: ``pause`` or ``cancel``."""
    wanted_by: str = ""
    trigger: str = "user"
    """What started it: ``user``, ``schedule``, ``watch`` or ``retry``."""
    fire_time: datetime | None = None
    """The time of the schedule that it was made for."""
    after_run: int | None = None
    """It begins when that run has ended."""
    files_deleted: int = 0
    """Extra files and directories removed at the destination."""
    delete_errors: int = 0
    """Those that could not be removed."""


COLUMNS = columns(RunRow).replace(
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
        "parts_left",
        "files_deleted",
        "delete_errors",
    }
)
_FREE_SQL = "(lease_owner IS NULL OR lease_until < clock_timestamp())"
_READY_SQL = (
    # One that waits and is cancelled has nothing to wait for.
    "(after_run IS NULL OR wanted = 'cancel' OR NOT EXISTS (SELECT FROM runs AS earlier"
    f" WHERE earlier.job_id = runs.job_id AND earlier.id < runs.id AND earlier.{LIVE_SQL}))"
)
_TAKE = (
    "UPDATE runs SET lease_owner = %(owner)s::uuid, lease_epoch = lease_epoch + 1,"
    " lease_until = clock_timestamp() + make_interval(secs => %(lease)s)"
)


def create(
    tx: Transaction,
    job: JobRow,
    requested_by: str,
    *,
    trigger: Trigger = "user",
    fire_time: datetime | None = None,
    after_run: int | None = None,
) -> RunRow:
    """A queued run of ``job``, held by nobody yet. After the commit, let its owner ``claim_one`` it.

    Raises ConflictError (code ``already_fired``) when there is a run of the job for ``fire_time``.
    """
    spec = JobSpec.from_json(job.spec)
    row = tx.one(
        "INSERT INTO runs (job_id, spec, requested_by, trigger, fire_time, after_run, reason, deadline_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s))"
        f" ON CONFLICT (job_id, fire_time) WHERE fire_time IS NOT NULL DO NOTHING RETURNING {COLUMNS}",
        (
            job.id,
            exact_json(spec.to_json(), "the job"),
            exact_text(requested_by, "the user"),
            trigger,
            fire_time,
            after_run,
            "" if after_run is None else waits_for(after_run),
            spec.deadline_s,
        ),
    )
    if row is None:
        raise ConflictError(f"job {job.name} has a run for {fire_time} already", code="already_fired")
    return _noted(tx, from_values(row))


def waits_for(run_id: int) -> str:
    """The reason of a run that is queued behind that one."""
    return f"waits for run {run_id} of this job"


def get(tx: Transaction, run_id: int) -> RunRow | None:
    row = tx.one(f"SELECT {COLUMNS} FROM runs WHERE id = %s", (run_id,))
    return None if row is None else from_values(row)


def get_many(tx: Transaction, run_ids: Sequence[int]) -> list[RunRow]:
    """Those of these runs that exist, by id."""
    rows = tx.all(f"SELECT {COLUMNS} FROM runs WHERE id = ANY(%s::bigint[]) ORDER BY id", (list(run_ids),))
    return [from_values(row) for row in rows]


def claim(
    tx: Transaction,
    owner: UUID,
    lease_s: float = LEASE_S,
    limit: int = CLAIM_LIMIT,
    run_ids: Sequence[int] | None = None,
    behind: int | None = None,
) -> list[RunRow]:
    """Take live runs that nobody holds or whose lease ran out, of ``run_ids``, of those that wait for run ``behind``, or of all.

    Each gets a new epoch. Oldest first.

    Runs that another transaction is taking at this moment are left to it, those that wait for another run of their job to that run's end,
    and those whose agents are at another hub to that hub (``run_hubs``).
    """
    return _take(
        tx,
        f"id IN (SELECT id FROM runs WHERE {LIVE_SQL} AND {_FREE_SQL} AND {_READY_SQL} AND {NEAR_SQL}"
        " AND (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s::bigint[]))"
        " AND (%(behind)s::bigint IS NULL"
        "  OR job_id = (SELECT job_id FROM runs WHERE id = %(behind)s) AND after_run IS NOT NULL)"
        " ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)",
        {
            "owner": str(owner),
            "lease": lease_s,
            "limit": limit,
            "ids": None if run_ids is None else list(run_ids),
            "behind": behind,
        },
    )


def claim_one(tx: Transaction, run_id: int, owner: UUID, lease_s: float = LEASE_S) -> RunRow | None:
    """Take this run under the same rule as ``claim``; None when it is not to be had."""
    taken = claim(tx, owner, lease_s, 1, [run_id])
    return taken[0] if taken else None


def claim_own(
    tx: Transaction, owner: UUID, after_id: int = 0, lease_s: float = LEASE_S, limit: int = CLAIM_LIMIT
) -> list[RunRow]:
    """For the start of a hub: take what an earlier process of it held, those behind ``after_id``, however long their leases have to run."""
    return _take(
        tx,
        f"id IN (SELECT id FROM runs WHERE {LIVE_SQL} AND lease_owner = %(owner)s::uuid AND id > %(after)s"
        " ORDER BY id LIMIT %(limit)s FOR UPDATE)",
        {"owner": str(owner), "lease": lease_s, "limit": limit, "after": after_id},
    )


def renew(tx: Transaction, owner: UUID, lease_s: float = LEASE_S) -> list[tuple[int, str | None]]:
    """Hold on to every live run of the owner for another ``lease_s``, under the same epochs: their ids, and what people want of each."""
    rows = tx.all(
        "UPDATE runs SET lease_until = clock_timestamp() + make_interval(secs => %s)"
        f" WHERE lease_owner = %s::uuid AND {LIVE_SQL} RETURNING id, wanted",
        (lease_s, str(owner)),
    )
    return [(row[0], row[1]) for row in rows]


def release(tx: Transaction, owner: UUID) -> int:
    """The owner stops: whoever comes may take its runs. Returns how many."""
    return tx.execute(
        f"UPDATE runs SET lease_until = clock_timestamp() WHERE lease_owner = %s::uuid AND {LIVE_SQL}", (str(owner),)
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
        if status not in (RunStatus.QUEUED, RunStatus.PAUSED):
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


def ask(tx: Transaction, run_id: int, wanted: Wanted | None, asked_by: str) -> bool:
    """Note what a person wants of a live run, None to let it go on; False when it was wanted already.

    Raises NotFoundError, and ConflictError when the run has ended or is being cancelled. After the commit tell the run's actor to look.
    """
    row = tx.one("SELECT status, wanted FROM runs WHERE id = %s FOR UPDATE", (run_id,))
    if row is None:
        raise NotFoundError(f"there is no run {run_id}")
    status, before = row
    if RunStatus(status).terminal:
        raise ConflictError(f"run {run_id} has ended already: {status}", code="run_ended")
    if before == wanted:
        return False
    if before == "cancel":
        raise ConflictError(f"run {run_id} is being cancelled", code="run_ended")
    tx.execute(
        "UPDATE runs SET wanted = %s, wanted_by = %s WHERE id = %s",
        (wanted, exact_text(asked_by, "the user"), run_id),
    )
    return True


def asked(tx: Transaction, run_id: int) -> tuple[str | None, str]:
    """What is wanted of the run, and by whom."""
    row = tx.one("SELECT wanted, wanted_by FROM runs WHERE id = %s", (run_id,))
    return (None, "") if row is None else (row[0], row[1])


def create_retry(tx: Transaction, run_id: int, requested_by: str) -> RunRow:
    """A queued run of what the ended run ``run_id`` did not get done, with the job as that run had it.

    If the listing of that run was complete, the retry has its plan and the note whose rows to take (``plan["rows_of"]``), else it lists
    anew. Raises NotFoundError, and ConflictError when the run has not ended, nothing of it failed, a retry of it is live already, or its
    job is deleted or disabled. After the commit, let its owner ``claim_one`` it.
    """
    old = get(tx, run_id)
    if old is None:
        raise NotFoundError(f"there is no run {run_id}")
    if not RunStatus(old.status).terminal:
        raise ConflictError(f"run {run_id} has not ended: cancel it first, or resume single transfers", code="run_live")
    try:
        jobs.to_run(tx, old.job_id)
    except NotFoundError as error:
        raise ConflictError(f"the job of run {run_id} is deleted", code="job_deleted") from error
    other = tx.one(f"SELECT id FROM runs WHERE retry_of = %s AND {LIVE_SQL}", (run_id,))
    if other is not None:
        raise ConflictError(f"run {other[0]} retries run {run_id} already", code="retry_live")
    unfinished = tx.one(
        "SELECT EXISTS (SELECT FROM transfers WHERE run_id = %s AND status IN ('failed', 'cancelled'))", (run_id,)
    )
    some = unfinished is not None and bool(unfinished[0])
    if old.status == RunStatus.SUCCEEDED and not some:
        raise ConflictError(f"nothing of run {run_id} failed: run the job again instead", code="nothing_failed")
    row = tx.one(
        "INSERT INTO runs (job_id, spec, requested_by, trigger, retry_of, plan, deadline_at)"
        f" VALUES (%s, %s, %s, 'retry', %s, %s, now() + make_interval(secs => %s)) RETURNING {COLUMNS}",
        (
            old.job_id,
            Json(old.spec),
            exact_text(requested_by, "the user"),
            run_id,
            _param("plan", _plan_of_retry(old, some_files=some)),
            JobSpec.from_json(old.spec).deadline_s,
        ),
    )
    assert row is not None  # noqa: S101  # for the type checker: INSERT … RETURNING gives its row
    return _noted(tx, from_values(row))


def _plan_of_retry(old: RunRow, *, some_files: bool) -> dict[str, Any] | None:
    plan = old.plan
    if plan is None:
        return None
    origin: dict[str, Any] = {name: plan[name] for name in ("base", "path_type", "system") if name in plan}
    if not old.planned:
        # It ended before it had all rows of the run that it retried: those are still the ones to take.
        return {**origin, "rows_of": plan["rows_of"]} if "rows_of" in plan else None
    # Paths that could not be listed have no rows to be taken.
    return {**origin, "rows_of": old.id} if some_files and not plan.get("errors") else None


@dataclass(frozen=True, slots=True)
class LeftParts:
    """A run that ended while its destination was away."""

    run_id: int
    agent_id: int
    destination_path: str
    one_file: bool


def with_parts_left(tx: Transaction, limit: int) -> list[LeftParts]:
    """For each of so many destinations the oldest run that may have left parts there. After 30 days a run is forgotten."""
    agent = "(spec ->> 'destination_agent_id')::bigint"
    rows = tx.all(
        f"SELECT DISTINCT ON ({agent}) id, spec, coalesce(plan ->> 'path_type' = 'file', false) FROM runs"
        f" WHERE parts_left AND NOT ({LIVE_SQL}) AND ended_at > now() - interval '30 days' ORDER BY {agent}, id LIMIT %s",
        (limit,),
    )
    found = [(row_id, JobSpec.from_json(spec), one_file) for row_id, spec, one_file in rows]
    return [LeftParts(row_id, to.destination_agent_id, to.destination_path, one_file) for row_id, to, one_file in found]


def parts_swept(tx: Transaction, run_id: int) -> None:
    """Nothing of the run is left at its destination."""
    tx.execute("UPDATE runs SET parts_left = false WHERE id = %s", (run_id,))


def _noted(tx: Transaction, row: RunRow) -> RunRow:
    """The job says which run of it is the last."""
    tx.execute("UPDATE jobs SET last_run_id = %s, last_run_at = %s WHERE id = %s", (row.id, row.created_at, row.job_id))
    return row


def _take(tx: Transaction, condition: str, params: dict[str, Any]) -> list[RunRow]:
    rows = tx.all(f"{_TAKE} WHERE {condition} RETURNING {COLUMNS}", params)
    return sorted((from_values(row) for row in rows), key=lambda row: row.id)


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


def from_values(values: tuple[Any, ...]) -> RunRow:
    """The row of what ``COLUMNS`` selected."""
    row = RunRow(*values)
    return row if row.lease_owner is None else replace(row, lease_owner=UUID(str(row.lease_owner)))
