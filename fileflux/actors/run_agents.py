"""The two agents of a run: who is there, who is waited for, and by which port each is reached."""

from __future__ import annotations

from typing import Final

from fileflux.actors import messages as a
from fileflux.actors.session_port import SessionPort
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m

ELSEWHERE: Final = "it is connected to another hub; both agents of a job have to be connected to the same one"


class Agents:
    """Fed by the connection hub's AgentUp and AgentDown."""

    def __init__(self, spec: JobSpec) -> None:
        self._source_id, self._destination_id = spec.source_agent_id, spec.destination_agent_id
        self._ports: dict[int, SessionPort | None] = {}
        self._known: set[int] = set()
        self._absent: dict[int, str] = {}
        """Why each is not there."""
        self.names: dict[int, str] = {}

    @property
    def ids(self) -> frozenset[int]:
        return frozenset({self._source_id, self._destination_id})

    @property
    def both_known(self) -> bool:
        """The connection hub has said of each how it is."""
        return self.ids <= self._known

    def up(self, message: a.AgentUp) -> bool:
        """An agent has a link; True if its session goes on, False if it is another one."""
        self._known.add(message.agent_id)
        self._absent.pop(message.agent_id, None)
        same = message.resumed and self._ports.get(message.agent_id) is message.port
        self._ports[message.agent_id] = message.port
        return same

    def down(self, message: a.AgentDown) -> str:
        """An agent has no link; what people read of it."""
        self._known.add(message.agent_id)
        port = self._ports.get(message.agent_id)
        if port is not None:
            self.names[message.agent_id] = port.agent_name
        if message.lost:
            self._ports[message.agent_id] = None
        self._absent[message.agent_id] = message.reason
        return self._waits_for(message.agent_id)

    def elsewhere(self, agent_id: int) -> None:
        """An agent that has no link here has one to another hub."""
        if agent_id in self._absent:
            self._absent[agent_id] = ELSEWHERE

    def missing(self, *, only_destination: bool) -> str | None:
        """Who is waited for. Once every file has ended nothing is left to ask the source."""
        absent = [one for one in self._absent if one == self._destination_id or not only_destination]
        return self._waits_for(absent[0]) if absent else None

    def _waits_for(self, agent_id: int) -> str:
        return f"waiting for agent {self.names.get(agent_id, agent_id)}: {self._absent[agent_id]}"

    def here(self, role: m.Role) -> bool:
        """The agent has a link now."""
        return (self._source_id if role == "source" else self._destination_id) not in self._absent

    def roles(self, agent_id: int) -> tuple[m.Role, ...]:
        """What the agent plays in this run; if it is both, the destination first: what happened to it begins a new attempt, and
        nothing is asked of the old one's source any more.
        """
        roles: list[m.Role] = []
        if agent_id == self._destination_id:
            roles.append("destination")
        if agent_id == self._source_id:
            roles.append("source")
        return tuple(roles)

    def port(self, role: m.Role) -> SessionPort | None:
        """None while the agent has no session."""
        return self._ports.get(self._source_id if role == "source" else self._destination_id)
