"""The event bus inside one hub: publishers never wait, subscribers have bounded queues."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Literal, Self

from fileflux.bus.events import Event
from fileflux.errors import LocalProtocolError, UnavailableError

Overflow = Literal["drop_oldest", "merge"]
"""``merge``: the events that wait stand for those that follow, so none is lost; for who only wants to be woken."""


class Subscription:
    """One subscriber's queue. Made by ``Bus.subscribe``; call ``close`` at the end, or use it as a context manager."""

    def __init__(self, bus: Bus, types: frozenset[type[Event]], size: int, on_overflow: Overflow) -> None:
        self.types = types
        self._bus = bus
        self._size = size
        self._on_overflow: Overflow = on_overflow
        self._events: deque[Event] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._closed = False
        self._dropped = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def dropped(self) -> int:
        """Events lost because the queue was full: a subscriber that shows state must read it anew when this grows."""
        return self._dropped

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event in the order of publishing, waiting for it; None when the time runs out.

        Raises UnavailableError once the subscription is closed and its queue is empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._closed, timeout)
            if self._events:
                return self._events.popleft()
            if self._closed:
                raise UnavailableError("the subscription is closed")
            return None

    def take_all(self) -> list[Event]:
        """Every event that waits, in the order of publishing, without waiting: for who looks from time to time."""
        with self._changed:
            events, self._events = list(self._events), deque()
            return events

    def close(self) -> None:
        """Get no more events; who waits in ``get`` wakes up. Repeating it does nothing."""
        self._bus.remove(self)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def deliver(self, event: Event) -> None:
        """For the bus."""
        with self._changed:
            if self._closed:
                return
            if len(self._events) >= self._size:
                if self._on_overflow == "merge":
                    return
                self._dropped += 1
                self._events.popleft()
            self._events.append(event)
            self._changed.notify()


class Bus:
    """Publish and subscribe by the event's class."""

    def __init__(self) -> None:
        # Replaced as a whole at every change, so that publishing needs no lock.
        self._by_type: dict[type[Event], tuple[Subscription, ...]] = {}
        self._change = threading.Lock()
        self._dropped_before = 0

    @property
    def dropped(self) -> int:
        """Events lost by all subscriptions there are and were."""
        live = {id(one): one for subscribers in self._by_type.values() for one in subscribers}
        return self._dropped_before + sum(one.dropped for one in live.values())

    def publish(self, event: Event) -> None:
        """Hand ``event`` to every subscriber of its class. Never waits; a full queue loses an event and counts it, unless it merges."""
        for subscription in self._by_type.get(type(event), ()):
            subscription.deliver(event)

    def subscribe(self, types: Iterable[type[Event]], size: int, on_overflow: Overflow = "drop_oldest") -> Subscription:
        """Events of these classes from now on, at most ``size`` waiting. Then call ``Subscription.get`` again and again."""
        if size < 1:
            raise LocalProtocolError("a subscription needs room for at least one event")
        subscription = Subscription(self, frozenset(types), size, on_overflow)
        with self._change:
            by_type = dict(self._by_type)
            for kind in subscription.types:
                by_type[kind] = (*by_type.get(kind, ()), subscription)
            self._by_type = by_type
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """For subscriptions: it was closed."""
        with self._change:
            by_type = dict(self._by_type)
            if any(subscription in by_type.get(kind, ()) for kind in subscription.types):
                self._dropped_before += subscription.dropped
            for kind in subscription.types:
                left = tuple(one for one in by_type.get(kind, ()) if one is not subscription)
                if left:
                    by_type[kind] = left
                else:
                    by_type.pop(kind, None)
            self._by_type = by_type
