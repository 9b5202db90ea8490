"""The fault proxy's own loop: one thread with a selector and timers, so that nothing of the test's process (gevent, asyncio) is needed or disturbed.

It is made of ``select`` and not of asyncio because a proxy must be able to stop reading a socket at any byte, and asyncio's streams read ahead.
"""

from __future__ import annotations

import heapq
import itertools
import math
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Timer:
    """A call that is due at ``when`` unless it is cancelled."""

    __slots__ = ("call", "when")

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """Runs handlers one at a time. All methods but ``start``, ``stop`` and ``call`` belong to its own thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._calls: deque[Callable[[], None]] = deque()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, READ, self._woken)
        self._running = False
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self.errors: list[BaseException] = []
        """What handlers raised: mistakes of the proxy, which fail the test at its end."""

    def start(self) -> None:
        self._running = True
        self._thread.start()

    def stop(self) -> None:
        def end() -> None:
            self._running = False

        self.call(end)
        self._thread.join(10)
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def call(self, function: Callable[[], T]) -> T:
        """Run it on the loop's thread and return what it gives. For other threads."""
        if threading.current_thread() is self._thread:
            return function()
        if not self._thread.is_alive():
            raise RuntimeError(f"the proxy is not running: {self.errors}")
        done = threading.Event()
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(function())
            except BaseException as error:
                errors.append(error)
            done.set()

        self._calls.append(run)
        self._wake_out.send(b"w")
        if not done.wait(10):
            raise RuntimeError(f"the proxy's loop is stuck: {self.errors}")
        if errors:
            raise errors[0]
        return results[0]

    def at(self, when: float, call: Callable[[], None]) -> Timer:
        timer = Timer(when, call)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def soon(self, call: Callable[[], None]) -> None:
        """After the sockets that are ready now had their turn."""
        self.at(0.0, call)

    def watch(self, sock: socket.socket, events: int, present: int, handler: Callable[[int], None]) -> None:
        """Be called for ``events``, where the socket was watched for ``present`` until now. A socket without events is not looked at."""
        if events and present:
            self._selector.modify(sock, events, handler)
        elif events:
            self._selector.register(sock, events, handler)
        elif present:
            self._selector.unregister(sock)

    def _woken(self, _: int) -> None:
        self._wake_in.recv(4096)
        while self._calls:
            self._calls.popleft()()

    def _run(self) -> None:
        while self._running:
            for key, mask in self._selector.select(self._wait()):
                # An earlier handler of this turn may have closed the socket, and its number may be another's now.
                current = self._selector.get_map().get(key.fd)
                if current is not None and current.data == key.data:
                    self._guarded(key.data, mask)
            now = time.monotonic()
            due = []
            while self._timers and self._timers[0][0] <= now:
                due.append(heapq.heappop(self._timers)[2])
            for timer in due:
                if timer.call is not None:
                    self._guarded(timer.call)

    def _wait(self) -> float | None:
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        # The kernel counts in whole milliseconds; rounding up never wakes before the time.
        return max(0.0, math.ceil((self._timers[0][0] - time.monotonic()) * 1000) / 1000)

    def _guarded(self, call: Callable[..., Any], *args: Any) -> None:
        try:
            call(*args)
        except Exception as error:
            self.errors.append(error)
