"""Removes, a little at a time, what nobody took away: temporary agents that were left over, alerts that are long dismissed."""

from __future__ import annotations

from typing import Final

import structlog

from fileflux.actors import messages as a
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef
from fileflux.audit import log as audit
from fileflux.bus.bus import Bus
from fileflux.bus.events import AgentChanged
from fileflux.errors import FluxError
from fileflux.storage import agents, alerts
from fileflux.storage.agents import AgentRow
from fileflux.storage.pool import Database

log = structlog.get_logger("fileflux.housekeeping")

EVERY_S: Final = 300.0
BATCH: Final = 100
"""Rows of one kind each time: more than are made meanwhile, and no statement takes long."""


class Housekeeping(Actor[a.Tick]):
    """What fails is tried again next time."""

    mailbox_size = 10

    def __init__(self, database: Database, hub: ActorRef[a.ConnectionHubMessage], bus: Bus) -> None:
        super().__init__()
        self._database = database
        self._hub = hub
        self._bus = bus

    def on_start(self) -> None:
        self.after(EVERY_S, a.Tick())

    def receive(self, message: a.Tick) -> None:
        del message
        try:
            self._tidy()
        except FluxError as error:
            log.warning("housekeeping waits", error=error.message)
        self.after(EVERY_S, a.Tick())

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
    return revoked
