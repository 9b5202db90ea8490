"""One fair pump for all data sockets of a process.

A greenlet per socket does not share the loop fairly: gevent runs dozens of ready greenlets before it looks at clock and sockets again, and
with 8 MiB messages fifty busy sockets make a timer 350 ms late. Here sockets that are ready queue up in one FIFO. Each has one bounded
turn (about 1 MiB); after a millisecond of turns the pump gives way to the whole loop. The watchers of a socket are armed for one event and
armed again after its turn, so a socket is in the queue at most once for each direction. What has something to send for the first time is
queued without asking the system: that the socket is full it hears from ``send``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import gevent
import structlog

from fileflux.actors.kernel.runtime import Event, Task, current, spawn, yield_loop
from fileflux.errors import UnavailableError

log = structlog.get_logger("fileflux.pump")

READ: Final = 1
WRITE: Final = 2
TURN_S: Final = 0.001
"""Small turns share one round of the loop, which costs about 20 µs; a turn of 1 MiB takes about this long and has its own."""


class Watchable(Protocol):
    """A socket, as far as the pump is concerned."""

    def fileno(self) -> int: ...


class PumpHandler(Protocol):
    """Who reads and writes a socket. Calls come from the pump's greenlet, never block and handle about 1 MiB at most."""

    def readable(self) -> None:
        """Receive what is there, at most about 1 MiB."""

    def writable(self) -> None:
        """Send what fits, at most about 1 MiB; ``want_write(False)`` when nothing is left."""

    def failed(self, error: Exception) -> None:
        """``readable`` or ``writable`` raised, or the pump stops. The channel is closed; close the socket."""


class Channel:
    """A registered socket. Use it from the loop's thread only."""

    __slots__ = ("_armed", "_closed", "_pump", "_watchers", "handler", "wants_write")

    def __init__(self, pump: Pump, sock: Watchable, handler: PumpHandler) -> None:
        self.handler = handler
        self.wants_write = False
        self._pump = pump
        self._closed = False
        loop = gevent.get_hub().loop
        descriptor = sock.fileno()
        self._watchers: dict[int, Any] = {READ: loop.io(descriptor, READ), WRITE: loop.io(descriptor, WRITE)}
        self._armed: set[int] = set()
        """Directions that are watched, or ready and waiting for their turn."""
        self._arm(READ)

    @property
    def closed(self) -> bool:
        return self._closed

    def want_write(self, wanted: bool) -> None:
        """Say whether ``writable`` should be called: once at its next turn, for a socket that had nothing to send mostly takes bytes, then whenever
        it does. Off at first; reading is always on.
        """
        self.wants_write = wanted
        if wanted and not self._closed and WRITE not in self._armed:
            self._armed.add(WRITE)
            self._pump.enqueue(self, WRITE)

    def close(self) -> None:
        """Stop watching; no handler call follows. Call it before the socket is closed; it does not close the socket."""
        if self._closed:
            return
        self._closed = True
        for watcher in self._watchers.values():
            watcher.stop()
            watcher.close()
        self._watchers.clear()
        self._pump.forget(self)

    def rearm(self, direction: int) -> None:
        """For the pump: the turn is over."""
        self._armed.discard(direction)
        if not self._closed and (direction == READ or self.wants_write):
            self._arm(direction)

    def _arm(self, direction: int) -> None:
        if direction not in self._armed:
            self._armed.add(direction)
            self._watchers[direction].start(self._ready, direction)

    def _ready(self, direction: int) -> None:
        if not self._closed:
            self._watchers[direction].stop()
            self._pump.enqueue(self, direction)


@dataclass(frozen=True, slots=True)
class PumpStatistics:
    """``longest_turn_s`` is CPU time between two times that the pump gave way, since the start."""

    channels: int
    turns: int
    handler_calls: int
    longest_turn_s: float


class Pump:
    """A Service: ``start``, then ``register`` sockets; ``stop`` fails every handler that is left."""

    def __init__(self) -> None:
        self._channels: set[Channel] = set()
        self._ready: deque[tuple[Channel, int]] = deque()
        self._calls: deque[Callable[[], object]] = deque()
        self._work = Event()
        self._running = False
        self._task: Task | None = None
        self._turns = 0
        self._handler_calls = 0
        self._longest = 0.0

    def start(self) -> None:
        if not self._running:
            self._running = True
            self._task = spawn(self._run, name="pump")

    def stop(self) -> None:
        """End after the current turn. Handlers that are still registered get ``failed``."""
        self._running = False
        self._work.set()
        task, self._task = self._task, None
        if task is not None and task is not current():
            task.join()
        self._ready.clear()
        self._calls.clear()
        for channel in tuple(self._channels):
            self._fail(channel, UnavailableError("the process is stopping"))

    def register(self, sock: Watchable, handler: PumpHandler) -> Channel:
        """Watch a non-blocking socket; ``handler.readable`` is called from now on. Call ``Channel.close`` before closing the socket."""
        channel = Channel(self, sock, handler)
        self._channels.add(channel)
        return channel

    def call_soon(self, fn: Callable[[], object]) -> None:
        """Call ``fn`` in the pump's greenlet at its next turn, before sockets. It must not block; an exception is logged."""
        self._calls.append(fn)
        self._work.set()

    def statistics(self) -> PumpStatistics:
        return PumpStatistics(len(self._channels), self._turns, self._handler_calls, self._longest)

    def enqueue(self, channel: Channel, direction: int) -> None:
        """For channels: a socket is ready."""
        self._ready.append((channel, direction))
        self._work.set()

    def forget(self, channel: Channel) -> None:
        """For channels: it was closed."""
        self._channels.discard(channel)

    def _run(self) -> None:
        while self._running:
            if not self._ready and not self._calls:
                self._work.clear()
                self._work.wait()
                continue
            begun = time.thread_time()
            self._turn(begun + TURN_S)
            self._turns += 1
            self._longest = max(self._longest, time.thread_time() - begun)
            yield_loop()

    def _turn(self, end: float) -> None:
        for _ in range(len(self._calls)):
            fn = self._calls.popleft()
            try:
                fn()
            except Exception:
                log.exception("a call in the pump failed")
            if time.thread_time() >= end:
                return
        while self._ready and self._running:
            channel, direction = self._ready.popleft()
            if not channel.closed:
                self._serve(channel, direction)
                if time.thread_time() >= end:
                    return

    def _serve(self, channel: Channel, direction: int) -> None:
        self._handler_calls += 1
        try:
            if direction == READ:
                channel.handler.readable()
            elif channel.wants_write:
                channel.handler.writable()
        except Exception as error:  # noqa: BLE001  # one connection's failure is its own, whatever it is
            self._fail(channel, error)
        else:
            channel.rearm(direction)

    def _fail(self, channel: Channel, error: Exception) -> None:
        channel.close()
        try:
            channel.handler.failed(error)
        except Exception:
            log.exception("a handler failed while it was closed")
