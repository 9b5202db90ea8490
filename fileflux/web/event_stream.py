"""The live feed on its way to one client: how it is framed, how long it lasts, and how many there may be.

A client costs a greenlet that waits, and no queue: what it does not take in time stays in the feed's ring or falls off it. Whoever takes no
bytes at all is dropped by the socket's own deadline. Rights are looked at again with every heartbeat, so that a logout, a new role or a
token's end reach a feed that is open.
"""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from fileflux.actors.feed_ring import FeedEvent, Listener
from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.descriptors import peer_has_ended
from fileflux.clock import Clock
from fileflux.errors import AuthError, ForbiddenError, UnavailableError
from fileflux.protocol.limits import KIB, Limits
from fileflux.web.problems import ThrottledError

RETRY_MS: Final = 2000
"""How long a browser waits before it connects again."""
UNSENT_BYTES: Final = 64 * KIB
"""What the system holds for one client ahead of its network."""
SEND_PART: Final = 16 * KIB
"""So much within ``silence_timeout``."""
SAID_MAX: Final = 16 * KIB
"""What a client may say on a socket of the feed between two heartbeats; nothing of it matters."""

Rights = Callable[[], frozenset[str]]
"""The types of events that the client may see at this moment. Raises AuthError or ForbiddenError when the feed is not open to it any more."""


class Clients:
    """Open feeds, so many for each user and in all."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places: set[Place] = set()
        self._by_user: Counter[int] = Counter()

    def enter(self, user_id: int, connection: Any) -> Place:
        """A place for one more; ``leave`` it at the end. Raises ThrottledError: there are too many, and all of them are live."""
        if self._full(user_id):
            # A tab that was closed is noticed when something is sent to it; here is a reason to look.
            for place in tuple(self._places):
                if place.hung_up:
                    place.leave()
            if self._full(user_id):
                raise ThrottledError("too many open feeds; close some tabs or scripts", self._limits.feed_heartbeat)
        place = Place(self, user_id, connection)
        self._places.add(place)
        self._by_user[user_id] += 1
        return place

    def left(self, place: Place) -> None:
        """For places."""
        if place in self._places:
            self._places.discard(place)
            self._by_user[place.user_id] -= 1
            if not self._by_user[place.user_id]:
                del self._by_user[place.user_id]

    def __len__(self) -> int:
        return len(self._places)

    def _full(self, user_id: int) -> bool:
        return self._by_user[user_id] >= self._limits.feeds_per_user or len(self._places) >= self._limits.feeds_max


class Place:
    """One open feed's."""

    __slots__ = ("_clients", "_connection", "_listener", "user_id")

    def __init__(self, clients: Clients, user_id: int, connection: Any) -> None:
        self.user_id = user_id
        self._clients = clients
        self._connection = connection
        self._listener: Listener | None = None

    def takes(self, listener: Listener) -> Listener:
        """``listener`` lives as long as this place."""
        self._listener = listener
        return listener

    @property
    def hung_up(self) -> bool:
        """The peer has closed the connection. Over TLS its goodbye stands unread, since nobody reads from a feed."""
        return self._connection is not None and peer_has_ended(self._connection)

    def leave(self) -> None:
        """Any number of times."""
        self._clients.left(self)
        if self._listener is not None:
            self._listener.close()


def follow(listener: Listener, rights: Rights, clock: Clock, heartbeat: float) -> Iterator[list[FeedEvent]]:
    """Events as they come, and an empty list every ``heartbeat`` seconds; ends with the listener or with the client's rights."""
    return _batches(listener, rights, clock, heartbeat, clock.monotonic() + heartbeat)


def _batches(
    listener: Listener, rights: Rights, clock: Clock, heartbeat: float, due: float
) -> Iterator[list[FeedEvent]]:
    while not listener.ended:
        events = listener.take()
        if events:
            yield events
        now = clock.monotonic()
        if now >= due:
            due = now + heartbeat
            # Without the database nothing can be shown that somebody must not see.
            with suppress(UnavailableError):
                try:
                    listener.types = rights()
                except (AuthError, ForbiddenError):
                    return
            yield []
        elif not events:
            listener.wait(due - now)


def server_sent(position: str, batches: Iterable[Sequence[FeedEvent]]) -> Iterator[bytes]:
    """As server-sent events (text/event-stream)."""
    yield f"retry: {RETRY_MS}\nid: {position}\n\n".encode()
    for batch in batches:
        shown = [f"id: {event.id}\nevent: {event.type}\ndata: {event.data}\n\n" for event in batch]
        yield "".join(shown).encode() or b":\n\n"


def as_text(event: FeedEvent) -> str:
    """As one text message of the WebSocket."""
    return f'{{"id":{json.dumps(event.id)},"type":"{event.type}","data":{event.data}}}'


class FeedSocket:
    """A connection as simple-websocket needs it: what is sent goes out whole, one at a time and under a deadline, and what comes in is bounded.

    A peer that takes no bytes, says too much or is gone has its connection ended, and ``ended`` is called, here as after ``close``.
    """

    def __init__(self, connection: Any, unread: bytes, limits: Limits, ended: Callable[[], None]) -> None:
        self._connection = connection
        self._unread = unread
        self._limits = limits
        self._ended = ended
        self._sending = runtime.Lock()
        self._may_say = SAID_MAX

    def heard(self) -> None:
        """The peer may say as much as at first."""
        self._may_say = SAID_MAX

    def recv(self, size: int) -> bytes:
        data, self._unread = self._unread[:size], self._unread[size:]
        if not data:
            # What a silent peer is, the heartbeats find out.
            self._connection.settimeout(None)
            data = self._connection.recv(size)
        self._may_say -= len(data)
        if self._may_say < 0:
            self._end()
            raise ConnectionAbortedError("the client says too much")
        return data

    def send(self, data: bytes) -> int:
        view = memoryview(data)
        try:
            with self._sending:
                for at in range(0, len(view), SEND_PART):
                    self._connection.settimeout(self._limits.silence_timeout)
                    self._connection.sendall(view[at : at + SEND_PART])
        except OSError:
            self._end()
        return len(data)

    def close(self) -> None:
        """For simple-websocket's reader, at its end; the HTTP server closes the connection."""
        self._ended()

    def _end(self) -> None:
        self._ended()
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
