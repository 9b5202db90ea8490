"""The ring of the live feed, and the places in it.

One ring holds the newest events, and a listener is a number and a flag. Who has fallen off the ring, or stood in another life of the feed, is told
``reset`` once.
"""

from __future__ import annotations

import itertools
import json
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from fileflux.actors.kernel import runtime
from fileflux.protocol.limits import KIB, MIB

EventType = Literal["agent", "run", "transfer", "job", "alert", "reset"]

RING_EVENTS: Final = 5000
RING_BYTES: Final = 8 * MIB
"""At the most that a tick can make, a listener has over ten seconds to come back."""
TAKE_BYTES: Final = 48 * KIB
"""What a listener gets at once: it goes out in one write, under one deadline."""


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """``id`` is where a listener stands that has got this event."""

    seq: int
    id: str
    type: EventType
    run_id: int | None
    data: str


class Source(Protocol):
    """What listeners need of the feed."""

    ring: Ring
    ended: bool

    def left(self, listener: Listener) -> None: ...


class Listener:
    """A place in the feed. Made by ``Feed.listen``; ``take`` and ``wait`` in turn, and ``close`` at the end."""

    __slots__ = ("_boot", "_changed", "_closed", "_feed", "_run_id", "_seq", "types")

    def __init__(self, feed: Source, boot: str, seq: int, run_id: int | None) -> None:
        self.types: frozenset[str] | None = None
        """Only events of these types, besides ``reset``; None: of all."""
        self._feed = feed
        self._boot = boot
        self._seq = seq
        self._run_id = run_id
        self._changed = runtime.Event()
        self._closed = False

    @property
    def position(self) -> str:
        """To be given to ``Feed.listen`` later."""
        return f"{self._boot}-{self._seq}"

    @property
    def ended(self) -> bool:
        """Closed, by its owner or because the hub stops: there will be no more events."""
        return self._closed or self._feed.ended

    def take(self) -> list[FeedEvent]:
        """The next events, about TAKE_BYTES at most; none when nothing is new. The first is ``reset`` when some were missed."""
        ring = self._feed.ring
        self._changed.clear()
        if self._boot != ring.boot or not ring.first_seq - 1 <= self._seq <= ring.last_seq:
            self._boot, self._seq = ring.boot, ring.last_seq
            reason = "what you saw last is not known any more: read the state anew"
            return [FeedEvent(self._seq, self.position, "reset", None, json.dumps({"reason": reason}))]
        taken, size = [], 0
        for event in ring.after(self._seq):
            self._seq = event.seq
            if event.type == "reset" or self._wants(event):
                taken.append(event)
                size += len(event.data)
                if size >= TAKE_BYTES:
                    break
        return taken

    def wait(self, timeout: float) -> None:
        """Return when ``take`` may have something, when this has ended, or after ``timeout`` seconds."""
        if not self.ended and timeout > 0:
            self._changed.wait(timeout)

    def wake(self) -> None:
        """For the feed: look again."""
        self._changed.set()

    def close(self) -> None:
        """Get no more events; who waits wakes up. Repeating it does nothing."""
        self._closed = True
        self._feed.left(self)
        self._changed.set()

    def _wants(self, event: FeedEvent) -> bool:
        if self._run_id is not None and event.run_id != self._run_id:
            return False
        return self.types is None or event.type in self.types


class Ring:
    """The newest events. ``boot`` tells one life of the feed from another."""

    def __init__(self) -> None:
        self._events: deque[FeedEvent] = deque()
        self._bytes = 0
        self.boot = secrets.token_hex(4)
        self.last_seq = 0

    @property
    def first_seq(self) -> int:
        """Of the oldest event that is still here; one more than ``last_seq`` when there is none."""
        return self.last_seq - len(self._events) + 1

    def append(self, type: EventType, run_id: int | None, data: str) -> None:  # noqa: A002  # the feed's word
        self.last_seq += 1
        self._events.append(FeedEvent(self.last_seq, f"{self.boot}-{self.last_seq}", type, run_id, data))
        self._bytes += len(data)
        while len(self._events) > RING_EVENTS or self._bytes > RING_BYTES:
            self._bytes -= len(self._events.popleft().data)

    def after(self, seq: int) -> Iterable[FeedEvent]:
        """Those behind ``seq``, oldest first; ``seq`` is not older than the ring."""
        # A deque is quick at its ends, and most listeners are at the newest one.
        return reversed(tuple(itertools.islice(reversed(self._events), self.last_seq - seq)))
