"""Keeps the agent's session with its hub alive over one link after the other.

The session (protocol/session.py) knows what has to be said again; this module opens links, feeds it, and waits between tries.
State is touched only inside the process's ``Turns``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import psutil
import structlog

from fileflux.actors.kernel import runtime
from fileflux.clock import Clock
from fileflux.errors import (
    AuthError,
    FluxError,
    LocalProtocolError,
    OverloadedError,
    RemoteProtocolError,
    UnavailableError,
)
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from fileflux.protocol.link import Buffer, Link
from fileflux.protocol.session import (
    Established,
    HelloReceived,
    LinkDead,
    MessageReceived,
    PeerErrorReported,
    Refused,
    Session,
    SessionEvent,
)
from flux_agent.backoff import Backoff
from flux_agent.dialing import Dialer, Dialled
from flux_agent.requests import Requests
from flux_agent.transfer.engine import Engine
from flux_agent.transfer.turns import Turns

log = structlog.get_logger(__name__)

CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_POLICY: Final = 1008
CLOSE_TAKEN_OVER: Final = 4409
ACTIVE_TICK_S: Final = 0.02
"""While files move: syncs are due after 100 ms, progress every second."""
IDLE_TICK_S: Final = 0.25
BACKLOG_MAX: Final = 10_000
"""Answers that wait for room in the outbox; more means a hub that asks and never acknowledges."""


class Connection:
    """One per agent process. ``run`` in a greenlet of its own; ``stop`` from another."""

    def __init__(
        self,
        dialer: Dialer,
        session: Session,
        engine: Engine,
        turns: Turns,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._dialer = dialer
        self._session = session
        self._engine = engine
        self._turns = turns
        self._limits = limits
        self._clock = clock
        self._backoff = Backoff(limits, random.random)
        self._requests: Requests | None = None
        self._link: Link | None = None
        # Links before a move, and silent ones: used for nothing, closed when the hub has said welcome on the new one at the latest, and ticked
        # until they are over.
        self._former: list[Link] = []
        self._looking = False
        self._closed = runtime.Event()
        self._stopping = runtime.Event()
        self._close_code = 0
        self._close_reason = ""
        self._retry_after = 0.0
        self._started = clock.monotonic()
        self._established_at: float | None = None
        self._heartbeat_s = limits.heartbeat_interval
        self._heartbeat_at = float("inf")
        self._backlog: list[m.Message] = []

    def bind(self, requests: Requests) -> None:
        """Once, before ``run``."""
        self._requests = requests
        self._engine.bind(self)

    # Lifecycle

    def run(self) -> None:
        """Connect, stay connected, come back; until ``stop``."""
        ticker = runtime.spawn(self._tick_for_ever, name="agent-ticker")
        try:
            while not self._stopping.is_set():
                self._stopping.wait(self._one_link())
        finally:
            ticker.kill()

    def stop(self) -> None:
        """Close the link in order; ``run`` returns soon after."""
        self._stopping.set()
        self._turns.post(lambda: self._close(CLOSE_GOING_AWAY, "the agent stops"))

    def _one_link(self) -> float:
        """Live through one link; the seconds to wait before the next."""
        try:
            dialled = self._dialer.dial()
        except AuthError as error:
            if error.code == AuthError.code:
                log.warning("hub_refused_token", error=str(error), help="put a new token into the token file")
            return self._backoff.refused()
        except FluxError as error:
            asked = error.retry_after if isinstance(error, UnavailableError) else 0.0
            wait = max(self._backoff.failed(self._clock.monotonic()), asked)
            log.warning("hub_unreachable", error=str(error), next_try_s=round(wait, 1))
            return wait
        self._closed.clear()
        self._turns.post(lambda: self._opened(dialled))
        self._closed.wait()
        return self._after_close()

    def _after_close(self) -> float:
        now = self._clock.monotonic()
        if self._stopping.is_set():
            return 0.0
        if self._close_code == CLOSE_TAKEN_OVER:
            wait = self._backoff.duplicate()
            log.error("duplicate_identity", reason=self._close_reason, next_try_s=wait)
            return wait
        wait = max(self._backoff.failed(now), self._retry_after)
        log.warning("link_lost", code=self._close_code, reason=self._close_reason, next_try_s=round(wait, 1))
        return wait

    # Uplink of the engine

    def has_room(self) -> bool:
        return self._session.can_send and not self._backlog

    def is_calm(self) -> bool:
        """Whether there is room for what may as well wait, beside all that a transfer says."""
        return (
            not self._backlog and self._session.can_send and self._session.unacknowledged < self._limits.outbox_max // 4
        )

    def send(self, message: m.Message) -> None:
        """Number and send a message; it is kept and sent again until the hub has handled it."""
        if self._backlog or not self._session.can_send:
            if len(self._backlog) >= BACKLOG_MAX:
                raise OverloadedError("the hub does not acknowledge what this agent says")
            self._backlog.append(message)
            return
        self._session.send(message, self._clock.monotonic())
        self._write()

    def violated(self, error: RemoteProtocolError) -> None:
        log.warning("hub_broke_protocol", code=error.code, error=str(error), field=error.field)
        if error.close:
            self._close(CLOSE_POLICY, error.code)
        else:
            self.send(m.ErrorMessage(error.code, str(error)[:1000], error.field))

    # Turns

    def _opened(self, dialled: Dialled, *, switch: bool = False) -> None:
        link = self._link = dialled.link
        self._close_code, self._close_reason, self._retry_after = 0, "", 0.0
        self._session.link_up(self._clock.monotonic(), switch=switch, reason=dialled.reason)
        link.start(_Handler(self, link, self._turns))
        self._write()
        if self._stopping.is_set():
            self._close(CLOSE_GOING_AWAY, "the agent stops")

    def _look_for_better(self) -> None:
        """In a greenlet of its own."""
        better = self._dialer.dial_better()
        self._turns.post(lambda: self._move(better))

    def _move(self, better: Dialled | None) -> None:
        self._looking = False
        if better is None:
            return
        if self._link is None or self._established_at is None or self._stopping.is_set():
            better.link.close(CLOSE_NORMAL, "not needed any more")
            return
        log.info("moving", reason="a better link is open")
        self._former.append(self._link)
        self._unlink()
        self._opened(better, switch=True)

    def _unlink(self) -> None:
        self._link = None
        self._established_at = None
        self._heartbeat_at = float("inf")
        self._session.link_down()
        self._engine.link_down()

    def _give_up(self, event: LinkDead) -> None:
        """Nothing comes from the peer: whether it answers the farewell is not waited for."""
        link = self._link
        if link is not None:
            link.close(event.code, event.reason)
            self._former.append(link)
            self.on_closed(link, event.code, event.reason)

    def _retire_former(self) -> None:
        for former in self._former:
            former.close(CLOSE_NORMAL, "moved to another link")

    def on_text(self, link: Link, text: str) -> None:
        """A text message of ``link``; what an older link still delivers is dropped."""
        if link is self._link:
            self._handle(self._session.receive_text(text, self._clock.monotonic()))
            self._engine.flush()

    def on_binary(self, link: Link, data: Buffer) -> None:
        """A binary message of ``link``."""
        if link is self._link and self._established_at is not None:
            self._session.alive(self._clock.monotonic())
            self._engine.binary(data)

    def on_life(self, link: Link) -> None:
        """Bytes came in over ``link``."""
        if link is self._link:
            self._session.alive(self._clock.monotonic())

    def on_closed(self, link: Link, code: int, reason: str) -> None:
        """``link`` is gone."""
        if link is not self._link:
            self._former = [former for former in self._former if former is not link]
            return
        lived = None if self._established_at is None else self._clock.monotonic() - self._established_at
        self._dialer.ended(link, code, lived)
        self._close_code, self._close_reason = code, reason
        self._unlink()
        self._retire_former()
        self._closed.set()

    def _handle(self, events: Sequence[SessionEvent]) -> None:
        for event in events:
            match event:
                case Established():
                    self._established(event)
                case MessageReceived():
                    self._message(event.message)
                    self._session.handled(event.seq, self._clock.monotonic())
                case LinkDead():
                    self._give_up(event)
                case PeerErrorReported():
                    log.warning(
                        "hub_reported_error", code=event.error.code, error=event.error.message, field=event.error.field
                    )
                case Refused():
                    log.warning("hub_broke_protocol", code=event.code, error=event.message, field=event.field)
                    if event.close:
                        self._write()
                        self._close(CLOSE_POLICY, event.code)
                case HelloReceived():
                    raise LocalProtocolError("an agent's session never receives hello")
        self._drain_backlog()
        self._write()

    def _established(self, event: Established) -> None:
        now = self._clock.monotonic()
        self._established_at = now
        self._retire_former()
        self._backoff.connected()
        if event.welcome is not None and event.welcome.heartbeat_interval_s > 0:
            self._heartbeat_s = event.welcome.heartbeat_interval_s
        self._heartbeat_at = now + self._heartbeat_s
        if self._link is not None:
            log.info("connected", peer=self._link.peer, transport=self._link.transport, resumed=event.resumed)
        if not event.resumed:
            self._backlog.clear()
            self._engine.reset()
            if self._requests is not None:
                self._requests.reset()
                self._requests.tell_about_us()
        if self._link is not None:
            self._engine.link_up(self._link)

    def _message(self, message: m.Message) -> None:
        try:
            match message:
                case m.Goodbye():
                    self._retry_after = message.retry_after_s
                    log.info("hub_says_goodbye", code=message.code, reason=message.message)
                case m.LimitsUpdate():
                    if message.pause is not None:
                        self._engine.pause(paused=message.pause)
                case m.HeartbeatAck():
                    pass
                case _:
                    if not self._engine.handle(message) and not (self._requests and self._requests.handle(message)):
                        log.warning("message_ignored", type=message.TYPE)
        except RemoteProtocolError as error:
            self.violated(error)

    def _tick_for_ever(self) -> None:
        while True:
            runtime.sleep(ACTIVE_TICK_S if self._engine.active else IDLE_TICK_S)
            self._turns.post(self._tick)

    def _tick(self) -> None:
        now = self._clock.monotonic()
        self._engine.tick(now)
        for former in self._former:
            former.tick(now)
        link = self._link
        if link is None:
            return
        link.tick(now)
        self._handle(self._session.tick(now))
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + self._heartbeat_s
            self.send(m.Heartbeat(now - self._started, self._engine.active, _load()))
        if self._established_at is None:
            return
        if now - self._established_at > self._limits.duplicate_wait:
            self._backoff.settled()
        if not self._looking and self._dialer.better_due(now):
            self._looking = True
            runtime.spawn(self._look_for_better, name="look-for-better")

    def _drain_backlog(self) -> None:
        while self._backlog and self._session.can_send:
            self._session.send(self._backlog.pop(0), self._clock.monotonic())

    def _write(self) -> None:
        if self._link is not None:
            for text in self._session.texts_to_send():
                self._link.send_text(text)

    def _close(self, code: int, reason: str) -> None:
        if self._link is not None:
            self._link.close(code, reason)


class _Handler:
    """Brings what one link says into turns."""

    def __init__(self, connection: Connection, link: Link, turns: Turns) -> None:
        self._connection = connection
        self._link = link
        self._turns = turns

    def on_text(self, text: str) -> None:
        self._turns.post(lambda: self._connection.on_text(self._link, text))

    def on_binary(self, data: Buffer) -> None:
        self._turns.post(lambda: self._connection.on_binary(self._link, data))

    def on_life(self) -> None:
        self._turns.post(lambda: self._connection.on_life(self._link))

    def on_closed(self, code: int, reason: str) -> None:
        self._turns.post(lambda: self._connection.on_closed(self._link, code, reason))


def _load() -> float:
    try:
        return psutil.getloadavg()[0]
    except OSError:
        return 0.0
