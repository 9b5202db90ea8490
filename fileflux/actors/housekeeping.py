"""Removes, a little at a time, what nobody took away: temporary agents that were left over, alerts that are long dismissed, old runs."""

from __future__ import annotations

from typing import Final

import structlog

from fileflux.actors import messages as a
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.retention import Retention
from fileflux.audit import log as audit
from fileflux.bus.bus import Bus
from fileflux.bus.events import AgentChanged
from fileflux.clock import Clock
from fileflux.errors import FluxError
from fileflux.storage import agents, alerts, plans
from fileflux.storage.agents import AgentRow
from fileflux.storage.pool import Database

log = structlog.get_logger("fileflux.housekeeping")

EVERY_S: Final = 300.0
PLAN_ROWS: Final = 5000
"""Of plans that nobody wants any more, at once; one plan may have a million."""
PLAN_BATCHES: Final = 50
BATCH: Final = 100
"""Rows of one kind each time: more than are made meanwhile, and no statement takes long."""
HISTORY_FIRST_S: Final = 60.0
_HISTORY: Final = "history"


class Housekeeping(Actor[a.Tick]):
    """What fails is tried again next time."""

    mailbox_size = 10

    def __init__(self, database: Database, hub: ActorRef[a.ConnectionHubMessage], bus: Bus, clock: Clock) -> None:
        super().__init__()
        self._database = database
        self._hub = hub
        self._bus = bus
        self._retention = Retention(database, clock)

    def on_start(self) -> None:
        self.after(EVERY_S, a.Tick())
        self.after(HISTORY_FIRST_S, a.Tick(_HISTORY))

    def receive(self, message: a.Tick) -> None:
        if message.what == _HISTORY:
            self._shorten_history()
            return
        try:
            self._tidy()
        except FluxError as error:
            log.warning("housekeeping waits", error=error.message)
        self.after(EVERY_S, a.Tick())

    def _shorten_history(self) -> None:
        pause = EVERY_S
        try:
            pause = self._retention.turn()
        except FluxError as error:
            log.warning("the history waits", error=error.message)
        self.after(pause, a.Tick(_HISTORY))

    def _tidy(self) -> None:
        for row in tidy(self._database):
            log.info("left-over agent revoked", agent=row.name)
            self._hub.tell_control(a.CutAgent(row.id, "the agent was revoked"))
            self._bus.publish(AgentChanged(row.id))


def tidy(database: Database) -> list[AgentRow]:
    """One batch of each kind. The agents that were revoked: their sessions are to be cut."""
    with database.transaction() as tx:
        revoked = agents.revoke_left_over(tx, BATCH)
        entries = [
            audit.NewEntry("hub", "agent.revoked", f"agent:{row.id}", "ok", {"temporary": True, "left_over": True})
            for row in revoked
        ]
        if entries:
            audit.append_many(tx, entries)
        alerts.remove_old(tx, BATCH)
    for _ in range(PLAN_BATCHES):
        with database.transaction() as tx:
            if plans.tidy(tx, PLAN_ROWS) == 0:
                break
    return revoked
