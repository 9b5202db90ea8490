"""How the rest of the hub meets a session: by its port, and how a link meets it: by its gate.

``SessionPort`` is what runs and the relay hold: the actor's ref for control, the current link for data. ``LinkGate`` sits on one link and
knows only which session it feeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from fileflux.actors import messages as a
from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.ref import ActorRef
from fileflux.clock import Clock
from fileflux.errors import RemoteProtocolError, UnavailableError
from fileflux.protocol.codec import decode
from fileflux.protocol.limits import KIB, Limits
from fileflux.protocol.link import Buffer, Link
from fileflux.protocol.messages import Hello

if TYPE_CHECKING:
    from fileflux.actors.relay import Relay


PROBE_ECHOES = 1
PROBE_BYTES = 64 * KIB


class SessionPort:
    """What runs and the relay hold of a session. ``link`` is None while the agent is away."""

    def __init__(self, identity: a.AgentIdentity, session_id: str, receive_buffer: int) -> None:
        self.agent_id = identity.agent_id
        self.agent_name = identity.name
        self.token_id = identity.token_id
        self.token_expires_at = identity.token_expires_at
        self.session_id = session_id
        self.receive_buffer = receive_buffer
        self.features: tuple[str, ...] = ()
        """Which of ``messages.FEATURES`` the agent has."""
        self.heard = False
        """A heartbeat came since this was last stored."""
        self.load: float | None = None
        """Of its host, as the last heartbeat said: processes that want a processor, averaged over a minute."""
        self.displaced_by: str | None = None
        """Where the process is that began a session in this one's place."""
        self.link: Link | None = None
        self.link_reason = ""
        self.since: float = 0.0
        self._ref: ActorRef[a.SessionMessage] | None = None

    @property
    def ref(self) -> ActorRef[a.SessionMessage]:
        if self._ref is None:
            raise UnavailableError("the session has not started")
        return self._ref

    def bind(self, ref: ActorRef[a.SessionMessage]) -> None:
        self._ref = ref

    def seconds_left(self, utc_now: Callable[[], datetime]) -> float:
        """Of the time of the token that the agent came in with."""
        return math.inf if self.token_expires_at is None else (self.token_expires_at - utc_now()).total_seconds()

    def post(self, message: a.SessionMessage) -> None:
        """Leave a message; a session that cannot take any more of them is ended, and its transfers start new attempts."""
        if not self.ref.tell(message):
            self.ref.tell_control(a.CloseSession(1013, "too many messages wait for this agent"))


class LinkGate:
    """Listens to one link (LinkHandler). Its calls come from the pump and never block."""

    def __init__(
        self,
        link: Link,
        identity: a.AgentIdentity,
        hub: ActorRef[a.ConnectionHubMessage],
        relay: Relay,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self.link = link
        self.identity = identity
        self.last_life = clock.monotonic()
        self.port: SessionPort | None = None
        self._probing = False
        self._echoes = 0
        self._hub = hub
        self._relay = relay
        self._clock = clock
        self._limits = limits
        self._hello_seen = False
        self._tick_at_first = min(limits.ping_interval, limits.handshake_timeout, limits.silence_timeout) / 4
        self._tick_every = min(limits.ping_interval, limits.silence_timeout) / 4
        self._deadline = runtime.spawn_later(limits.handshake_timeout, self._too_late)
        self._ticking = runtime.call_later(self._tick_at_first, self._tick)

    def on_text(self, text: str) -> None:
        if self.port is not None:
            if not self.port.ref.tell(a.LinkText(self, text)):
                self.link.close(1013, "too many messages: come back later")
        elif self._hello_seen:
            self.link.close(1008, "a message before the welcome")
        elif not self._probing and _is_probe(text, self._limits):
            self._probing = True
        else:
            self._hello_seen = True
            if not self._hub.tell(a.HelloArrived(self, self.identity, text)):
                self.link.close(1013, "the hub is overloaded: come back later")

    def on_binary(self, data: Buffer) -> None:
        port = self.port
        if port is None and self._probing and not self._hello_seen:
            self._echo(data)
            return
        if port is None:
            self.link.close(1008, "data before the welcome")
            return
        if port.link is not self.link:
            # The newest connection wins; what an older one still says does not count.
            return
        try:
            self._relay.receive_binary(port, data)
        except RemoteProtocolError as error:
            port.ref.tell(a.Violation(self, error.code, error.message, error.close))

    def on_life(self) -> None:
        self.last_life = self._clock.monotonic()

    def on_closed(self, code: int, reason: str) -> None:
        self._deadline.cancel()
        self._ticking.cancel()
        if self.port is not None and self.port.displaced_by is not None and self.link.answered:
            self._hub.tell(a.DisplacedLives(self.port, self.link.peer))
        if self.port is not None:
            self.port.ref.tell_control(a.LinkClosed(self, code, reason))

    def _echo(self, data: Buffer) -> None:
        """A probe asks whether binary messages come through in both directions. It takes nothing over."""
        self._echoes += 1
        if self._echoes > PROBE_ECHOES or len(data) > PROBE_BYTES:
            self.link.close(1008, "a probe sends one binary message of at most 64 KiB")
        else:
            self.link.send_binary(data)

    def _tick(self) -> None:
        # In the loop: a greenlet for each, for ten thousand links, took a quarter of the hub's time while nothing happened.
        self._ticking = runtime.call_later(self._tick_every if self.port else self._tick_at_first, self._tick)
        self.link.tick(self._clock.monotonic())

    def _too_late(self) -> None:
        if self.port is None:
            self.link.close(1008, "no hello in time")


def _is_probe(text: str, limits: Limits) -> bool:
    """Whether a first message is a hello that only tries the link out. Anything else is for the ConnectionHub to judge."""
    try:
        message = decode(text, (Hello,), limits).message
    except RemoteProtocolError:
        return False
    return isinstance(message, Hello) and message.probe


class SessionReceipt:
    """Acknowledges one message of one session."""

    def __init__(self, ref: ActorRef[a.SessionMessage], seq: int) -> None:
        self._ref = ref
        self._seq = seq

    def done(self) -> None:
        self._ref.tell_control(a.Handled(self._seq))


class SharedReceipt:
    """Done when each of several items is."""

    def __init__(self, receipt: a.Receipt, count: int) -> None:
        self._receipt = receipt
        self._left = count
        if count == 0:
            receipt.done()

    def done(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._receipt.done()
