"""The limits of this moment: read when something changes, and when a timetable says so; told to the relay and to the live runs.

The limits of agents and of the timetable are known before a run begins; a run brings those of its job. Jobs, agents and settings may change at
another hub too, which no event tells of: so all of it is read again every READ_AGAIN_S.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from fileflux.actors import messages as a
from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.actor import Actor, Cancellable
from fileflux.actors.kernel.ref import ActorRef
from fileflux.bus import events
from fileflux.bus.bus import Bus, Subscription
from fileflux.clock import Clock
from fileflux.errors import FluxError, UnavailableError
from fileflux.jobs.bandwidth import Bandwidth, lowest
from fileflux.jobs.bottleneck import Bottleneck
from fileflux.jobs.timetable import Now, Timetable
from fileflux.storage import limits as rows
from fileflux.storage import settings
from fileflux.storage.pool import Database

log = structlog.get_logger("fileflux.limits")

READ_AGAIN_S: Final = 15.0
SOON_S: Final = 0.05
"""Between an event and the look at what it is about: a schedule may start a thousand runs at once."""
BUSY_S: Final = 0.25
"""The same while events come all the time: ten thousand agents that come back tell of themselves."""
EDGE_S: Final = 0.002
"""Timers may be a little early."""
STALE: Final = timedelta(days=1)
"""A timetable says only what changes within a week."""
_TOLD_OF: Final = (events.RunStarted, events.JobChanged, events.AgentChanged, events.SettingsChanged)


@dataclass(frozen=True, slots=True)
class Ends:
    """Whose limits a run is under. ``job`` is its own where the job is gone."""

    job: int
    source: int
    destination: int


class LiveLimits:
    """What holds now, for whoever shows it; from any greenlet. ``held_back`` says of a wire id whether it waits for bandwidth, ``bottleneck``
    what it waits for most.
    """

    def __init__(self) -> None:
        self.timetable: Bandwidth | None = None
        self.agents: Mapping[int, Bandwidth] = {}
        self.jobs: Mapping[int, a.JobLimits] = {}
        self.held_back: Callable[[int], bool] = lambda _: False
        self.bottleneck: Callable[[int], Bottleneck | None] = lambda _: None

    def of(self, ends: Ends, job: a.JobLimits) -> Bandwidth | None:
        """Which limit holds for such a run; ``job``: what the run knows of its job, if that was not read yet."""
        own = self.jobs.get(ends.job, job).bandwidth
        found = [None if own is None else Bandwidth(own, "job")]
        found += [self.agents.get(ends.source), self.agents.get(ends.destination), self.timetable]
        return lowest([one for one in found if one is not None])

    def laid_over(
        self, progress: a.LiveProgress, ends: Ends, job: a.JobLimits, wire_ids: Mapping[int, int]
    ) -> a.LiveProgress:
        """What a run shows, with the limit that holds; a transfer of ``wire_ids`` that waits for bandwidth says so."""
        progress = self._with_bottlenecks(progress, wire_ids)
        holds = self.of(ends, job)
        if holds is None:
            return progress
        transfers = {
            row_id: replace(one, reason=holds.words)
            if not one.reason and self.held_back(wire_ids.get(row_id, 0))
            else one
            for row_id, one in progress.transfers.items()
        }
        return replace(progress, bandwidth=holds, transfers=transfers)

    def _with_bottlenecks(self, progress: a.LiveProgress, wire_ids: Mapping[int, int]) -> a.LiveProgress:
        """Of a run it is what most of its transfers wait for."""
        found = {row_id: self.bottleneck(wire_id) for row_id, wire_id in wire_ids.items()}
        counted = Counter(one for one in found.values() if one is not None)
        if not counted:
            return progress
        transfers = {row_id: replace(one, bottleneck=found.get(row_id)) for row_id, one in progress.transfers.items()}
        return replace(progress, transfers=transfers, bottleneck=counted.most_common(1)[0][0])


class Hours:
    """A stored timetable, which is asked again only when its answer may be another one."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._table = Timetable(())
        try:
            self._table = Timetable(entries)
        except FluxError as error:
            log.warning("a timetable cannot be read, so it holds nothing", error=error.message)
        self._asked: datetime | None = None
        self._now = Now(None, None)

    def at(self, now: datetime) -> Now:
        until = self._now.until
        if (
            self._asked is None
            or now < self._asked
            or now - self._asked > STALE
            or (until is not None and now >= until)
        ):
            self._asked, self._now = now, self._table.at(now)
        return self._now


class LimitKeeper(Actor[a.Tick]):
    """``live``: the actors of the runs that this hub drives."""

    mailbox_size = 1000

    def __init__(
        self,
        database: Database,
        relay: ActorRef[a.RelayMessage],
        live: Mapping[int, Any],
        shown: LiveLimits,
        bus: Bus,
        clock: Clock,
    ) -> None:
        super().__init__()
        self._database = database
        self._relay = relay
        self._live = live
        self._shown = shown
        self._bus = bus
        self._clock = clock
        self._events: Subscription | None = None
        self._due = False
        self._looked_at = 0.0
        self._told: dict[int, a.JobLimits] = {}
        self._tables: dict[str, Hours] = {}
        self._edge: Cancellable | None = None

    def on_start(self) -> None:
        self._events = self._bus.subscribe(_TOLD_OF, 1, "merge")
        runtime.spawn(self._listen, self._events, name="limits-listen")
        self.after(0, a.Tick("again"))

    def on_stop(self) -> None:
        if self._events is not None:
            self._events.close()

    def receive(self, message: a.Tick) -> None:
        if message.what == "event":
            if not self._due:
                self._due = True
                busy = self._clock.monotonic() - self._looked_at < 1
                self.after(BUSY_S if busy else SOON_S, a.Tick())
            return
        if message.what == "again":
            self.after(READ_AGAIN_S, a.Tick("again"))
        elif not message.what:
            self._due = False
        try:
            self._look()
        except FluxError as error:
            log.warning("limits stay as they are for now", error=error.message)

    def _listen(self, subscription: Subscription) -> None:
        try:
            while True:
                subscription.get()
                self.ref.tell_control(a.Tick("event"))
        except UnavailableError:
            return

    def _look(self) -> None:
        self._looked_at = self._clock.monotonic()
        ends: dict[int, Ends] = {run_id: run.ends for run_id, run in self._live.items()}
        with self._database.transaction() as tx:
            jobs = rows.of_jobs(tx, {one.job for one in ends.values()}) if ends else {}
            agents = rows.of_agents(tx)
            timetable = settings.hub(tx).bandwidth_timetable
        now = self._clock.utc_now()
        hours = {json.dumps(one): one for one in (timetable, *(one.timetable for one in agents.values()))}
        self._tables = {key: self._tables.get(key) or Hours(table) for key, table in hours.items()}
        shown = self._shown
        whole = self._tables[json.dumps(timetable)].at(now)
        shown.timetable = None if whole.limit is None else Bandwidth(whole.limit, "timetable", whole.until)
        shown.jobs = {job_id: a.JobLimits(one.bandwidth, one.priority, one.parallel) for job_id, one in jobs.items()}
        held = {agent_id: self._of_agent(one, now) for agent_id, one in agents.items()}
        shown.agents = {agent_id: one for agent_id, one in held.items() if one is not None}
        rates = {agent_id: one.limit for agent_id, one in shown.agents.items()}
        self._relay.tell_control(a.SetLimits(whole.limit, rates, shown.jobs))
        self._tell_runs(ends)
        self._look_at_the_next_edge(now)

    def _of_agent(self, agent: rows.AgentNow, now: datetime) -> Bandwidth | None:
        by_hour = self._tables[json.dumps(agent.timetable)].at(now)
        name = f"agent {agent.name}"
        found = [] if agent.limit is None else [Bandwidth(agent.limit, name)]
        return lowest(found + ([] if by_hour.limit is None else [Bandwidth(by_hour.limit, name, by_hour.until)]))

    def _look_at_the_next_edge(self, now: datetime) -> None:
        edges = [until for one in self._tables.values() if (until := one.at(now).until) is not None]
        seconds = min(((edge - now).total_seconds() for edge in edges), default=READ_AGAIN_S)
        if self._edge is not None:
            self._edge.cancel()
        self._edge = self.after(max(seconds, EDGE_S), a.Tick("edge")) if seconds < READ_AGAIN_S else None

    def _tell_runs(self, ends: Mapping[int, Ends]) -> None:
        told: dict[int, a.JobLimits] = {}
        for run_id, one in ends.items():
            job, run = self._shown.jobs.get(one.job), self._live.get(run_id)
            if job is None or run is None:
                continue
            told[run_id] = job
            if self._told.get(run_id) != job:
                run.ref.tell_control(job)
        self._told = told
