"""One agent's session: drives ``protocol.Session`` over whatever link the agent has, and hands its messages to who they are for.

Others hold its ``SessionPort`` (``session_port.py``). A session that ends is never restarted: the agent opens a new one.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import structlog

from fileflux.actors import messages as a
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.questions import Questions
from fileflux.actors.session_port import LinkGate, SessionPort, SessionReceipt
from fileflux.bus.bus import Bus
from fileflux.bus.events import FrameRefused
from fileflux.clock import Clock
from fileflux.errors import LocalProtocolError, OverloadedError
from fileflux.metrics import Metrics
from fileflux.protocol import messages as m
from fileflux.protocol.limits import MAX_ITEMS, Limits
from fileflux.protocol.session import (
    Established,
    HelloReceived,
    LinkDead,
    MessageReceived,
    PeerErrorReported,
    Refused,
    Session,
    SessionEvent,
    Side,
)

log = structlog.get_logger("fileflux.session")

_FOR_RELAY = (
    m.TransferAccept, m.TransferProgress, m.ChunkAck, m.ChunkNack, m.ChunkSame, m.TransferComplete, m.TransferErrorMessage,
    m.TransferReleased, m.BundleAccept, m.BundleComplete,
)  # fmt: skip


_ORDERED = (m.CancelTransfer, m.TransferResume, m.BundleRequest)
"""Items that nothing may overtake by being gathered before them."""
LOOK_EVERY_S = 5.0
SOON_S = 0.05
"""A clock that is a little behind must not make a loop."""


class AgentSession(Actor[a.SessionMessage]):
    """The hub's end of one agent's session."""

    mailbox_size = 5000

    def __init__(
        self,
        port: SessionPort,
        epoch: int,
        hub: ActorRef[a.ConnectionHubMessage],
        relay: ActorRef[a.RelayMessage],
        persistence: ActorRef[a.PersistenceMessage],
        bus: Bus,
        limits: Limits,
        clock: Clock,
        metrics: Metrics | None = None,
    ) -> None:
        super().__init__()
        self._metrics = metrics or Metrics()
        self._port = port
        self._session = Session(Side.HUB, limits, session_id=port.session_id, epoch=epoch, agent_name=port.agent_name)
        self._hub = hub
        self._relay = relay
        self._persistence = persistence
        self._bus = bus
        self._limits = limits
        self._clock = clock
        self._gate: LinkGate | None = None
        self._resuming = False
        self._unlinked_at = 0.0
        self._ended = False
        self._requests: dict[int, ActorRef[Any]] = {}
        self._watches: ActorRef[Any] | None = None
        """Who set the watches of this session."""
        self._questions = Questions(port)
        self._items: dict[type[m.Message], list[Any]] = {}
        self._flush_due = False
        self._backlog: list[m.Message] = []
        self._wakes_at = math.inf

    def on_start(self) -> None:
        self._port.bind(self.ref)
        self._wake_in_time()

    def receive(self, message: a.SessionMessage) -> None:
        match message:
            case a.PostItem():
                self._gather(message)
                return
            case a.LinkText():
                if message.gate is self._gate:
                    self._happened(self._session.receive_text(message.text, self._now()))
            case a.Handled():
                self._session.handled(message.seq, self._now())
            case a.Post():
                self._post(message)
            case a.Attach():
                self._attach(message)
            case a.LinkClosed():
                self._link_closed(message)
            case a.Violation():
                self._violated(message)
            case a.CloseSession():
                self._end(message.code, message.reason)
                return
            case a.TestConnection() | a.BrowseAgent() | a.ExamineAgent() | a.ListAgent():
                said = self._questions.ask(message, self._now())
                if said is not None:
                    self._say(said)
            case a.Tick():
                self._tick(message.what)
        if not self._ended:
            self._transmit()
            self._wake_in_time()

    def on_stop(self) -> None:
        if self._gate is not None:
            self._gate.link.close(1001, "the hub is stopping")

    # Links

    def _attach(self, message: a.Attach) -> None:
        now = self._now()
        if self._gate is not None:
            self._gate.link.close(4409, "a newer connection of this agent took over")
            self._session.link_down(now)
        self._gate = message.gate
        self._resuming = message.resumed
        self._session.epoch = message.gate.identity.epoch
        self._session.link_up(now)
        self._happened(self._session.receive_text(message.hello_text, now))

    def _link_closed(self, message: a.LinkClosed) -> None:
        if message.gate is not self._gate:
            return
        self._gate = None
        self._port.link = None
        self._session.link_down(self._now())
        reason = message.reason or f"connection closed ({message.code})"
        self._hub.tell_control(a.SessionUnlinked(self._port, reason))
        self._unlinked_at = self._port.since = self._now()
        self.after(self._limits.session_linger, a.Tick("linger"))

    def _give_up(self, event: LinkDead) -> None:
        """Nothing comes from the agent: it is away from now on, whether it answers the farewell or not."""
        gate = self._gate
        if gate is not None:
            gate.link.close(event.code, event.reason)
            self._link_closed(a.LinkClosed(gate, event.code, event.reason))

    def _end(self, code: int, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        if self._gate is not None:
            self._gate.link.close(code, reason)
            self._gate = None
        self._port.link = None
        self._questions.end(reason)
        self._hub.tell_control(a.SessionEnded(self._port, reason))
        self.stop_self()

    # What the agent says

    def _happened(self, events: list[SessionEvent]) -> None:
        for event in events:
            match event:
                case HelloReceived():
                    self._welcome(event.hello)
                case MessageReceived():
                    self._dispatch(event.seq, event.message)
                case Refused():
                    self._refuse(event.code, event.message, event.field)
                    if event.close:
                        self._close_link(1008, event.message)
                case LinkDead():
                    self._give_up(event)
                case PeerErrorReported():
                    log.warning(
                        "agent reported an error",
                        agent=self._port.agent_name,
                        code=event.error.code,
                        text=event.error.message,
                    )
                case Established():
                    pass

    def _welcome(self, hello: m.Hello) -> None:
        now = self._now()
        gate = self._gate
        if gate is None:
            return
        self._session.welcome(now, hello, resumed=self._resuming)
        self._port.receive_buffer = hello.receive_buffer
        self._port.features = tuple(feature for feature in m.FEATURES if feature in hello.features)
        self._port.link_reason = hello.link_reason
        self._port.link = gate.link
        self._port.since = now
        self._transmit()
        self._hub.tell_control(a.SessionLinked(self._port, self._resuming))

    def _dispatch(self, seq: int, message: m.Message) -> None:
        receipt = SessionReceipt(self.ref, seq)
        match message:
            case m.Heartbeat():
                self._port.heard, self._port.load = True, message.load
                self._say(m.HeartbeatAck(server_time=self._clock.utc_now().isoformat()))
            case m.AgentInfo():
                self._persistence.tell(a.SaveAgentInfo(self._port.agent_id, asdict(message), receipt))
                return
            case m.ConnectionTestResult() | m.BrowseResult() | m.DoctorResult():
                self._questions.answered(message, self._now())
            case m.ListResult() if self._questions.awaits(message):
                self._questions.answered(message, self._now())
            case m.ListResult() | m.DirApplied() | m.PathsDeleted() | m.TransferReleased() if (
                message.request_id is not None
            ):
                owner = self._requests.get(message.request_id)
                if not isinstance(message, m.ListResult) or message.last:
                    self._requests.pop(message.request_id, None)
                if owner is None or not owner.tell(a.Answered(self._port.agent_id, message, receipt)):
                    log.info("answer to no request", agent=self._port.agent_name, request=message.request_id)
                else:
                    return
            case m.WatchState() | m.WatchReady() if self._watches is not None:
                if self._watches.tell(a.WatchSaid(self._port.agent_id, message, receipt)):
                    return
                self._close_link(1013, "the hub is overloaded: come back later")
                return
            case _ if isinstance(message, _FOR_RELAY):
                if self._relay.tell(a.FromAgent(self._port, message, receipt)):
                    return
                self._close_link(1013, "the hub is overloaded: come back later")
                return
            case _:
                pass
        self._session.handled(seq, self._now())

    def _violated(self, message: a.Violation) -> None:
        if message.gate is not None and message.gate is not self._gate:
            return
        self._say(m.ErrorMessage(message.code, message.message))
        self._refuse(message.code, message.message, None)
        if message.close:
            self._transmit()
            self._close_link(1008, message.message)

    def _refuse(self, code: str, text: str, field: str | None) -> None:
        detail = {"code": code, "message": text[:1000], "field": field}
        self._persistence.tell(a.SaveAudit(f"agent:{self._port.agent_name}", "message.refused", "", "refused", detail))
        self._metrics.messages_refused.inc(code)
        self._bus.publish(FrameRefused(self._port.agent_id, code, text[:1000]))
        log.warning("refused", agent=self._port.agent_name, code=code, text=text)

    # What others want to say

    def _gather(self, message: a.PostItem) -> None:
        if message.message in _ORDERED and message.message not in self._items:
            # What follows a cancellation may take over the same part, and a window means nothing before its resume.
            self._flush()
        items = self._items.setdefault(message.message, [])
        items.append(message.item)
        if len(items) >= MAX_ITEMS // 2:
            self._flush()
            self._transmit()
        elif not self._flush_due:
            self._flush_due = True
            self.after(self._limits.small_messages_flush, a.Tick("flush"))

    def _flush(self) -> None:
        gathered, self._items = self._items, {}
        for kind, items in gathered.items():
            self._say_items(kind, tuple(items))

    def _say_items(self, kind: type[m.Message], items: tuple[Any, ...]) -> None:
        try:
            self._say(kind(items=items))  # type: ignore[call-arg]  # only messages with items are gathered
        except LocalProtocolError:
            # Long paths make it larger than a message may be.
            if len(items) == 1:
                raise
            self._say_items(kind, items[: len(items) // 2])
            self._say_items(kind, items[len(items) // 2 :])

    def _post(self, message: a.Post) -> None:
        request_id = getattr(message.message, "request_id", None)
        if request_id is not None and message.reply_to is not None:
            self._requests[request_id] = message.reply_to
        if isinstance(message.message, m.WatchSet):
            self._watches = message.reply_to
        if isinstance(message.message, m.ListCancel):
            self._requests.pop(message.message.request_id, None)
        self._flush()
        self._say(message.message)

    def _say(self, message: m.Message) -> None:
        if self._backlog or not self._session.can_send:
            # Bounded by the runs' own bounds; beyond it the session cannot be saved.
            if len(self._backlog) >= self._limits.outbox_max * 10:
                self._end(1013, "too many messages wait for this agent")
                return
            self._backlog.append(message)
            return
        try:
            self._session.send(message, self._now())
        except OverloadedError:
            self._backlog.append(message)

    def _transmit(self) -> None:
        while self._backlog and self._session.can_send:
            self._session.send(self._backlog.pop(0), self._now())
        gate = self._gate
        if gate is None:
            return
        for text in self._session.texts_to_send():
            gate.link.send_text(text)

    # Time

    def _tick(self, what: str) -> None:
        if what == "flush":
            self._flush_due = False
            self._flush()
            return
        if what == "linger":
            # An earlier absence may have started this timer; only the latest one counts.
            if self._gate is None and self._now() - self._unlinked_at >= self._limits.session_linger * 0.99:
                self._end(1001, "the agent did not come back")
            return
        now = self._now()
        if self._expired():
            return
        if self._gate is not None:
            self._session.alive(self._gate.last_life)
            self._happened(self._session.tick(now))
        self._questions.tick(now)
        if now >= self._wakes_at:
            self._wakes_at = math.inf

    def _wake_in_time(self) -> None:
        """Have a tick when there is something to do: ten thousand sessions that look around every second cost a third of a core."""
        now = self._now()
        token = now + self._port.seconds_left(self._clock.utc_now)
        due = min(self._session.deadline() or math.inf, self._questions.deadline(), token, now + LOOK_EVERY_S)
        if due < self._wakes_at:
            self._wakes_at = due
            self.after(max(due - now, SOON_S), a.Tick("life"))

    def _expired(self) -> bool:
        """Whether the session is over because its token is."""
        port = self._port
        if port.seconds_left(self._clock.utc_now) > 0:
            return False
        entry = a.SaveAudit(f"agent:{port.agent_name}", "token.expired", f"token:{port.token_id}", "ok", {})
        self._persistence.tell(entry)
        log.warning("token expired", agent=port.agent_name, token=port.token_id)
        self._end(1008, "its token has expired")
        return True

    def _close_link(self, code: int, reason: str) -> None:
        if self._gate is not None:
            self._gate.link.close(code, reason)

    def _now(self) -> float:
        return self._clock.monotonic()
