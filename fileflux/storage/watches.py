"""Watches: how they do, which files they have seen, and the runs that are made of what arrived.

An offer of an agent is stored before it is acknowledged: its files are noted as seen and wait in ``watch_arrivals``. A run takes them from there in
the transaction that makes it, so that a crash at any moment loses none and moves none twice.
"""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fileflux.errors import NotFoundError
from fileflux.jobs.arrivals import GATHERED, RUN_MAX, Arrival, origin_of
from fileflux.jobs.models import JobSpec
from fileflux.protocol.systems import System, system_of
from fileflux.storage import agents, jobs, run_names, runs, transfers
from fileflux.storage.jobs import JobRow
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, make
from fileflux.storage.runs import RunRow
from fileflux.storage.transfers import NewTransfer
from fileflux.storage.values import safe_text

BY: Final = "watch"
"""Who asked for what a watch does."""
BATCH: Final = 500
SEEN_DAYS: Final = 30
"""What was not offered for so long is gone from its folder: agents offer everything once a day."""
SEEN_MAX: Final = 1_000_000
"""Files that one job remembers: about 150 MB of the database."""
_WATCHING_SQL = "enabled AND NOT ad_hoc AND deleted_at IS NULL AND jsonb_typeof(spec -> 'watch') = 'object'"
"""Word for word the condition of the partial index, so that the planner can use it."""

Breathe = Callable[[], None]
"""Called between batches: making rows must not hold the loop."""
MakeTransfer = Callable[[Arrival, JobSpec, System], NewTransfer]


@dataclass(frozen=True, slots=True)
class Watched:
    """A job that is to be watched for."""

    job_id: int
    version: int
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WatchRow:
    """``waiting`` files are ready and in no run yet."""

    job_id: int
    status: str
    how: str
    reason: str
    since: datetime
    seen: int
    waiting: int
    last_run_id: int | None
    last_fired: datetime | None


def versions(tx: Transaction) -> dict[int, int]:
    """The version of each job with a watch that is enabled."""
    return dict(tx.all(f"SELECT id, version FROM jobs WHERE {_WATCHING_SQL}"))


def some(tx: Transaction, job_ids: Sequence[int]) -> list[Watched]:
    """Those of these jobs that have a watch and are enabled."""
    rows = tx.all(
        f"SELECT id, version, spec FROM jobs WHERE {_WATCHING_SQL} AND id = ANY(%s::bigint[])", (list(job_ids),)
    )
    return [Watched(*row) for row in rows]


def begin(tx: Transaction, job_id: int, origin: bytes, reason: str) -> None:
    """The agent is about to be told to look for ``origin``, or cannot be told yet; ``reason`` says which. What waits under another one is forgotten."""
    tx.execute(
        "INSERT INTO watches (job_id, origin, reason) VALUES (%(job)s, %(origin)s, %(reason)s)"
        " ON CONFLICT (job_id) DO UPDATE SET origin = %(origin)s, status = 'waiting', how = '', reason = %(reason)s,"
        " since = now()",
        {"job": job_id, "origin": origin, "reason": safe_text(reason)},
    )
    _forget(tx, job_id, origin)


def say(tx: Transaction, job_ids: Sequence[int], status: str, how: str, reason: str) -> None:
    """How these watches do from now on."""
    tx.execute(
        "UPDATE watches SET status = %s, how = %s, reason = %s, since = now() WHERE job_id = ANY(%s::bigint[])",
        (status, how, safe_text(reason), list(job_ids)),
    )


def get(tx: Transaction, job_id: int) -> WatchRow | None:
    return make(WatchRow, tx.one(f"SELECT {columns(WatchRow)} FROM watches WHERE job_id = %s", (job_id,)))


def arrived(tx: Transaction, job_id: int, origin: bytes, base: bytes, path_type: str, files: Sequence[Arrival]) -> int:
    """Store an offer; returns how many of its files were not seen in this version before. They wait for a run from now on."""
    # In one order, and behind the watch's row: two offers for one job cannot wait for each other.
    tx.one("SELECT 1 FROM watches WHERE job_id = %s FOR UPDATE", (job_id,))
    rows = [(job_id, one.key, one.size, one.mtime_ns) for one in sorted(files, key=lambda one: one.key)]
    known = {bytes(row[0]) for row in tx.all(
        "SELECT key FROM watch_seen WHERE job_id = %s AND key = ANY(%s::bytea[])", (job_id, [row[1] for row in rows])
    )}  # fmt: skip
    new = {
        bytes(row[0])
        for row in tx.values(
            "INSERT INTO watch_seen (job_id, key, size, mtime_ns) VALUES %s ON CONFLICT (job_id, key) DO UPDATE"
            " SET size = EXCLUDED.size, mtime_ns = EXCLUDED.mtime_ns, seen_at = now()"
            " WHERE (watch_seen.size, watch_seen.mtime_ns) IS DISTINCT FROM (EXCLUDED.size, EXCLUDED.mtime_ns)"
            " RETURNING key",
            rows,
        )
    }
    tx.execute(
        "UPDATE watch_seen SET seen_at = now() WHERE job_id = %s AND key = ANY(%s::bytea[])"
        " AND seen_at < now() - interval '1 day'",
        (job_id, [row[1] for row in rows]),
    )
    made = tx.values(
        "INSERT INTO watch_arrivals (job_id, origin, key, base, path_type, path, kind, size, mtime_ns, mode) VALUES %s"
        " ON CONFLICT (job_id, key) DO UPDATE SET kind = EXCLUDED.kind, size = EXCLUDED.size,"
        " mtime_ns = EXCLUDED.mtime_ns, mode = EXCLUDED.mode RETURNING (xmax = 0)",
        [
            (job_id, origin, one.key, base, path_type, one.path, one.kind, one.size, one.mtime_ns, one.mode)
            for one in files
            if one.key in new
        ],
    )
    tx.execute(
        "UPDATE watches SET seen = seen + %s, waiting = waiting + %s, waiting_since ="
        " CASE WHEN %s > 0 THEN coalesce(waiting_since, clock_timestamp()) ELSE waiting_since END WHERE job_id = %s",
        (len(new - known), sum(row[0] for row in made), len(made), job_id),
    )
    return len(new)


def due(tx: Transaction, gather_s: float, limit: int = 100) -> tuple[list[int], bool]:
    """Jobs whose files have waited long enough and that no run by their watch keeps waiting; and whether any file waits."""
    rows = tx.all(
        "SELECT job_id FROM watches WHERE waiting > 0"
        " AND (waiting_since <= clock_timestamp() - make_interval(secs => %s) OR waiting >= %s)"
        " AND NOT EXISTS (SELECT FROM runs WHERE runs.job_id = watches.job_id AND trigger = 'watch'"
        f" AND runs.{runs.LIVE_SQL}) ORDER BY waiting_since LIMIT %s",
        (gather_s, GATHERED, limit),
    )
    waits = tx.one("SELECT EXISTS (SELECT FROM watches WHERE waiting > 0)")
    return [row[0] for row in rows], bool(waits and waits[0])


def fire(tx: Transaction, job_id: int, make_transfer: MakeTransfer, breathe: Breathe) -> RunRow | None:
    """Make a run of what waits for this job, at most RUN_MAX files; None when there is nothing to run, or another hub does it.

    Write its audit entry in the same transaction; after the commit, let its owner claim it.
    """
    row = tx.one(f"SELECT {jobs.COLUMNS} FROM jobs WHERE id = %s FOR NO KEY UPDATE SKIP LOCKED", (job_id,))
    if row is None:
        return None
    job = jobs.from_values(row)
    spec = JobSpec.from_json(job.spec)
    tx.one("SELECT 1 FROM watches WHERE job_id = %s FOR UPDATE", (job_id,))
    wanted = job.enabled and job.deleted_at is None and not job.ad_hoc and spec.watch is not None
    _forget(tx, job_id, origin_of(spec) if wanted else b"")
    live = tx.one(f"SELECT 1 FROM runs WHERE job_id = %s AND trigger = 'watch' AND {runs.LIVE_SQL} LIMIT 1", (job_id,))
    first = tx.one("SELECT base, path_type FROM watch_arrivals WHERE job_id = %s ORDER BY id LIMIT 1", (job_id,))
    if live is not None or first is None:
        return None
    return _make_run(tx, job, spec, bytes(first[0]), first[1], make_transfer, breathe)


def _make_run(
    tx: Transaction,
    job: JobRow,
    spec: JobSpec,
    base: bytes,
    path_type: str,
    make_transfer: MakeTransfer,
    breathe: Breathe,
) -> RunRow:
    agent = agents.get(tx, spec.destination_agent_id)
    system = system_of(str(agent.info.get("os", "")) if agent else "")
    run = runs.create(tx, job, BY, trigger="watch")
    plan = {"base": base64.b64encode(base).decode(), "path_type": path_type, "system": system, "errors": 0}
    runs.update(tx, run.id, run.lease_epoch, plan=plan, planned=True)
    taken = after = 0
    while taken < RUN_MAX:
        rows = tx.all(
            "SELECT id, key, path, kind, size, mtime_ns, mode FROM watch_arrivals"
            " WHERE job_id = %s AND id > %s AND base = %s AND path_type = %s ORDER BY id LIMIT %s",
            (job.id, after, base, path_type, BATCH),
        )
        if not rows:
            break
        after, taken = rows[-1][0], taken + len(rows)
        files = [make_transfer(Arrival(bytes(key), bytes(path), *rest), spec, system) for _, key, path, *rest in rows]
        transfers.insert_many(tx, run.id, run_names.apart(tx, run.id, files, (), system, spec.names))
        breathe()
    tx.execute(
        "DELETE FROM watch_arrivals WHERE job_id = %s AND id <= %s AND base = %s AND path_type = %s",
        (job.id, after, base, path_type),
    )
    tx.execute(
        "UPDATE watches SET waiting = waiting - %s, last_run_id = %s, last_fired = clock_timestamp(),"
        " waiting_since = CASE WHEN waiting > %s THEN clock_timestamp() END WHERE job_id = %s",
        (taken, run.id, taken, job.id),
    )
    return run


def prune(tx: Transaction, after_job: int) -> int | None:
    """Forget old files of the next job after ``after_job``, at most 20 batches; its id, None after the last."""
    row = tx.one("SELECT job_id, seen FROM watches WHERE job_id > %s ORDER BY job_id LIMIT 1", (after_job,))
    if row is None:
        return None
    job_id, seen = row
    gone = tx.execute(
        "DELETE FROM watch_seen WHERE job_id = %(job)s AND key IN (SELECT key FROM watch_seen WHERE job_id = %(job)s"
        " AND seen_at < now() - make_interval(days => %(days)s) ORDER BY seen_at LIMIT %(limit)s)",
        {"job": job_id, "days": SEEN_DAYS, "limit": 20 * BATCH},
    )
    if seen - gone > SEEN_MAX:
        gone += tx.execute(
            "DELETE FROM watch_seen WHERE job_id = %(job)s AND key IN (SELECT key FROM watch_seen"
            " WHERE job_id = %(job)s ORDER BY seen_at LIMIT %(limit)s)",
            {"job": job_id, "limit": min(seen - gone - SEEN_MAX, 20 * BATCH)},
        )
    if gone:
        tx.execute("UPDATE watches SET seen = greatest(0, seen - %s) WHERE job_id = %s", (gone, job_id))
    return int(job_id)


def _forget(tx: Transaction, job_id: int, origin: bytes) -> None:
    """What waits under another origin was never here: it is offered again if it is wanted."""
    row = tx.one(
        "WITH gone AS (DELETE FROM watch_arrivals WHERE job_id = %(job)s AND origin <> %(origin)s RETURNING key),"
        " forgotten AS (DELETE FROM watch_seen USING gone WHERE watch_seen.job_id = %(job)s AND watch_seen.key = gone.key"
        " RETURNING 1) SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM forgotten)",
        {"job": job_id, "origin": origin},
    )
    if row is not None and row[0]:
        tx.execute(
            "UPDATE watches SET waiting = waiting - %s, seen = greatest(0, seen - %s),"
            " waiting_since = CASE WHEN waiting > %s THEN waiting_since END WHERE job_id = %s",
            (row[0], row[1], row[0], job_id),
        )


def row_of(tx: Transaction, job_id: int) -> tuple[JobRow, WatchRow | None]:
    """A job and how its watch does. Raises NotFoundError."""
    job = jobs.get(tx, job_id)
    if job is None:
        raise NotFoundError(f"there is no job {job_id}")
    return job, get(tx, job_id)
