"""What becomes of a tick that is due: pure rules for catching up after downtime and for runs that overlap."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fileflux.jobs import cron
from fileflux.jobs.models import CatchUp, Overlap

GRACE: Final = timedelta(seconds=60)
"""Later than this a fire time was missed, and ``catch_up`` decides."""
MISSED_COUNTED: Final = 25
"""More than that are not counted one by one: a second's schedule misses a million in two weeks."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The part of a job that says when it runs; ``fields`` as ``cron.parse`` gives them."""

    job_id: int
    fields: str
    timezone: str
    jitter_s: float = 0.0
    catch_up: CatchUp = "once"

    @classmethod
    def of(cls, job_id: int, spec: dict[str, Any]) -> Schedule | None:
        """Of ``JobSpec.to_json()``; None without a schedule. Raises ScheduleError for one that cannot be used any more."""
        if spec.get("schedule") is None:
            return None
        zone = spec.get("timezone", "UTC")
        cron.zone(zone)
        jitter_s, catch_up = spec.get("jitter_s", 0.0), spec.get("catch_up", "once")
        return cls(job_id, cron.parse(spec["schedule"]), zone, jitter_s, catch_up)

    def next_after(self, moment: datetime) -> datetime | None:
        return cron.next_after(self.fields, cron.zone(self.timezone), moment)

    def due(self, fire: datetime, following: datetime | None = None) -> datetime:
        """When the run for ``fire`` starts: with the job's jitter."""
        if self.jitter_s <= 0:
            return fire
        following = following or self.next_after(fire)
        return fire + cron.jitter(self.job_id, fire, following, self.jitter_s)

    def first(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """Fire time and due time of the next tick after ``now``."""
        fire = self.next_after(now)
        return (None, None) if fire is None else (fire, self.due(fire))


@dataclass(frozen=True, slots=True)
class Tick:
    """``fire``: the fire time to run now, None for none. ``next_fire`` and ``due_at``: the tick that follows.

    ``missed`` fire times were left out, or more when that is MISSED_COUNTED.
    """

    fire: datetime | None
    next_fire: datetime | None
    due_at: datetime | None
    missed: int = 0


def tick(schedule: Schedule, fire: datetime, due_at: datetime, now: datetime) -> Tick:
    """What is to be done at ``now`` about the tick of ``fire``, which was due at ``due_at``."""
    if now - due_at <= GRACE:
        return _after(schedule, fire, fire)
    latest = cron.last_before(schedule.fields, cron.zone(schedule.timezone), fire, now)
    due_latest = schedule.due(latest)
    if due_latest > now:
        # Its jitter has it start later: nothing is late but what came before it.
        return Tick(None, latest, due_latest, _count(schedule, fire, latest))
    if schedule.catch_up == "once" or now - due_latest <= GRACE:
        return _after(schedule, latest, latest, _count(schedule, fire, latest))
    return _after(schedule, None, latest, min(MISSED_COUNTED, 1 + _count(schedule, fire, latest)))


def _after(schedule: Schedule, fire: datetime | None, last: datetime, missed: int = 0) -> Tick:
    following = schedule.next_after(last)
    return Tick(fire, following, None if following is None else schedule.due(following), missed)


def _count(schedule: Schedule, first: datetime, end: datetime) -> int:
    """Fire times from ``first`` on that are before ``end``."""
    count = 0
    moment: datetime | None = first
    while moment is not None and moment < end and count < MISSED_COUNTED:
        count += 1
        moment = schedule.next_after(moment)
    return count


def merged(
    first: Sequence[tuple[datetime, Schedule]], until: datetime, limit: int
) -> Iterator[tuple[datetime, Schedule]]:
    """The fire times of several schedules in their order, at most ``limit``; ``first`` has the first one of each."""
    heap = [(fire, number) for number, (fire, _) in enumerate(first)]
    heapq.heapify(heap)
    for _ in range(limit):
        if not heap or heap[0][0] > until:
            return
        fire, number = heap[0]
        schedule = first[number][1]
        yield fire, schedule
        following = schedule.next_after(fire)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following, number))


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run of the job that has not ended. ``waiting``: for another one to end."""

    id: int
    trigger: str
    waiting: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the tick's run is made, the run it waits for, those to cancel, and why it is not made."""

    made: bool
    after_run: int | None = None
    cancel: tuple[int, ...] = ()
    reason: str = ""


def overlap(rule: Overlap, live: Sequence[LiveRun]) -> Verdict:
    """What a tick does about the live runs of its job, which are in the order of their ids.

    Runs that people started are never cancelled by a tick and never swallow one: its run waits behind them. At most one run waits.
    """
    if not live:
        return Verdict(made=True)
    own = [run for run in live if run.trigger not in ("user", "retry")]
    waiting = [run.id for run in own if run.waiting]
    begun = tuple(run.id for run in own if not run.waiting)
    if rule == "skip" and own:
        return Verdict(made=False, reason=f"run {own[-1].id} of this job has not ended")
    cancel = begun if rule == "cancel" else ()
    if waiting:
        return Verdict(made=False, cancel=cancel, reason=f"run {waiting[-1]} of this job waits already")
    return Verdict(made=True, after_run=live[-1].id, cancel=cancel)
