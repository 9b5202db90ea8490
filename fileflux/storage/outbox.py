"""What is to be told to the world outside, written in the transaction of the change that it tells of.

Whether anybody wants to know is one look at a table of at most a few hundred rows; if nobody does, that is all. What a delivery needs is
gathered here and now, so that it tells of this moment however late it arrives. It holds ids, names, counts and reasons, never a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fileflux.jobs.webhook import patterns_of
from fileflux.storage.pool import Transaction
from fileflux.storage.values import safe_json

MANY: Final = 100
"""Events of one kind about one run, or of one moment, that are told one by one; the rest is one event with ``more``."""


@dataclass(frozen=True, slots=True)
class Told:
    """A target that wants an event, if the event is about one of these jobs or tags; of everything when both are empty."""

    id: int
    job_ids: list[int]
    tags: list[str]


@dataclass(frozen=True, slots=True)
class About:
    """What an event is about, as it stands in its data."""

    data: dict[str, Any]
    job_id: int | None = None
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Event:
    """One event for ``put``."""

    type: str
    data: Mapping[str, Any]
    run_id: int | None = None


def add(
    tx: Transaction,
    event: str,
    *,
    job_id: int | None = None,
    run_id: int | None = None,
    agent_id: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Note an event, as in ``run.failed``, for whoever asked to be told of such; costs one indexed look when nobody did."""
    told = wanted_by(tx, event)
    if told:
        about = gather(tx, job_id=job_id, run_id=run_id, agent_id=agent_id)
        put(tx, chosen(told, about), [Event(event, {**(detail or {}), **about.data}, run_id)])


def add_many(tx: Transaction, event: str, subjects: Sequence[int], *, detail: Mapping[str, Any] | None = None) -> None:
    """The same event about many jobs (``job.…``) or agents (``agent.…``) at once: MANY of them, and how many more there are."""
    told = wanted_by(tx, event) if subjects else []
    if not told:
        return
    of_agents = event.startswith("agent.")
    for subject in subjects[:MANY]:
        about = gather(tx, agent_id=subject) if of_agents else gather(tx, job_id=subject)
        put(tx, chosen(told, about), [Event(event, {**(detail or {}), **about.data})])
    if len(subjects) > MANY:
        everything = [one for one in told if not one.job_ids and not one.tags]
        put(tx, everything, [Event(event, {**(detail or {}), "more": len(subjects) - MANY})])


def wanted_by(tx: Transaction, event: str) -> list[Told]:
    """The targets that asked for such events and can take one more."""
    rows = tx.all(
        "SELECT id, job_ids, tags FROM notification_targets"
        " WHERE enabled AND deleted_at IS NULL AND NOT full_up AND events && %s::text[]",
        (list(patterns_of(event)),),
    )
    return [Told(*row) for row in rows]


def chosen(told: Sequence[Told], about: About) -> list[Told]:
    """Those of the targets that want to hear of this job, or of what has one of their tags."""
    return [
        one
        for one in told
        if (not one.job_ids and not one.tags) or about.job_id in one.job_ids or about.tags.intersection(one.tags)
    ]


def gather(
    tx: Transaction, *, job_id: int | None = None, run_id: int | None = None, agent_id: int | None = None
) -> About:
    """What is told of a run with its job, a job, or an agent; nothing of what does not exist."""
    if run_id is not None:
        return _run(tx, run_id)
    if job_id is not None:
        row = tx.one("SELECT name, spec -> 'tags' FROM jobs WHERE id = %s", (job_id,))
        return About({}) if row is None else About({"job": _job(job_id, *row)}, job_id, frozenset(row[1] or ()))
    if agent_id is not None:
        row = tx.one("SELECT name, tags FROM agents WHERE id = %s", (agent_id,))
        return About({}) if row is None else About({"agent": {"id": agent_id, "name": row[0]}}, None, frozenset(row[1]))
    return About({})


def put(tx: Transaction, told: Sequence[Told], events: Sequence[Event]) -> None:
    """Store the events, and a delivery of each for every target."""
    if not told or not events:
        return
    made = tx.values(
        "INSERT INTO notification_events (type, run_id, data) VALUES %s RETURNING id",
        [(event.type, event.run_id, safe_json(event.data)) for event in events],
        "(%s, %s::bigint, %s::jsonb)",
    )
    tx.execute(
        "INSERT INTO notification_deliveries (event_id, target_id, due_at)"
        " SELECT event.id, target.id, clock_timestamp() FROM unnest(%s::bigint[]) AS event (id), unnest(%s::bigint[]) AS target (id)"
        " ORDER BY event.id",
        ([row[0] for row in made], [one.id for one in told]),
    )


_RUN: Final = (
    "status", "reason", "trigger", "requested_by", "retry_of", "files_total", "files_done", "files_failed", "files_skipped", "bytes_total",
    "bytes_done",
)  # fmt: skip


def _run(tx: Transaction, run_id: int) -> About:
    row = tx.one(
        f"SELECT job_id, spec ->> 'name', spec -> 'tags', started_at, ended_at, {', '.join(_RUN)} FROM runs WHERE id = %s",  # noqa: S608  # names of this module only
        (run_id,),
    )
    if row is None:
        return About({})
    job_id, name, tags, started_at, ended_at, *rest = row
    run = {"id": run_id, **dict(zip(_RUN, rest, strict=True))}
    for label, moment in (("started_at", started_at), ("ended_at", ended_at)):
        run[label] = None if moment is None else moment.isoformat()
    data = {"job": _job(job_id, name, tags), "run": run, "path": f"/#/runs/{run_id}"}
    return About(data, job_id, frozenset(tags or ()))


def _job(job_id: int, name: str, tags: list[str] | None) -> dict[str, Any]:
    return {"id": job_id, "name": name, "tags": tags or []}
