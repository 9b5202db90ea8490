"""Knows every agent's session: which one lives, who wants to hear of it. One live session an agent; the newest connection wins."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from fileflux.actors import messages as a
from fileflux.actors.agent_session import AgentSession
from fileflux.actors.credentials import Credentials
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.actors.session_port import LinkGate, SessionPort
from fileflux.bus.bus import Bus
from fileflux.bus.events import AgentOffline, AgentOnline
from fileflux.clock import Clock
from fileflux.errors import RemoteProtocolError
from fileflux.metrics import Metrics
from fileflux.protocol import messages as m
from fileflux.protocol.codec import decode
from fileflux.protocol.limits import PROTOCOL_VERSIONS, Limits

log = structlog.get_logger("fileflux.connections")

SEEN_EVERY_S = 10.0
"""How often heartbeats are stored: two statements for all agents."""
TAKEN_OVER_MAX = 4
"""Sessions of one agent whose end by another process is remembered: two hosts with one token take turns."""


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
    load: float | None = None


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
        metrics: Metrics | None = None,
    ) -> None:
        super().__init__()
        self._metrics = metrics or Metrics()
        self._sessions = sessions
        self._relay = relay
        self._persistence = persistence
        self._bus = bus
        self._limits = limits
        self._clock = clock
        self._ports: dict[int, SessionPort] = {}
        self._epochs: dict[int, int] = {}
        self._watchers: dict[ActorRef[Any], frozenset[int]] = {}
        self._credentials = Credentials(limits, clock)
        # Agent → sessions that ended because a process began another one, and where that process was.
        self._taken_over: dict[int, deque[tuple[str, str]]] = {}

    def on_start(self) -> None:
        self.after(SEEN_EVERY_S, a.Tick("seen"))

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
            case a.DisplacedLives():
                old, other = message.port, message.port.displaced_by or ""
                self._tell_of_duplicate(old.agent_id, old.agent_name, old.token_id, message.peer, other)
            case a.Watch():
                self._watchers[message.watcher] = message.agent_ids
                for agent_id in message.agent_ids:
                    self._tell_state(message.watcher, agent_id)
            case a.Unwatch():
                self._watchers.pop(message.watcher, None)
            case a.CutAgent():
                self._cut(message)
            case a.LimitToken():
                self._credentials.limit(message.token_id, message.expires_at)
                port = self._ports.get(message.agent_id)
                if port is not None and port.token_id == message.token_id:
                    port.token_expires_at = message.expires_at
                    port.ref.tell_control(a.Tick("life"))
            case a.Tick():
                self._store_seen()
                self.after(SEEN_EVERY_S, a.Tick("seen"))

    def live(self, agent_id: int) -> LiveAgent | None:
        """A snapshot for display; may be called from any greenlet, since it neither yields nor changes anything."""
        port = self._ports.get(agent_id)
        if port is None:
            return None
        link = port.link
        if link is None:
            return LiveAgent(agent_id, port.session_id, False, "", "", "", port.since)
        return LiveAgent(
            agent_id, port.session_id, True, link.transport, port.link_reason, link.peer, port.since, port.load
        )

    def port(self, agent_id: int) -> SessionPort | None:
        """The agent's session; like ``live``, from any greenlet."""
        return self._ports.get(agent_id)

    @property
    def online(self) -> int:
        """How many agents have a link now."""
        return sum(port.link is not None for port in self._ports.values())

    def online_ids(self) -> list[int]:
        """The agents that have a link now; like ``live``, from any greenlet."""
        return [agent_id for agent_id, port in self._ports.items() if port.link is not None]

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
        refusal = self._credentials.refusal(identity)
        if refusal:
            self._reject(gate, identity, RemoteProtocolError(refusal, code="unauthenticated"))
            return
        if self._epochs.get(identity.agent_id, -1) > identity.epoch:
            gate.link.close(4409, "a newer connection of this agent took over")
            return
        self._epochs[identity.agent_id] = identity.epoch
        hello = envelope.message
        self._notice_duplicate(gate, identity, hello)
        port = self._ports.get(identity.agent_id)
        if hello.switch and (port is None or port.session_id != hello.session_id):
            self._reject(gate, identity, RemoteProtocolError("there is no session to switch", code="out_of_place"))
            return
        if port is not None and port.session_id == hello.session_id:
            port.token_id, port.token_expires_at = identity.token_id, self._credentials.expiry(identity)
            self._attach(gate, port, message.text, resumed=True)
            return
        if port is not None:
            # Another process with this agent's token: what the old one had open is void.
            known = self._taken_over.setdefault(identity.agent_id, deque(maxlen=TAKEN_OVER_MAX))
            known.append((port.session_id, gate.link.peer))
            port.displaced_by = gate.link.peer
            port.ref.tell_control(a.CloseSession(4409, "a newer connection of this agent took over"))
            self._ended(port, "a new session of the agent took over")
        self._attach(gate, self._new_session(identity, hello), message.text, resumed=False)

    def _notice_duplicate(self, gate: LinkGate, identity: a.AgentIdentity, hello: m.Hello) -> None:
        """Raise an alert when a process comes back whose session another process took over: both are alive, so the identity is used twice.

        That an old link still looked alive proves nothing: an agent that was killed and started again leaves one behind. A process that was
        started anew knows no session, and one that goes on with its own, over whatever link, was never displaced. Where a link can know that
        its close was heard, the displaced process has told so before (``DisplacedLives``).
        """
        known = self._taken_over.get(identity.agent_id, ())
        other = next((peer for session_id, peer in known if session_id == hello.session_id), None)
        if other is None:
            return
        self._taken_over[identity.agent_id] = deque(
            (entry for entry in known if entry[0] != hello.session_id), TAKEN_OVER_MAX
        )
        self._tell_of_duplicate(identity.agent_id, identity.name, identity.token_id, gate.link.peer, other)

    def _tell_of_duplicate(self, agent_id: int, name: str, token_id: int, here: str, other: str) -> None:
        places = f"at {here}, twice" if here == other else f"at {here} and at {other}"
        text = (
            f"agent {name} runs in two places: {places}. Each new connection ends the other's session, so its transfers begin again and"
            " again. Stop one of the two and give every host an agent and a token of its own; if you do not know one of the places,"
            f" revoke the agent's tokens at once"
        )
        detail = {"peer": here, "other_peer": other, "token_id": token_id}
        entry = a.SaveAudit(f"agent:{name}", "agent.duplicate", f"agent:{agent_id}", "refused", detail)
        log.warning("agent runs in two places", agent=name, peer=here, other_peer=other)
        self._persistence.tell(a.SaveAlert("token_on_two_hosts", f"agent:{agent_id}", text, entry))

    def _cut(self, message: a.CutAgent) -> None:
        self._credentials.cut(message.agent_id, message.token_id)
        if message.token_id is None:
            self._taken_over.pop(message.agent_id, None)
        port = self._ports.get(message.agent_id)
        if port is not None and message.token_id in (None, port.token_id):
            port.ref.tell_control(a.CloseSession(1008, message.reason))

    def _store_seen(self) -> None:
        heard = [port for port in self._ports.values() if port.heard]
        for port in heard:
            port.heard = False
        if heard:
            seen = a.SaveSeen(tuple(port.agent_id for port in heard), tuple(port.token_id for port in heard))
            self._persistence.tell(seen)

    def _new_session(self, identity: a.AgentIdentity, hello: m.Hello) -> SessionPort:
        port = SessionPort(identity, secrets.token_hex(16), hello.receive_buffer)
        port.token_expires_at = self._credentials.expiry(identity)
        self._ports[identity.agent_id] = port
        factory: Callable[[], AgentSession] = lambda: AgentSession(  # noqa: E731  # a named function would say nothing more
            port,
            identity.epoch,
            self.ref,
            self._relay,
            self._persistence,
            self._bus,
            self._limits,
            self._clock,
            self._metrics,
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
        self._metrics.messages_refused.inc(error.code)
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
        self._metrics.links_opened.inc(port.link.transport)
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
