"""What the dashboard adds up. Answers come from indexes and from the runs' own sums, never from the files of runs: those are millions."""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from fileflux.jobs.status import RunStatus
from fileflux.storage.agents import id_array
from fileflux.storage.pool import Transaction
from fileflux.storage.runs import LIVE_SQL

LIVE_MAX: Final = 1000
"""Live runs whose bytes are added one by one."""
_ENDED_SQL: Final = "ended_at > now() - interval '24 hours'"
_BAD_SQL: Final = "status IN ('failed', 'partial')"


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of files that are done, bytes that went over the wire, and bytes that the destination had already."""

    moved: int = 0
    wire: int = 0
    reused: int = 0

    def __add__(self, other: Bytes) -> Bytes:
        return Bytes(self.moved + other.moved, self.wire + other.wire, self.reused + other.reused)


@dataclass(frozen=True, slots=True)
class AgentCounts:
    """Without temporary ones."""

    online: int
    offline: int
    new: int
    pending: int
    revoked: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Runs that ended within the last 24 hours, by their terminal status, and what they moved."""

    runs: dict[str, int]
    bytes: Bytes


@dataclass(frozen=True, slots=True)
class Live:
    """Runs that have not ended: so many in all and so many of them queued, and the newest LIVE_MAX by id with what is stored of them."""

    total: int
    queued: int
    bytes_by_run: dict[int, Bytes]


@dataclass(frozen=True, slots=True)
class FailingJob:
    """A job with runs that ended badly within the last 24 hours; ``last_reason`` is of the newest of them."""

    job_id: int
    name: str
    failed: int
    last_reason: str


def agents(tx: Transaction, online: Collection[int]) -> AgentCounts:
    """Count the agents; ``online`` are the ids of those that are connected."""
    row = tx.one(
        "SELECT count(*) FILTER (WHERE usable AND connected), count(*) FILTER (WHERE usable AND NOT connected AND seen),"
        " count(*) FILTER (WHERE usable AND NOT connected AND NOT seen), count(*) FILTER (WHERE status = 'pending'),"
        " count(*) FILTER (WHERE status = 'revoked') FROM (SELECT status, status NOT IN ('pending', 'revoked') AS usable,"
        " last_seen IS NOT NULL AS seen, id = ANY(%s::bigint[]) AS connected FROM agents WHERE NOT temporary) a",
        (id_array(online),),
    )
    assert row is not None  # noqa: S101  # for the type checker: an aggregate has one row
    return AgentCounts(*row)


def ended(tx: Transaction) -> Ended:
    rows = tx.all(
        "SELECT status, count(*), sum(bytes_done)::bigint, sum(bytes_wire)::bigint, sum(bytes_reused)::bigint"
        f" FROM runs WHERE {_ENDED_SQL} GROUP BY status"
    )
    counts = {status.value: 0 for status in RunStatus if status.terminal} | {row[0]: row[1] for row in rows}
    return Ended(counts, sum((Bytes(*row[2:]) for row in rows), Bytes()))


def live(tx: Transaction) -> Live:
    row = tx.one(f"SELECT count(*), count(*) FILTER (WHERE status = 'queued') FROM runs WHERE {LIVE_SQL}")
    rows = tx.all(
        f"SELECT id, bytes_done, bytes_wire, bytes_reused FROM runs WHERE {LIVE_SQL} ORDER BY id DESC LIMIT %s",
        (LIVE_MAX,),
    )
    assert row is not None  # noqa: S101  # for the type checker: an aggregate has one row
    return Live(row[0], row[1], {run_id: Bytes(*sums) for run_id, *sums in rows})


def failing_jobs(tx: Transaction, limit: int) -> list[FailingJob]:
    """Those with the most runs that failed or are partial first. Jobs that are deleted, or were made for one run, are left out."""
    rows = tx.all(
        "SELECT j.id, j.name, f.failed, r.reason FROM"
        f" (SELECT job_id, count(*) AS failed, max(id) AS last FROM runs WHERE {_ENDED_SQL} AND {_BAD_SQL} GROUP BY job_id) f"
        " JOIN jobs j ON j.id = f.job_id AND j.deleted_at IS NULL AND NOT j.ad_hoc JOIN runs r ON r.id = f.last"
        " ORDER BY f.failed DESC, j.id LIMIT %s",
        (limit,),
    )
    return [FailingJob(*row) for row in rows]
