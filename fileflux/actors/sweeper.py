"""Discards the parts that ended runs left at destinations which were away at that time, once these are back.

A run notes that in its row (``parts_left``). What is posted to a session without a link dies with the session, so a run alone cannot do
it. Sweeping twice does no harm: a part that is not there is no error, and its name is never used by another transfer.
"""

from __future__ import annotations

import os

import structlog

from fileflux.actors import messages as a
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.run_parts import discards
from fileflux.actors.session_port import SessionPort
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from fileflux.storage.runs import LeftParts

log = structlog.get_logger("fileflux.sweeper")

AGENTS_MAX = 1000
"""Destinations that are waited for at once, one run of each at a time."""
PARTS_PAGE = 500
"""Parts of one run that are named to the agent at once."""
PAGE_PAUSE = 1.0
"""Seconds between two pages: the agent's workers have transfers to do."""


class Sweeper(Actor[a.SweeperMessage]):
    """One per hub. Looks into the database every ``parts_sweep_interval``, where an index makes that nothing."""

    def __init__(
        self,
        hub: ActorRef[a.ConnectionHubMessage],
        persistence: ActorRef[a.PersistenceMessage],
        limits: Limits,
    ) -> None:
        super().__init__()
        self._hub = hub
        self._persistence = persistence
        self._limits = limits
        self._left: dict[int, LeftParts] = {}
        self._ports: dict[int, SessionPort] = {}
        self._sweeping: set[int] = set()

    def on_start(self) -> None:
        self._persistence.tell(a.FetchPartsLeft(AGENTS_MAX, self.ref))
        self.after(self._limits.parts_sweep_interval, a.Tick())

    def on_stop(self) -> None:
        self._hub.tell_control(a.Unwatch(self.ref))

    def receive(self, message: a.SweeperMessage) -> None:
        match message:
            case a.Tick() if message.what:
                run_id, _, after = message.what.partition(":")
                self._persistence.tell(a.FetchParts(int(run_id), int(after), PARTS_PAGE, self.ref))
            case a.Tick():
                self._persistence.tell(a.FetchPartsLeft(AGENTS_MAX, self.ref))
                self.after(self._limits.parts_sweep_interval, a.Tick())
            case a.PartsLeft():
                self._found(message.runs)
            case a.AgentUp():
                self._ports[message.agent_id] = message.port
                self._begin()
            case a.AgentDown():
                self._ports.pop(message.agent_id, None)
            case a.Parts():
                self._sweep(message)

    def _found(self, runs: tuple[LeftParts, ...]) -> None:
        before = {left.agent_id for left in self._left.values()}
        self._left = {left.run_id: left for left in runs} | {
            run_id: self._left[run_id] for run_id in self._sweeping if run_id in self._left
        }
        agents = {left.agent_id for left in self._left.values()}
        if agents != before:
            # Each watched agent is told of anew.
            self._ports.clear()
            self._hub.tell(a.Watch(frozenset(agents), self.ref) if agents else a.Unwatch(self.ref))
        self._begin()

    def _begin(self) -> None:
        for left in self._left.values():
            if left.agent_id in self._ports and left.run_id not in self._sweeping:
                self._sweeping.add(left.run_id)
                self._persistence.tell(a.FetchParts(left.run_id, 0, PARTS_PAGE, self.ref))

    def _sweep(self, message: a.Parts) -> None:
        left = self._left.get(message.run_id)
        port = None if left is None else self._ports.get(left.agent_id)
        if left is None or port is None:
            # It went again: all of it from the start when it is back.
            self._sweeping.discard(message.run_id)
            return
        items = [
            item
            for part in message.parts
            for item in discards(
                left.destination_path,
                "onto" if left.one_file else "below",
                os.fsdecode(part.path),
                None if part.final_path is None else os.fsdecode(part.final_path),
                part.part,
            )
        ]
        for item in items:
            port.post(a.PostItem(m.DiscardPart, item))
        if len(message.parts) == PARTS_PAGE:
            self.after(PAGE_PAUSE, a.Tick(f"{left.run_id}:{message.parts[-1].id}"))
            return
        log.info("parts of an ended run discarded", run_id=left.run_id, agent=port.agent_name)
        self._sweeping.discard(left.run_id)
        del self._left[left.run_id]
        self._persistence.tell(a.PartsSwept(left.run_id))
        self._persistence.tell(a.FetchPartsLeft(AGENTS_MAX, self.ref))
