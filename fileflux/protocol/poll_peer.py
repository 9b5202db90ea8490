"""The hub's end of one long-polling link: which polls wait for an answer, which answers may be asked for again, which slices came.

Sans-I/O: a request is handed in, its answer comes through a ``Waiter``, at once or later (docs/protocol.md, Long-polling).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from fileflux.clock import Clock
from fileflux.errors import RemoteProtocolError
from fileflux.protocol.limits import Limits
from fileflux.protocol.polling import PollingLink


class Waiter(Protocol):
    """One waiting poll. Exactly one of the two is called, once."""

    def answer(self, body: bytes) -> None:
        """The slice that answers it; empty: nothing to say."""

    def dismiss(self) -> None:
        """The same poll came again over another connection, or the link is over: nobody reads this one."""


class Alarm(Protocol):
    """A call that is due later."""

    def cancel(self) -> None: ...


@dataclass(slots=True)
class _Waiting:
    waiter: Waiter
    alarm: Alarm


@dataclass(slots=True)
class _Parts:
    """A slice that came in several requests, because something in between takes no larger bodies."""

    total: int
    data: bytearray


READERS_MAX: Final = 2
"""Connections over which one slice may be read at once: the agent has given one up that the hub still believes in."""


class Shared:
    """What all links of one hub hold together of slices that are not due, or read twice. Bounded by ``slice_reorder_budget``.

    The due slice of a link always has room, so that nothing can wait for ever: one for each agent.
    """

    def __init__(self, limits: Limits) -> None:
        self._budget = limits.slice_reorder_budget
        self.held = 0
        self.reading = 0

    def room(self, length: int) -> bool:
        return self.held + self.reading + length <= self._budget


class PollPeer:
    """``soon(call)`` runs a callable a little later, outside of the link's own calls; ``later(seconds, call)`` after that time.

    ``ended(code, reason)`` is called when the link is over.
    """

    def __init__(
        self,
        peer: str,
        shared: Shared,
        limits: Limits,
        clock: Clock,
        soon: Callable[[Callable[[], object]], object],
        later: Callable[[float, Callable[[], object]], Alarm],
        ended: Callable[[int, str], object],
    ) -> None:
        self._shared = shared
        self._limits = limits
        self._clock = clock
        self._soon = soon
        self._later = later
        self._ended = ended
        self._serving = False
        self._waiting: dict[int, _Waiting] = {}
        self._answered: dict[int, bytes] = {}
        self._next = 1
        self._acknowledged = 0
        self._parts: dict[int, _Parts] = {}
        self._held = 0
        self._readers: Counter[int] = Counter()
        self.moved_at = float("-inf")
        """When a poll was last answered with something."""
        self.link = PollingLink(limits, clock, peer=peer, held=True, wake=self._wake)

    # Down

    def poll(self, number: int, acknowledged: int | None, hold: float, waiter: Waiter) -> None:
        """A poll. ``acknowledged``: the agent has the answers up to this one; None: those up to ``polls_max`` before it.

        Raises RemoteProtocolError for numbers that cannot be. ``waiter`` is answered at once if there is something to say.
        """
        self.link.alive()
        most = self._limits.polls_max
        seen = number - most if acknowledged is None else acknowledged
        if not (0 < number <= self._acknowledged + 2 * most and seen < number and seen < self._next):
            raise RemoteProtocolError(f"poll {number} that knows {seen}", code="sequence", field="X-FileFlux-Seq")
        self._acknowledge(seen)
        if number in self._answered:
            waiter.answer(self._answered[number])
            return
        if number <= self._acknowledged:
            raise RemoteProtocolError(f"poll {number} was answered", code="sequence", field="X-FileFlux-Seq")
        if (older := self._waiting.pop(number, None)) is not None:
            older.alarm.cancel()
            older.waiter.dismiss()
        hold = min(hold, self._limits.poll_timeout)
        self._waiting[number] = _Waiting(waiter, self._later(hold, lambda: self._waited(number, waiter)))
        self._serve()

    def forget(self, waiter: Waiter) -> None:
        """The connection of a waiting poll is gone; the agent will ask again."""
        for number, entry in tuple(self._waiting.items()):
            if entry.waiter is waiter:
                entry.alarm.cancel()
                del self._waiting[number]

    # Up

    def refuses(self, number: int, offset: int, length: int, total: int) -> str | None:
        """Why this part of slice ``number`` cannot be taken now, before its bytes are read; None: read them and call ``take``.

        ``too_large`` and ``overloaded`` (come again a little later). Raises RemoteProtocolError for what cannot be.
        """
        if not 0 <= offset <= offset + length <= total or (length == 0 and total):
            raise RemoteProtocolError(f"bytes {offset} to {offset + length} of {total}", code="bad_slice")
        if total > self._limits.slice_max:
            return "too_large"
        self.link.check(number)
        crowded = self._readers[number] >= READERS_MAX or self._readers.total() >= 2 * self._limits.slices_in_flight
        if crowded or not (self._first(number) or self._shared.room(length)):
            return "overloaded"
        return None

    @contextmanager
    def reading(self, number: int, length: int) -> Iterator[None]:
        """While the bytes of a part that is not refused are read."""
        counted = 0 if self._first(number) else length
        self._readers[number] += 1
        self._shared.reading += counted
        try:
            yield
        finally:
            self._shared.reading -= counted
            self._readers[number] -= 1
            if self._readers[number] <= 0:
                del self._readers[number]

    def _first(self, number: int) -> bool:
        """It is due, or was here before, and nobody reads it."""
        return not self._readers[number] and (number == self.link.due or self.link.known(number))

    def take(self, number: int, offset: int, total: int, data: bytes) -> None:
        """A part of a slice. Call ``link.deliver`` next, until it says False. What is known already changes nothing."""
        self.link.alive()
        if self.link.ended is not None or self.link.known(number):
            return
        if len(data) < total:
            whole = self._assemble(number, offset, total, data)
            if whole is None:
                self._count_held()
                return
            data = whole
        self._parts.pop(number, None)
        self.link.take_in(number, data)
        self._count_held()

    def _assemble(self, number: int, offset: int, total: int, data: bytes) -> bytes | None:
        parts = self._parts.get(number, _Parts(total, bytearray()))
        if parts.total != total or offset > len(parts.data):
            raise RemoteProtocolError(f"slice {number}: a part is missing", code="bad_slice")
        parts.data += data[len(parts.data) - offset :]
        if len(parts.data) < total:
            self._parts[number] = parts
            return None
        return bytes(parts.data)

    # Helpers

    def _acknowledge(self, through: int) -> None:
        if through <= self._acknowledged:
            return
        self._acknowledged = through
        for number in [number for number in self._answered if number <= through]:
            del self._answered[number]
            self.link.arrived(number)

    def _wake(self) -> None:
        if not self._serving:
            # Many messages of one moment share a slice.
            self._serving = True
            self._soon(self._serve)

    def _serve(self) -> None:
        self._serving = False
        if self.link.ended is not None:
            self._dismiss_all()
            self._ended(*self.link.ended)
            return
        while (number := self._next) in self._waiting:
            body = self.link.next_slice(number)
            if body is None:
                return
            self.moved_at = self._clock.monotonic()
            self._answer(number, body)
            self.link.said_farewell(number)

    def _waited(self, number: int, waiter: Waiter) -> None:
        entry = self._waiting.get(number)
        if entry is not None and entry.waiter is waiter:
            self._answer(number, b"")

    def _answer(self, number: int, body: bytes) -> None:
        self._answered[number] = body
        entry = self._waiting.pop(number)
        entry.alarm.cancel()
        while self._next in self._answered:
            self._next += 1
        entry.waiter.answer(body)

    def _dismiss_all(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for entry in waiting.values():
            entry.alarm.cancel()
            entry.waiter.dismiss()
        self._parts.clear()
        self._count_held()

    def _count_held(self) -> None:
        held = self.link.held_bytes + sum(len(parts.data) for parts in self._parts.values())
        self._shared.held += held - self._held
        self._held = held
