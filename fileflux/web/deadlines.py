"""Every wait of the HTTP server for a peer ends, and nobody holds more than a share of its connections before the first request.

gunicorn's async worker has one time-out, for all of "the next request": too long for a head that trickles in, and none for bodies and
answers. Here each phase of a connection has its own, on the socket itself, so that the parser and the routes need not know:

- head: ``handshake_timeout`` from the first byte (of a new connection: from accept), and at most ``HEAD_MAX`` bytes: the parser looks
  through all of it again after each read, so more would cost the loop and not only memory;
- between two requests: ``keep_alive_timeout``;
- body: never ``handshake_timeout`` without a byte, and ``BODY_RATE`` on average over ``body_rate_window`` of waiting. Time in which the
  route is busy does not count against the peer;
- answer: each ``SEND_PART`` taken within ``silence_timeout``.

Waiting costs one timer that is armed when the wait begins; nothing wakes up in between. A peer whose bytes are always there, one at a
time, is not waited for at all and would have the loop for itself: after ``READS_IN_A_ROW`` others have their turn.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from gunicorn.http.errors import LimitRequestHeaders, ParseException

from fileflux.clock import Clock
from fileflux.protocol.limits import KIB, MIB, Limits

HEAD_MAX: Final = 64 * KIB
BODY_RATE: Final = 1 * KIB
"""Bytes a second."""
SEND_PART: Final = 64 * KIB
READS_IN_A_ROW: Final = 16
LINGER_BYTES: Final = 4 * MIB
LINGER_S: Final = 2.0
_SHORTEST: Final = 0.001
"""Of a wait: a time-out of 0 would mean not to wait at all."""


class TooSlowError(ParseException):  # type: ignore[misc]  # gunicorn has no types
    """The peer's request does not come in time."""


class Connection(Protocol):
    """A connected socket in blocking style, with or without TLS."""

    def recv(self, size: int, /) -> bytes: ...
    def sendall(self, data: memoryview, /) -> None: ...
    def settimeout(self, value: float, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...


class Pending:
    """Connections, by address, that have not finished their first request's head (or TLS before it)."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, int] = {}

    def enter(self, address: str) -> Place | None:
        """A place for one more, or None: this address has its share. Give the place back when the head is there or the connection ends."""
        key = _group(address)
        count = self._counts.get(key, 0)
        if count >= self._most:
            return None
        self._counts[key] = count + 1
        return Place(self, key)

    def leave(self, key: str) -> None:
        """For ``Place`` alone."""
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]

    def __len__(self) -> int:
        return sum(self._counts.values())


class Place:
    """One pending connection's."""

    __slots__ = ("_held", "_key", "_pending")

    def __init__(self, pending: Pending, key: str) -> None:
        self._pending = pending
        self._key = key
        self._held = True

    def give_back(self) -> None:
        """Any number of times."""
        if self._held:
            self._held = False
            self._pending.leave(self._key)


def _group(address: str) -> str:
    """Who counts as one: an IPv4 address, or the /64 that a host of IPv6 chooses its addresses from."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


class TimedSocket:
    """What gunicorn reads from and answers to in place of ``connection``, whose other methods it passes on.

    Waits for a head from the start. Call ``head_ended`` when the request is there and ``answered`` before waiting for the next one.
    """

    __slots__ = (
        "_body",
        "_clock",
        "_deadline",
        "_give_way",
        "_hung_up",
        "_kept_alive",
        "_limits",
        "_place",
        "_reads",
        "_received",
        "_waited",
        "connection",
    )

    def __init__(
        self,
        connection: Connection,
        limits: Limits,
        clock: Clock,
        give_way: Callable[[], None],
        place: Place | None = None,
    ) -> None:
        self.connection = connection
        self._give_way = give_way
        self._limits = limits
        self._clock = clock
        self._place = place
        self._body = False
        self._kept_alive = False
        self._hung_up = False
        self._deadline = clock.monotonic() + limits.handshake_timeout
        # Of the head or, in a body, of this window.
        self._received = 0
        self._waited = 0.0
        self._reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def head_ended(self) -> None:
        """What is read from now on is the request's body."""
        if self._place is not None:
            self._place.give_back()
        self._body = True
        self._received, self._waited = 0, 0.0

    def answered(self) -> None:
        """What is read from now on is the head of another request."""
        self._body = False
        self._kept_alive = True
        self._received = 0
        self._deadline = self._clock.monotonic() + self._limits.keep_alive_timeout

    @property
    def idle(self) -> bool:
        """No request is under way."""
        return not self._body and not self._received

    def hang_up(self) -> None:
        """End the wait for another request."""
        self._hung_up = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def taken(self) -> Connection:
        """The connection itself, for a route that speaks to the peer on its own; with the time-out of an answer."""
        self.connection.settimeout(self._limits.silence_timeout)
        return self.connection

    def recv(self, size: int) -> bytes:
        """As a socket's. Raises TooSlowError (408) for a peer that is too slow, LimitRequestHeaders for a head without an end."""
        return self._recv_body(size) if self._body else self._recv_head(size)

    def _recv_head(self, size: int) -> bytes:
        if self._received > HEAD_MAX:
            raise LimitRequestHeaders("the request's head is too long")
        data = self._wait(size, self._deadline - self._clock.monotonic())
        if data is None:
            if self._received:
                raise TooSlowError
            # Nobody has asked for anything.
            return b""
        if self._kept_alive and not self._received:
            self._deadline = self._clock.monotonic() + self._limits.handshake_timeout
        self._received += len(data)
        return data

    def _recv_body(self, size: int) -> bytes:
        window = self._limits.body_rate_window
        since = self._clock.monotonic()
        data = self._wait(size, self._limits.handshake_timeout)
        if data is None:
            raise TooSlowError
        self._received += len(data)
        self._waited += self._clock.monotonic() - since
        if self._waited >= window:
            if self._received < BODY_RATE * window:
                raise TooSlowError
            self._received, self._waited = 0, 0.0
        return data

    def _wait(self, size: int, seconds: float) -> bytes | None:
        """Bytes, none at the end, None when the time is over."""
        if seconds <= 0:
            return None
        self._reads += 1
        if self._reads % READS_IN_A_ROW == 0:
            self._give_way()
        self.connection.settimeout(max(seconds, _SHORTEST))
        try:
            return self.connection.recv(size)
        except TimeoutError:
            return None
        except OSError:
            # gevent ends a wait that somebody else cut short with an error of its own.
            if self._hung_up:
                return b""
            raise

    def send(self, data: bytes) -> int:
        self.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        """As a socket's. Raises BrokenPipeError for a peer that takes nothing: for gunicorn, one that is gone."""
        view = memoryview(data)
        try:
            for at in range(0, len(view), SEND_PART):
                self.connection.settimeout(self._limits.silence_timeout)
                self.connection.sendall(view[at : at + SEND_PART])
        except TimeoutError:
            raise BrokenPipeError(errno.EPIPE, "the peer takes no bytes") from None

    def linger(self) -> None:
        """Nothing more will be said: let the answer arrive before closing, since closing over unread bytes destroys it (RFC 9112 §9.6)."""
        deadline, dropped = self._clock.monotonic() + LINGER_S, 0
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while dropped < LINGER_BYTES and (data := self._wait(16 * KIB, deadline - self._clock.monotonic())):
                dropped += len(data)
