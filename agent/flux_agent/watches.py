"""The watches of this agent: those that the hub has set in the present session."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Final

from fileflux.clock import Clock
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from flux_agent.transfer.workers import Workers
from flux_agent.watcher import Send, Watcher

WATCHES_MAX: Final = 1000
AGAIN_S: Final = 0.02
"""The shortest time between two steps."""
AT_FULL_PACE: Final = 8
"""Watches that are asked for their events as often as each can be; of more, each is asked more rarely."""

Later = Callable[[float, Callable[[], None]], None]
"""Has something done in a turn, after so many seconds."""


class Watches:
    """All methods are called inside the process's ``Turns``. ``room``: whether the hub takes offers now."""

    def __init__(
        self, workers: Workers, limits: Limits, clock: Clock, later: Later, send: Send, room: Callable[[], bool]
    ) -> None:
        self._workers = workers
        self._limits = limits
        self._clock = clock
        self._later = later
        self._send = send
        self._room = room
        self._watchers: dict[int, Watcher] = {}
        self._numbers = itertools.count(1)
        self._wakes_at = math.inf

    def reset(self) -> None:
        """A new session: the hub sets its watches again."""
        for watcher in self._watchers.values():
            watcher.end()
        self._watchers.clear()

    def set(self, order: m.WatchSet) -> None:
        """Begin to watch; a watch of that number before is over."""
        self._clear(order.watch_id)
        if len(self._watchers) >= WATCHES_MAX:
            reason = f"this agent watches {WATCHES_MAX} paths already"
            self._send(m.WatchState(order.watch_id, "failed", "looking", reason))
            return
        self._watchers[order.watch_id] = Watcher(
            order,
            next(self._numbers),
            self._workers,
            self._limits,
            self._clock,
            self._send,
            self._room,
            lambda: self._wake(self._clock.monotonic()),
        )
        self._wake(0.0)

    def clear(self, order: m.WatchClear) -> None:
        """End one, or all."""
        if order.watch_id:
            self._clear(order.watch_id)
        else:
            self.reset()

    def _clear(self, watch_id: int) -> None:
        watcher = self._watchers.pop(watch_id, None)
        if watcher is not None:
            watcher.end()

    def _wake(self, at: float) -> None:
        if at < self._wakes_at:
            self._wakes_at = at
            self._later(max(AGAIN_S, at - self._clock.monotonic()), lambda: self._step(at))

    def _step(self, at: float) -> None:
        if at != self._wakes_at:
            return
        self._wakes_at = math.inf
        now = self._clock.monotonic()
        pace = max(1.0, len(self._watchers) / AT_FULL_PACE)
        try:
            for watcher in self._watchers.values():
                watcher.step(pace)
        finally:
            # Also when the hub takes nothing more and a step failed over it.
            following = min((watcher.next_step() for watcher in self._watchers.values()), default=math.inf)
            if following < math.inf:
                self._wake(max(following, now + AGAIN_S))
