"""Knows every agent's session: which one lives, who wants to hear of it. One live session an agent; the newest connection wins."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from fileflux.actors import messages as a
from fileflux.actors.agent_session import AgentSession
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.actors.session_port import LinkGate, SessionPort
from fileflux.bus.bus import Bus
from fileflux.bus.events import AgentOffline, AgentOnline
from fileflux.clock import Clock
from fileflux.errors import RemoteProtocolError
from fileflux.protocol import messages as m
from fileflux.protocol.codec import decode
from fileflux.protocol.limits import PROTOCOL_VERSIONS, Limits

log = structlog.get_logger("fileflux.connections")


@dataclass(frozen=True, slots=True)
class LiveAgent:
    """What is known of an agent that has a session. ``since`` is on the hub's monotonic clock."""

    agent_id: int
    session_id: str
    online: bool
    transport: str
    reason: str
    peer: str
    since: float


class ConnectionHub(Actor[a.ConnectionHubMessage]):
    """Sessions are children of their own supervisor; they are never restarted."""

    mailbox_size = 20_000

    def __init__(
        self,
        sessions: Supervisor,
        relay: ActorRef[a.RelayMessage],
        persistence: ActorRef[a.PersistenceMessage],
        bus: Bus,
        limits: Limits,
        clock: Clock,
    ) -> None:
        super().__init__()
        self._sessions = sessions
        self._relay = relay
        self._persistence = persistence
        self._bus = bus
        self._limits = limits
        self._clock = clock
        self._ports: dict[int, SessionPort] = {}
        self._epochs: dict[int, int] = {}
        self._watchers: dict[ActorRef[Any], frozenset[int]] = {}

    def receive(self, message: a.ConnectionHubMessage) -> None:
        match message:
            case a.HelloArrived():
                self._hello(message)
            case a.SessionLinked():
                self._linked(message)
            case a.SessionUnlinked():
                self._unlinked(message.port, message.reason)
            case a.SessionEnded():
                self._ended(message.port, message.reason)
            case a.Watch():
                self._watchers[message.watcher] = message.agent_ids
                for agent_id in message.agent_ids:
                    self._tell_state(message.watcher, agent_id)
            case a.Unwatch():
                self._watchers.pop(message.watcher, None)
            case a.CutAgent():
                port = self._ports.get(message.agent_id)
                if port is not None and message.token_id in (None, port.token_id):
                    port.ref.tell_control(a.CloseSession(1008, message.reason))
            case a.FindPort():
                message.reply.send(self._ports.get(message.agent_id))
            case a.Tick():
                pass

    def live(self, agent_id: int) -> LiveAgent | None:
        """A snapshot for display; may be called from any greenlet, since it neither yields nor changes anything."""
        port = self._ports.get(agent_id)
        if port is None:
            return None
        link = port.link
        if link is None:
            return LiveAgent(agent_id, port.session_id, False, "", "", "", port.since)
        return LiveAgent(agent_id, port.session_id, True, link.transport, port.link_reason, link.peer, port.since)

    def _hello(self, message: a.HelloArrived) -> None:
        gate, identity = message.gate, message.identity
        try:
            envelope = decode(message.text, (m.Hello,), self._limits)
            if not isinstance(envelope.message, m.Hello):
                raise RemoteProtocolError("the first message must be hello", code="out_of_place", field="type")
            if envelope.message.probe:
                raise RemoteProtocolError("a second probe", code="out_of_place", field="probe")
            if not set(envelope.message.protocol) & set(PROTOCOL_VERSIONS):
                supported = ", ".join(map(str, PROTOCOL_VERSIONS))
                raise RemoteProtocolError(
                    f"protocol versions supported here: {supported}", code="version", field="protocol"
                )
        except RemoteProtocolError as error:
            self._reject(gate, identity, error)
            return
        if self._epochs.get(identity.agent_id, -1) > identity.epoch:
            gate.link.close(4409, "a newer connection of this agent took over")
            return
        self._epochs[identity.agent_id] = identity.epoch
        hello = envelope.message
        port = self._ports.get(identity.agent_id)
        if hello.switch and (port is None or port.session_id != hello.session_id):
            self._reject(gate, identity, RemoteProtocolError("there is no session to switch", code="out_of_place"))
            return
        if port is not None and port.session_id == hello.session_id:
            port.token_id = identity.token_id
            self._attach(gate, port, message.text, resumed=True)
            return
        if port is not None:
            # Another process with this agent's token: what the old one had open is void.
            port.ref.tell_control(a.CloseSession(4409, "a newer connection of this agent took over"))
            self._ended(port, "a new session of the agent took over")
        self._attach(gate, self._new_session(identity, hello), message.text, resumed=False)

    def _new_session(self, identity: a.AgentIdentity, hello: m.Hello) -> SessionPort:
        port = SessionPort(identity, secrets.token_hex(16), hello.receive_buffer)
        self._ports[identity.agent_id] = port
        factory: Callable[[], AgentSession] = lambda: AgentSession(  # noqa: E731  # a named function would say nothing more
            port, identity.epoch, self.ref, self._relay, self._persistence, self._bus, self._limits, self._clock
        )
        ref = self._sessions.start_child(ChildSpec(f"session-{port.session_id}", factory, "temporary"))
        port.bind(ref)
        return port

    def _attach(self, gate: LinkGate, port: SessionPort, text: str, *, resumed: bool) -> None:
        gate.port = port
        port.ref.tell_control(a.Attach(gate, text, resumed))

    def _reject(self, gate: LinkGate, identity: a.AgentIdentity, error: RemoteProtocolError) -> None:
        detail = {"code": error.code, "message": error.message[:1000], "field": error.field}
        self._persistence.tell(a.SaveAudit(f"agent:{identity.name}", "hello.refused", "", "refused", detail))
        gate.link.close(1008, error.message[:100])

    def _linked(self, message: a.SessionLinked) -> None:
        port = message.port
        if self._ports.get(port.agent_id) is not port or port.link is None:
            return
        log.info(
            "agent online",
            agent=port.agent_name,
            transport=port.link.transport,
            reason=port.link_reason,
            resumed=message.resumed,
        )
        self._persistence.tell(
            a.SaveAudit(
                f"agent:{port.agent_name}",
                "agent.connected",
                port.link.peer,
                "ok",
                {"resumed": message.resumed, "transport": port.link.transport, "reason": port.link_reason},
            )
        )
        self._bus.publish(AgentOnline(port.agent_id, port.session_id, port.link.transport))
        self._tell(port.agent_id, a.AgentUp(port.agent_id, port, message.resumed))

    def _unlinked(self, port: SessionPort, reason: str) -> None:
        if self._ports.get(port.agent_id) is not port:
            return
        log.info("agent offline", agent=port.agent_name, reason=reason)
        self._bus.publish(AgentOffline(port.agent_id, reason))
        self._tell(port.agent_id, a.AgentDown(port.agent_id, reason, lost=False))

    def _ended(self, port: SessionPort, reason: str) -> None:
        if self._ports.get(port.agent_id) is not port:
            return
        del self._ports[port.agent_id]
        self._bus.publish(AgentOffline(port.agent_id, reason))
        self._tell(port.agent_id, a.AgentDown(port.agent_id, reason, lost=True))

    def _tell_state(self, watcher: ActorRef[Any], agent_id: int) -> None:
        port = self._ports.get(agent_id)
        if port is not None and port.link is not None:
            watcher.tell_control(a.AgentUp(agent_id, port, resumed=False))
        else:
            watcher.tell_control(a.AgentDown(agent_id, "not connected", lost=True))

    def _tell(self, agent_id: int, message: a.AgentUp | a.AgentDown) -> None:
        for watcher, agents in tuple(self._watchers.items()):
            if agent_id in agents:
                watcher.tell_control(message)
