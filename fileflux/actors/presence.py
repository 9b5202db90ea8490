"""Tells of agents that come and go, once it is more than flapping: one that is back within the limit was never away.

It looks at who has a link now instead of counting events: a look cannot be missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

import structlog

from fileflux.actors import messages as a
from fileflux.actors.kernel.actor import Actor
from fileflux.clock import Clock
from fileflux.errors import FluxError
from fileflux.storage import presence
from fileflux.storage.pool import Database

log = structlog.get_logger("fileflux.presence")

LOOK_S: Final = 2.0


class Presence(Actor[a.Tick]):
    """``online``: the agents that have a link now. ``away_s``: how long an agent is gone before it is told."""

    mailbox_size = 10

    def __init__(
        self, database: Database, hub: UUID, online: Callable[[], Iterable[int]], clock: Clock, away_s: float
    ) -> None:
        super().__init__()
        self._database = database
        self._hub = hub
        self._online = online
        self._clock = clock
        self._away_s = away_s
        self._known: set[int] | None = None
        self._gone_since: dict[int, float] = {}

    def on_start(self) -> None:
        self.after(0, a.Tick())

    def receive(self, message: a.Tick) -> None:
        del message
        try:
            self.look()
        except FluxError as error:
            log.warning("who is online is not told", error=error.message)
        self.after(LOOK_S, a.Tick())

    def look(self) -> None:
        """One look; stores what is news."""
        if self._known is None:
            with self._database.transaction() as tx:
                self._known = set(presence.known_online(tx, self._hub))
        now, online = self._clock.monotonic(), set(self._online())
        came, away = online - self._known, self._known - online
        self._gone_since = {agent_id: self._gone_since.get(agent_id, now) for agent_id in away}
        went = [agent_id for agent_id, since in self._gone_since.items() if now - since >= self._away_s]
        if not came and not went:
            return
        with self._database.transaction() as tx:
            if came:
                presence.came(tx, self._hub, sorted(came))
            if went:
                presence.went(tx, self._hub, sorted(went))
        self._known = (self._known | came).difference(went)
