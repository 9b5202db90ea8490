"""The numbered conversation between one agent and the hub, which survives links (docs/protocol.md, Sessions).

Sans-I/O and without a clock. The application owns a link and a timer and does this::

    link opened      session.link_up(now)
    text came in     events = session.receive_text(text, now)
    bytes came in    session.alive(now)
    message handled  session.handled(seq, now)
    something to say session.send(message, now)
    timer            events = session.tick(now)      at the latest at session.deadline()
    link closed      session.link_down(now)

and after each of these sends ``texts_to_send()`` over the link. Reliability sits here and not in the transport: every message is kept until
the peer has acknowledged it and is sent again on the next link, and what arrives twice is delivered once.
"""

from __future__ import annotations

from typing import Final

from fileflux.errors import LocalProtocolError, RemoteProtocolError
from fileflux.protocol.codec import (
    RawEnvelope,
    decode_envelope,
    decode_payload,
    encode,
    encode_payload,
    utf8_size,
    wrap,
)
from fileflux.protocol.inbox import AckTimer, Inbox
from fileflux.protocol.limits import DEFAULT_LIMITS, PROTOCOL_VERSIONS, Limits
from fileflux.protocol.messages import FROM_AGENT, FROM_HUB, UNNUMBERED, Ack, ErrorMessage, Hello, Message, Welcome
from fileflux.protocol.outbox import Outbox
from fileflux.protocol.session_events import (
    Established,
    HelloReceived,
    LinkDead,
    MessageReceived,
    PeerErrorReported,
    Refused,
    SessionEvent,
)
from fileflux.protocol.session_state import Event, Side, State, step

__all__ = [
    "Established",
    "HelloReceived",
    "LinkDead",
    "MessageReceived",
    "PeerErrorReported",
    "Refused",
    "Session",
    "SessionEvent",
    "Side",
]

ENVELOPE_MAX: Final = 200
"""Room for everything around a payload."""
CLOSE_SILENCE: Final = 1001
CLOSE_HANDSHAKE: Final = 1008
UNHANDLED_MAX: Final = 2 * DEFAULT_LIMITS.outbox_max
"""Messages of the peer that wait for their ack. Its outbox is bounded by the half of it, unless it does not keep to the protocol."""
REFUSALS_MAX: Final = 100
"""Refused messages on one link, each of which costs an audit line: then the link is closed."""


class Session:
    """One end of a session.

    ``session_id`` and ``epoch`` are given at the hub and learned from welcome at the agent. ``receive_buffer`` is what an agent tells the
    hub that it can hold of unwritten chunks, ``features`` what it answers (``messages.FEATURES``).
    """

    def __init__(
        self,
        side: Side,
        limits: Limits,
        *,
        agent_name: str = "",
        session_id: str = "",
        epoch: int = 0,
        receive_buffer: int = 0,
        features: tuple[str, ...] = (),
    ) -> None:
        self.side = side
        self.agent_name = agent_name
        self.session_id = session_id
        self.epoch = epoch
        self.state = State.DOWN
        self.unknown_types = 0
        """Messages of types that are not known here, from a newer peer."""
        self.refusals = 0
        """Messages refused, over all links."""
        self._limits = limits
        self._receive_buffer = receive_buffer
        self._features = features
        self._outbox: Outbox[tuple[str, str]] = Outbox(limits.outbox_max)
        self._inbox = Inbox(UNHANDLED_MAX)
        self._acks = AckTimer(limits)
        self._transmitted = 0
        """The newest of our messages that ever left; the peer cannot know of later ones."""
        self._begun = False
        """Hub: a welcome was sent in this session."""
        # Of the current link only:
        self._greeting: list[str] = []
        self._talking = False
        """The handshake is done, so numbered messages may go out, even in BROKEN, where the reason for the closing is one of them."""
        self._cursor = 0
        """The newest of our messages that went out over this link, or did not need to."""
        self._up_since = 0.0
        self._life = 0.0
        self._link_refusals = 0

    @property
    def established(self) -> bool:
        """The handshake on the current link is done and nothing went wrong since."""
        return self.state is State.ESTABLISHED

    @property
    def can_send(self) -> bool:
        """``send`` would take a message. Does not depend on a link."""
        return not self._outbox.full

    @property
    def unacknowledged(self) -> int:
        """Messages that were sent and that the peer has not handled yet, as far as is known here."""
        return len(self._outbox)

    # The link

    def link_up(self, now: float, *, switch: bool = False, reason: str = "") -> None:
        """A link opened. Agent: hello is queued. Hub: hello must come within ``handshake_timeout``.

        ``switch``: the link takes over from one that still lives, and never begins another session. ``reason``: why this link, for people.
        """
        self._step(Event.LINK_UP)
        self._up_since = self._life = now
        self._link_refusals = 0
        if self.side is Side.AGENT:
            hello = Hello(
                protocol=PROTOCOL_VERSIONS,
                agent=self.agent_name,
                features=self._features,
                session_id=self.session_id or None,
                last_seq=self._inbox.handled,
                receive_buffer=self._receive_buffer,
                switch=switch,
                link_reason=reason,
            )
            self._greeting.append(encode(hello, 0, 0))
            self._acks.told(self._inbox.handled)

    def link_down(self, now: float = 0.0) -> None:
        """The link is gone, or given up; harmless without one. The conversation waits for the next."""
        del now
        self._step(Event.LINK_DOWN)
        self._greeting.clear()
        self._talking = False

    def alive(self, now: float) -> None:
        """Bytes came in, of whatever kind."""
        self._life = max(self._life, now)

    # Receiving

    def receive_text(self, text: str, now: float) -> list[SessionEvent]:
        """A text message came in; what it means, in order. Never raises for what a peer sent."""
        if self.state in (State.DOWN, State.BROKEN):
            return []
        self.alive(now)
        try:
            raw = decode_envelope(text, self._limits)
            if self._talking:
                return self._take(raw, now)
            return self._greet(raw, now)
        except RemoteProtocolError as error:
            return self._refuse(error, None)

    def _greet(self, raw: RawEnvelope, now: float) -> list[SessionEvent]:
        message = decode_payload(raw, self._incoming)
        event = {Hello: Event.HELLO, Welcome: Event.WELCOME}.get(type(message), Event.MESSAGE)
        if raw.seq or step(self.side, self.state, event) is None:
            raise RemoteProtocolError(f"{raw.type} is out of place here", code="out_of_place", field="type")
        if isinstance(message, Hello):
            self._check_hello(message)
            self._step(event)
            return [HelloReceived(message)]
        if not isinstance(message, Welcome):
            raise LocalProtocolError(f"{raw.type} opens no session")
        return [self._welcomed(message, now)]

    def _check_hello(self, hello: Hello) -> None:
        if not set(hello.protocol) & set(PROTOCOL_VERSIONS):
            supported = ", ".join(map(str, PROTOCOL_VERSIONS))
            raise RemoteProtocolError(
                f"protocol versions supported here: {supported}", code="version", field="protocol"
            )
        if self._begun and hello.session_id == self.session_id:
            self._check_last_seq(hello.last_seq)

    def _check_last_seq(self, last_seq: int) -> None:
        if not self._outbox.acknowledged <= last_seq <= self._transmitted:
            raise RemoteProtocolError(
                f"last_seq {last_seq} is outside {self._outbox.acknowledged} … {self._transmitted}",
                code="sequence",
                field="last_seq",
            )

    def _welcomed(self, welcome: Welcome, now: float) -> Established:
        if welcome.version not in PROTOCOL_VERSIONS or not welcome.session_id:
            raise RemoteProtocolError("welcome to a version that was not offered, or without a session", code="version")
        resumed = welcome.session_id == self.session_id
        if resumed:
            self._check_last_seq(welcome.last_seq)
        elif welcome.last_seq:
            raise RemoteProtocolError("last_seq of a new session must be 0", code="sequence", field="last_seq")
        else:
            if self.session_id:
                # Numbers and wire ids of the old session mean nothing in the new one.
                self._outbox.clear()
            self._transmitted = 0
            self._inbox.clear()
            self._acks.told(self._inbox.handled)
        self._step(Event.WELCOME)
        self.session_id, self.epoch = welcome.session_id, welcome.epoch
        if welcome.agent_name:
            self.agent_name = welcome.agent_name
        self._start_talking(welcome.last_seq, now)
        return Established(resumed, welcome)

    def _take(self, raw: RawEnvelope, now: float) -> list[SessionEvent]:
        self._step(Event.MESSAGE)
        if raw.ack > self._transmitted:
            raise RemoteProtocolError(
                f"ack of message {raw.ack}, which was not sent", code="bad_ack", field="ack", close=True
            )
        self._outbox.acknowledge(raw.ack)
        if raw.seq and not self._inbox.accept(raw.seq):
            return []
        try:
            message = decode_payload(raw, self._incoming)
            if message is not None and isinstance(message, UNNUMBERED) != (raw.seq == 0):
                raise RemoteProtocolError(
                    f"{raw.type} with seq {raw.seq}", code="out_of_place", field="seq", close=True
                )
            if isinstance(message, Hello | Welcome):
                raise RemoteProtocolError(f"a second {raw.type}", code="out_of_place", field="type", close=True)
        except RemoteProtocolError as error:
            self.handled(raw.seq, now)
            return self._refuse(error, raw)
        if isinstance(message, Ack):
            return []
        if message is None or isinstance(message, ErrorMessage):
            self.handled(raw.seq, now)
            if message is None:
                self.unknown_types += 1
                return []
            return [PeerErrorReported(message)]
        return [MessageReceived(raw.seq, message)]

    def handled(self, seq: int, now: float) -> None:
        """The application is done with a message, in any order; the peer will not send it again once the ack is out."""
        self._inbox.finish(seq)
        if self._talking:
            self._acks.owe(self._inbox.handled, now)

    # Sending

    def welcome(self, now: float, hello: Hello, *, resumed: bool) -> None:
        """Hub: answer ``hello``. ``resumed``: it named this session; what it has not handled is sent again.

        Raises LocalProtocolError without a hello that waits, for resuming another session, or for beginning this one twice.
        """
        if resumed != self._begun or (resumed and hello.session_id != self.session_id):
            raise LocalProtocolError("a session begins once and is resumed by its own id")
        self._step(Event.SEND_WELCOME)
        self.alive(now)
        self._begun = True
        welcome = Welcome(
            session_id=self.session_id,
            epoch=self.epoch,
            version=max(set(hello.protocol) & set(PROTOCOL_VERSIONS)),
            last_seq=self._inbox.handled,
            heartbeat_interval_s=self._limits.heartbeat_interval,
            agent_name=self.agent_name,
        )
        self._greeting.append(encode(welcome, 0, 0))
        self._acks.told(self._inbox.handled)
        self._start_talking(hello.last_seq if resumed else 0, now)

    def send(self, message: Message, now: float) -> int:
        """Number a message and keep it until it is acknowledged; its number. Works without a link, too.

        Raises OverloadedError when the outbox is full (wait until ``can_send``), LocalProtocolError for what may not be sent.
        """
        del now
        if type(message) not in self._outgoing or isinstance(message, UNNUMBERED):
            raise LocalProtocolError(f"{message.TYPE} is not sent this way from here")
        payload = encode_payload(message)
        if utf8_size(payload) + ENVELOPE_MAX > self._limits.max_text_bytes:
            raise LocalProtocolError(f"{message.TYPE} is above {self._limits.max_text_bytes} bytes")
        return self._outbox.add((message.TYPE, payload))

    def texts_to_send(self) -> list[str]:
        """What is to go over the link now, in this order. Call after every other method; each text is given out once per link."""
        texts, self._greeting = self._greeting, []
        if not self._talking:
            return texts
        ack = self._inbox.handled
        for seq, (type_name, payload) in self._outbox.replay(self._cursor):
            texts.append(wrap(type_name, seq, ack, payload))
            self._cursor = seq
            self._acks.told(ack)
        self._transmitted = max(self._transmitted, self._cursor)
        if self._acks.due(ack):
            texts.append(encode(Ack(), 0, ack))
            self._acks.told(ack)
        return texts

    # Time

    def deadline(self) -> float | None:
        """When ``tick`` has something to do, unless something happens before."""
        if self.state in (State.GREETING, State.DECIDING):
            return self._up_since + self._limits.handshake_timeout
        if self.state is not State.ESTABLISHED:
            return None
        silence = self._life + self._limits.silence_timeout
        acks = self._acks.deadline
        return silence if acks is None else min(silence, acks)

    def tick(self, now: float) -> list[SessionEvent]:
        """Time has passed: acks that are due are queued, a silent link is given up."""
        if self.state in (State.GREETING, State.DECIDING):
            if now >= self._up_since + self._limits.handshake_timeout:
                self._step(Event.TIMEOUT)
                return [LinkDead(CLOSE_HANDSHAKE, f"no handshake within {self._limits.handshake_timeout:g} s")]
        elif self.state is State.ESTABLISHED:
            if now >= self._life + self._limits.silence_timeout:
                self._step(Event.TIMEOUT)
                return [LinkDead(CLOSE_SILENCE, f"nothing heard for {self._limits.silence_timeout:g} s")]
            self._acks.tick(now)
        return []

    # Helpers

    @property
    def _incoming(self) -> tuple[type[Message], ...]:
        return FROM_HUB if self.side is Side.AGENT else FROM_AGENT

    @property
    def _outgoing(self) -> tuple[type[Message], ...]:
        return FROM_AGENT if self.side is Side.AGENT else FROM_HUB

    def _step(self, event: Event) -> None:
        following = step(self.side, self.state, event)
        if following is None:
            raise LocalProtocolError(f"{event.value} in state {self.state.value}")
        self.state = following

    def _start_talking(self, peer_handled: int, now: float) -> None:
        self._outbox.acknowledge(peer_handled)
        self._cursor = peer_handled
        self._talking = True
        self._acks.owe(self._inbox.handled, now)

    def _refuse(self, error: RemoteProtocolError, raw: RawEnvelope | None) -> list[SessionEvent]:
        self.refusals += 1
        self._link_refusals += 1
        close = error.close or not self._talking or self._link_refusals > REFUSALS_MAX or self._outbox.full
        # An error about an error would go back and forth for ever.
        if self._talking and not self._outbox.full and (raw is None or raw.type != ErrorMessage.TYPE):
            refers_to = raw.seq if raw is not None else None
            reply = ErrorMessage(error.code, error.message, error.field, refers_to)
            self._outbox.add((reply.TYPE, encode_payload(reply)))
        if close:
            self._step(Event.VIOLATION)
        return [Refused(error.code, error.message, error.field, close)]
