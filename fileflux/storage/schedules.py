"""Ticks that are due become runs, once each, on any number of hubs.

One short transaction per batch: lock the due jobs that no other hub has locked, decide, insert the runs, move the jobs on to their next
tick. Only the database's clock is asked. ``UNIQUE (job_id, fire_time)`` refuses a tick that was run already, as after that clock went back.
A hub that is stopped in the middle of this keeps its few jobs from the others for HELD_MAX_S, then the database ends its transaction.
"""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from fileflux.errors import ConflictError
from fileflux.jobs import cron
from fileflux.jobs import schedule as rules
from fileflux.jobs.cron import ScheduleError
from fileflux.jobs.schedule import LiveRun, Schedule, Tick, Verdict
from fileflux.storage import fire_times, outbox, runs, settings
from fileflux.storage.pool import Transaction
from fileflux.storage.values import safe_text

BY: Final = "schedule"
"""Who asked for what a schedule does."""
BATCH: Final = 100
HELD_MAX_S: Final = 5
_ZONES: Final = "zones"
DEADLINE_S: Final = 7 * 24 * 3600.0

Breathe = Callable[[], None]
"""Called between jobs: computing their times must not hold the loop."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What belongs into the audit log, by the schedule, in the same transaction."""

    action: str
    object: str
    outcome: str
    detail: dict[str, Any]


@dataclass(slots=True)
class Fired:
    """What a batch did. Write ``entries`` in its transaction; tell those concerned after the commit.

    ``jobs``: how many were looked at; fewer than BATCH is the end.
    """

    jobs: int = 0
    entries: list[Entry] = field(default_factory=list)
    made: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    """Of ``made``: those that wait for another run."""
    cancelled: list[int] = field(default_factory=list)
    """Runs that were asked to end."""


@dataclass(frozen=True, slots=True)
class _Due:
    job_id: int
    name: str
    spec: dict[str, Any]
    tick: Tick
    verdict: Verdict


def seconds_to_next(tx: Transaction) -> float | None:
    """Until the next tick or expectation is due, by the database's clock: negative when it is late; None when there is none."""
    row = tx.one(
        "SELECT extract(epoch FROM least((SELECT min(due_at) FROM jobs WHERE due_at IS NOT NULL),"
        " (SELECT min(expect_at) FROM jobs WHERE expect_at IS NOT NULL)) - clock_timestamp())::float8"
    )
    return None if row is None or row[0] is None else float(row[0])


def short(tx: Transaction) -> None:
    """A transaction that locks jobs: it must not outlive a hub that hangs."""
    tx.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{HELD_MAX_S}s'")


def fire_due(tx: Transaction, breathe: Breathe, limit: int = BATCH) -> Fired:
    """Run what is due, at most ``limit`` jobs, and move each on to its next tick."""
    short(tx)
    rows = tx.all(
        "SELECT id, name, spec, next_fire, due_at, clock_timestamp() FROM jobs"
        " WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED",
        (limit,),
    )
    if not rows:
        return Fired()
    live = _live_runs(tx, [row[0] for row in rows])
    due = []
    for job_id, name, spec, fire, due_at, now in rows:
        due.append(_decide(job_id, name, spec, live.get(job_id, ()), fire, due_at, now))
        breathe()
    fired = Fired(len(rows))
    made = _make_runs(tx, [one for one in due if one.tick.fire is not None and one.verdict.made])
    for one in due:
        _cancel(tx, one.verdict.cancel, fired)
        if one.job_id in made:
            fired.made.append(made[one.job_id][0])
            if one.verdict.after_run is not None:
                fired.waiting.append(made[one.job_id][0])
    _move_on(tx, due, made)
    breathe()
    _tell(tx, due, made, fired.entries)
    return fired


def _decide(
    job_id: int,
    name: str,
    spec: dict[str, Any],
    live: Sequence[LiveRun],
    fire: datetime | None,
    due_at: datetime,
    now: datetime,
) -> _Due:
    try:
        schedule = Schedule.of(job_id, spec)
    except ScheduleError:
        schedule = None
    if schedule is None or fire is None:
        return _Due(job_id, name, spec, Tick(None, None, None), Verdict(made=False))
    tick = rules.tick(schedule, fire, due_at, now)
    verdict = Verdict(made=False) if tick.fire is None else rules.overlap(spec.get("overlap", "skip"), live)
    return _Due(job_id, name, spec, tick, verdict)


def _live_runs(tx: Transaction, job_ids: list[int]) -> dict[int, list[LiveRun]]:
    rows = tx.all(
        "SELECT job_id, id, trigger, after_run IS NOT NULL AND status = 'queued' AND lease_owner IS NULL FROM runs"
        f" WHERE job_id = ANY(%s::bigint[]) AND {runs.LIVE_SQL} ORDER BY job_id, id",
        (job_ids,),
    )
    found: dict[int, list[LiveRun]] = defaultdict(list)
    for job_id, run_id, trigger, waiting in rows:
        found[job_id].append(LiveRun(run_id, trigger, waiting))
    return found


def _make_runs(tx: Transaction, due: Sequence[_Due]) -> dict[int, tuple[int, datetime]]:
    """Id and time of the new run, by job. A job is missing here when it has a run for the fire time already."""
    rows = tx.values(
        "INSERT INTO runs (job_id, spec, requested_by, trigger, fire_time, after_run, reason, deadline_at)"
        " SELECT jobs.id, jobs.spec, 'schedule', 'schedule', new.fire_time, new.after_run, new.reason,"
        f" now() + make_interval(secs => coalesce((jobs.spec ->> 'deadline_s')::float8, {DEADLINE_S}))"
        " FROM (VALUES %s) AS new (job_id, fire_time, after_run, reason) JOIN jobs ON jobs.id = new.job_id"
        " ON CONFLICT (job_id, fire_time) WHERE fire_time IS NOT NULL DO NOTHING RETURNING job_id, id, created_at",
        [
            (
                one.job_id,
                one.tick.fire,
                one.verdict.after_run,
                "" if one.verdict.after_run is None else runs.waits_for(one.verdict.after_run),
            )
            for one in due
        ],
        template="(%s::bigint, %s::timestamptz, %s::bigint, %s)",
    )
    return {job_id: (run_id, created_at) for job_id, run_id, created_at in rows}


def _cancel(tx: Transaction, run_ids: Sequence[int], fired: Fired) -> None:
    for run_id in run_ids:
        try:
            if runs.ask(tx, run_id, "cancel", BY):
                fired.cancelled.append(run_id)
                fired.entries.append(Entry("run.cancel", f"run:{run_id}", "ok", {"overlap": "cancel"}))
        except ConflictError:
            # It ended meanwhile, or is being cancelled already.
            continue


def _move_on(tx: Transaction, due: Sequence[_Due], made: dict[int, tuple[int, datetime]]) -> None:
    tx.values(
        "UPDATE jobs SET next_fire = new.next_fire, due_at = new.due_at,"
        " last_run_id = coalesce(new.run_id, last_run_id), last_run_at = coalesce(new.run_at, last_run_at)"
        " FROM (VALUES %s) AS new (job_id, next_fire, due_at, run_id, run_at) WHERE jobs.id = new.job_id RETURNING jobs.id",
        [(one.job_id, one.tick.next_fire, one.tick.due_at, *made.get(one.job_id, (None, None))) for one in due],
        template="(%s::bigint, %s::timestamptz, %s::timestamptz, %s::bigint, %s::timestamptz)",
    )


def _tell(tx: Transaction, due: Sequence[_Due], made: dict[int, tuple[int, datetime]], entries: list[Entry]) -> None:
    """The audit log of every tick, and the world outside of those that made no run."""
    for one in due:
        tick = one.tick
        if one.job_id in made:
            detail: dict[str, Any] = {"job_id": one.job_id, "fire_time": _shown(tick.fire)}
            if tick.missed:
                detail["missed_before"] = tick.missed
            entries.append(Entry("run.requested", f"run:{made[one.job_id][0]}", "ok", detail))
            continue
        reason, count = one.verdict.reason, 1
        if tick.fire is None:
            reason, count = "the hub was not running at that time, and the job does not catch up", tick.missed
        if reason and count:
            detail = {"reason": safe_text(reason), "count": count, "fire_time": _shown(tick.fire)}
            entries.append(Entry("job.missed", f"job:{one.job_id}", "refused", detail))
            outbox.add(tx, "job.missed", job_id=one.job_id, detail={"job": one.name, **detail})


def _shown(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def zones_changed(tx: Transaction) -> bool:
    """Whether the times were computed by other rules of zones than this hub has: then call ``recompute`` for all, and ``zones_known``."""
    return bool(settings.get(tx, _ZONES) != cron.zones_version())


def zones_known(tx: Transaction) -> None:
    settings.put(tx, _ZONES, cron.zones_version())


def recompute(tx: Transaction, after_id: int, breathe: Breathe, limit: int = BATCH) -> int | None:
    """The times of the next ``limit`` jobs behind ``after_id``, anew; the last of them, None at the end. What is due already stays so."""
    short(tx)
    rows = tx.all(
        "SELECT id, spec, next_fire, due_at, expect_at, expect_since, clock_timestamp() AS now FROM jobs"
        " WHERE id > %s AND (next_fire IS NOT NULL OR expect_at IS NOT NULL) AND coalesce(due_at > clock_timestamp(), true)"
        " AND spec ->> 'timezone' <> 'UTC' ORDER BY id LIMIT %s FOR NO KEY UPDATE",
        (after_id, limit),
    )
    changed = []
    for job_id, spec, next_fire, due_at, expect_at, expect_since, now in rows:
        times = (next_fire, due_at, expect_at, expect_since)
        fire = (None, None) if next_fire is None else fire_times.first_tick(job_id, spec, now)
        expected = (expect_at, expect_since)
        if expect_at is not None and expect_at > now:
            expected = fire_times.expectation(spec, now)
        if times != (*fire, *expected):
            changed.append((job_id, *fire, *expected))
        breathe()
    tx.values(
        "UPDATE jobs SET next_fire = new.next_fire, due_at = new.due_at, expect_at = new.expect_at, expect_since = new.expect_since"
        " FROM (VALUES %s) AS new (job_id, next_fire, due_at, expect_at, expect_since) WHERE jobs.id = new.job_id RETURNING jobs.id",
        changed,
        template=f"(%s::bigint{', %s::timestamptz' * 4})",
    )
    return rows[-1][0] if len(rows) == limit else None


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A job that fires at ``next_fire``."""

    id: int
    name: str
    spec: dict[str, Any]
    next_fire: datetime


def upcoming(tx: Transaction, limit: int, until: datetime) -> list[Upcoming]:
    """The jobs that fire next, soonest first: of the first ``limit`` fire times none belongs to another job."""
    rows = tx.all(
        "SELECT id, name, spec, next_fire FROM jobs WHERE next_fire <= %s ORDER BY next_fire, id LIMIT %s",
        (until, limit),
    )
    return [Upcoming(*row) for row in rows]
