"""Watches of jobs: tells agents what to look after, stores what they offer, and makes runs of it.

What arrived is in the database before its agent hears that it was taken (``storage/watches.py``), so this actor keeps nothing that must not be
lost. Jobs and sessions change; what of that concerns a watch is read from the bus a few times a second.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from fileflux.actors import messages as a
from fileflux.actors.connection_hub import ConnectionHub
from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.run_listing import entry_verdict
from fileflux.actors.session_port import SessionPort
from fileflux.audit import log as audit
from fileflux.bus.bus import Bus
from fileflux.bus.events import AgentOffline, AgentOnline, JobChanged
from fileflux.clock import Clock
from fileflux.errors import FluxError, UnavailableError
from fileflux.jobs import arrivals
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from fileflux.protocol.systems import System
from fileflux.storage import watches as rows
from fileflux.storage.pool import Database, Transaction
from fileflux.storage.transfers import NewTransfer

T = TypeVar("T")
log = structlog.get_logger("fileflux.watches")

LOOK_S: Final = 0.25
COMPARE_S: Final = 15.0
"""How often all jobs are compared: they change at other hubs too."""
IDLE_FIRE_S: Final = 5.0
"""How often it is looked whether files wait that another hub took in."""
WAITING_FIRE_S: Final = 0.5
PRUNE_S: Final = 3600.0
PAGE: Final = 200
EVENTS: Final = 5000
OFFLINE: Final = "the source's agent is not connected; what arrives meanwhile is found when it is"
ASKED: Final = "the source's agent has been asked"
TOO_OLD: Final = "the source's agent is too old to watch: update it"


@dataclass(slots=True)
class _Watch:
    """``watch_id`` is 0 while its agent has not been told; ``said`` is what the agent said last in this session."""

    job_id: int
    version: int
    spec: JobSpec
    origin: bytes
    watch_id: int = 0
    session_id: str = ""
    said: tuple[str, str, str] | None = None


class Watches(Actor[a.WatchesMessage]):
    """``connections`` gives the sessions there are now."""

    mailbox_size = 5000

    def __init__(
        self,
        database: Database,
        connections: Callable[[], ConnectionHub],
        runs: ActorRef[a.RunsMessage],
        bus: Bus,
        ids: itertools.count[int],
        limits: Limits,
        clock: Clock,
    ) -> None:
        super().__init__()
        self._database = database
        self._connections = connections
        self._runs = runs
        self._ids = ids
        self._limits = limits
        self._clock = clock
        self._events = bus.subscribe((JobChanged, AgentOnline, AgentOffline), EVENTS)
        self._dropped = 0
        self._jobs: dict[int, _Watch] = {}
        self._by_agent: dict[int, set[int]] = {}
        self._by_id: dict[int, _Watch] = {}
        self._cleared: dict[int, str] = {}
        """Agent → the session in which it was told to forget what an earlier actor had set."""
        self._away: set[int] = set()
        """Agents of whose watches it is said that they are not connected."""
        self._compare_at = self._fire_at = 0.0
        self._prune_at = clock.monotonic() + PRUNE_S
        self._waits = False

    def on_start(self) -> None:
        self.after(0, a.Tick())

    def on_stop(self) -> None:
        self._events.close()

    def receive(self, message: a.WatchesMessage) -> None:
        match message:
            case a.WatchSaid():
                self._said(message)
            case a.Tick():
                try:
                    self._look()
                    self._waits = False
                except FluxError as error:
                    if not self._waits:
                        log.warning("watches wait", error=error.message)
                    self._waits = True
                    # What was half done is done again.
                    self._compare_at = 0.0
                self.after(LOOK_S, a.Tick())

    def _look(self) -> None:
        now = self._clock.monotonic()
        events = self._events.take_all()
        lost = self._events.dropped > self._dropped
        self._dropped = self._events.dropped
        if lost or now >= self._compare_at:
            self._compare()
            self._compare_at = now + COMPARE_S
        changed = {event.job_id for event in events if isinstance(event, JobChanged)}
        if changed:
            self._reload(sorted(changed))
        for agent_id in {event.agent_id for event in events if isinstance(event, AgentOnline | AgentOffline)}:
            self._agent(agent_id)
        if now >= self._fire_at:
            self._fire_at = now + (WAITING_FIRE_S if self._fire() else IDLE_FIRE_S)
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_S
            self._prune()

    # Jobs

    def _compare(self) -> None:
        with self._database.transaction() as tx:
            versions = rows.versions(tx)
        differs = [job_id for job_id, version in versions.items() if self._version(job_id) != version]
        self._reload(sorted({*differs, *(self._jobs.keys() - versions.keys())}))
        for agent_id in tuple(self._by_agent):
            self._agent(agent_id)

    def _version(self, job_id: int) -> int | None:
        watch = self._jobs.get(job_id)
        return None if watch is None else watch.version

    def _reload(self, job_ids: list[int]) -> None:
        for start in range(0, len(job_ids), PAGE):
            page = job_ids[start : start + PAGE]
            with self._database.transaction() as tx:
                found = {row.job_id: row for row in rows.some(tx, page)}
            for job_id in page:
                row = found.get(job_id)
                if row is not None and self._version(job_id) == row.version:
                    continue
                self._drop(job_id)
                if row is not None:
                    self._take(row)
            runtime.yield_loop()

    def _take(self, row: rows.Watched) -> None:
        spec = JobSpec.from_json(row.spec)
        watch = _Watch(row.job_id, row.version, spec, arrivals.origin_of(spec))
        port = self._port(spec.source_agent_id)
        with self._database.transaction() as tx:
            rows.begin(tx, row.job_id, watch.origin, OFFLINE if port is None else ASKED)
        self._jobs[row.job_id] = watch
        self._by_agent.setdefault(spec.source_agent_id, set()).add(row.job_id)
        if port is not None:
            self._set(watch, port)
        else:
            self._away.add(spec.source_agent_id)

    def _drop(self, job_id: int) -> None:
        watch = self._jobs.pop(job_id, None)
        if watch is None:
            return
        agent_id = watch.spec.source_agent_id
        left = self._by_agent.get(agent_id, set())
        left.discard(job_id)
        if not left:
            self._by_agent.pop(agent_id, None)
        self._by_id.pop(watch.watch_id, None)
        port = self._connections().port(agent_id)
        if watch.watch_id and port is not None and port.session_id == watch.session_id:
            port.post(a.Post(m.WatchClear(watch.watch_id)))

    # Agents

    def _port(self, agent_id: int) -> SessionPort | None:
        port = self._connections().port(agent_id)
        return None if port is None or port.link is None else port

    def _agent(self, agent_id: int) -> None:
        """Its session came, went or changed."""
        mine = [self._jobs[job_id] for job_id in sorted(self._by_agent.get(agent_id, ()))]
        port = self._port(agent_id)
        if port is None:
            if mine and agent_id not in self._away:
                self._away.add(agent_id)
                self._say([watch.job_id for watch in mine], "waiting", "", OFFLINE)
            return
        back = agent_id in self._away
        self._away.discard(agent_id)
        for watch in mine:
            if watch.session_id != port.session_id:
                self._set(watch, port)
            elif back:
                # The session went on, so the agent watched all the time.
                self._say([watch.job_id], *(watch.said or ("waiting", "", ASKED)))

    def _set(self, watch: _Watch, port: SessionPort) -> None:
        self._by_id.pop(watch.watch_id, None)
        watch.watch_id, watch.session_id, watch.said = 0, port.session_id, None
        if "watch" not in port.features:
            watch.said = ("failed", "", TOO_OLD)
            self._say([watch.job_id], *watch.said)
            return
        if self._cleared.get(port.agent_id) != port.session_id:
            self._cleared[port.agent_id] = port.session_id
            port.post(a.Post(m.WatchClear()))
        watch.watch_id = next(self._ids)
        self._by_id[watch.watch_id] = watch
        self._say([watch.job_id], "waiting", "", ASKED)
        port.post(a.Post(arrivals.order_of(watch.spec, watch.watch_id), reply_to=self.ref))

    def _say(self, job_ids: list[int], status: str, how: str, reason: str) -> None:
        self._patiently(lambda tx: rows.say(tx, job_ids, status, how, reason))

    # What agents say

    def _said(self, message: a.WatchSaid) -> None:
        said = message.message
        watch = self._by_id.get(said.watch_id)
        # One of an earlier definition of the job, or of an agent that makes numbers up.
        if watch is None or watch.spec.source_agent_id != message.agent_id:
            message.receipt.done()
            return
        if isinstance(said, m.WatchState):
            watch.said = (said.status, said.how, said.reason)
            self._say([watch.job_id], *watch.said)
        else:
            self._offered(watch, said)
        message.receipt.done()

    def _offered(self, watch: _Watch, offer: m.WatchReady) -> None:
        base = os.fsencode(offer.base)
        files = arrivals.arrivals(watch.spec.source_agent_id, base, offer.path_type, offer.entries)
        if not files:
            return
        new = self._patiently(lambda tx: rows.arrived(tx, watch.job_id, watch.origin, base, offer.path_type, files))
        if new:
            self._fire_at = min(self._fire_at, self._clock.monotonic() + WAITING_FIRE_S)

    def _patiently(self, work: Callable[[Transaction], T]) -> T:
        """What an agent said must not be lost because the database is away for a moment."""
        while True:
            try:
                with self._database.transaction() as tx:
                    return work(tx)
            except UnavailableError:
                # Whatever it is, it may be done twice.
                runtime.sleep(self._limits.database_retry)

    # Runs

    def _fire(self) -> bool:
        """Make the runs that are due; whether files wait."""
        with self._database.transaction() as tx:
            due, waiting = rows.due(tx, self._limits.watch_gather)
        for job_id in due:
            with self._database.transaction() as tx:
                run = rows.fire(tx, job_id, _transfer, runtime.yield_loop)
                if run is not None:
                    audit.append(tx, rows.BY, "run.requested", f"run:{run.id}", "ok", {"job_id": job_id})
            if run is not None:
                log.info("run by watch", run_id=run.id, job_id=job_id)
                self._runs.tell(a.StartRun(run.id))
        return waiting

    def _prune(self) -> None:
        job_id: int | None = 0
        while job_id is not None:
            with self._database.transaction() as tx:
                job_id = rows.prune(tx, job_id)
            runtime.yield_loop()


def _transfer(file: arrivals.Arrival, spec: JobSpec, system: System) -> NewTransfer:
    """The row of a file that arrived, as a listing would make it."""
    entry = m.Entry(os.fsdecode(file.path), _kind(file.kind), file.size, file.mtime_ns, file.mode)
    status, reason, code = entry_verdict(entry, spec, system, {})
    return NewTransfer(file.path, file.size, file.mtime_ns, file.mode, spec.chunk_size, file.kind, status, reason, code)


def _kind(kind: str) -> m.MovedKind:
    return "symlink" if kind == "symlink" else "file"
