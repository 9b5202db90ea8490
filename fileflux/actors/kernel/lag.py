"""How long the loop keeps others waiting: a timer that is late tells of a greenlet that did not give way."""

from __future__ import annotations

from typing import Final

from fileflux.actors.kernel import runtime
from fileflux.clock import Clock

TICK_S: Final = 0.1
WINDOW_S: Final = 15.0
"""Prometheus scrapes this often or more rarely by default."""


class LoopLag:
    """A Service. ``worst`` is the longest delay in the last one to two windows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._task: runtime.Task | None = None
        self._before = 0.0
        self._now = 0.0
        self._window_end = 0.0

    @property
    def worst(self) -> float:
        """Seconds."""
        return max(self._before, self._now)

    def start(self) -> None:
        if self._task is None:
            self._window_end = self._clock.monotonic() + WINDOW_S
            self._task = runtime.spawn(self._run, name="loop-lag")

    def stop(self) -> None:
        if self._task is not None:
            self._task.kill()
            self._task = None

    def late(self, seconds: float) -> None:
        """The timer was late by so much."""
        if self._clock.monotonic() >= self._window_end:
            self._before, self._now = self._now, 0.0
            self._window_end = self._clock.monotonic() + WINDOW_S
        self._now = max(self._now, seconds)

    def _run(self) -> None:
        while True:
            due = self._clock.monotonic() + TICK_S
            runtime.sleep(TICK_S)
            self.late(max(0.0, self._clock.monotonic() - due))
