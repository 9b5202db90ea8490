"""A loop that nobody gives way in cannot say so itself: a thread of the system looks at it and logs where it stands."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, Final

import structlog
from gevent import monkey

from fileflux.actors.kernel import runtime
from fileflux.clock import Clock

BLOCKED_S: Final = 5.0
"""Agents are still patient then; what holds a loop up for so long is never meant."""
LOOK_S: Final = 1.0
STACK_LINES: Final = 12

log = structlog.get_logger(__name__)


class BlockedLoop:
    """A Service. Logs ``loop_blocked`` with the innermost calls once for each time the loop is held up for ``blocked_s``, and how long it was."""

    def __init__(self, clock: Clock, blocked_s: float = BLOCKED_S, look_s: float = LOOK_S) -> None:
        self._clock = clock
        self._blocked_s = blocked_s
        self._look_s = look_s
        self._turned_at = 0.0
        self._told = False
        self._task: runtime.Task | None = None
        self._round = 0

    def start(self) -> None:
        if self._task is not None:
            return
        self._turned_at = self._clock.monotonic()
        self._task = runtime.spawn(self._turn, name="blocked-loop")
        self._round += 1
        start_thread: Callable[..., object] = monkey.get_original("_thread", "start_new_thread")
        start_thread(self._look, (self._round, threading.get_ident()))

    def stop(self) -> None:
        if self._task is not None:
            self._task.kill()
            self._task = None
            # The thread finds out at its next look; it holds nothing that anybody waits for.
            self._round += 1

    def _turn(self) -> None:
        while True:
            now = self._clock.monotonic()
            if self._told:
                log.warning("loop_goes_on", seconds=round(now - self._turned_at, 1))
            self._turned_at, self._told = now, False
            runtime.sleep(self._look_s)

    def _look(self, of_round: int, loop_thread: int) -> None:
        wait: Callable[[float], None] = monkey.get_original("time", "sleep")
        while True:
            wait(self._look_s)
            if of_round != self._round:
                return
            seconds = self._clock.monotonic() - self._turned_at
            if seconds >= self._blocked_s and not self._told:
                self._told = True
                log.error("loop_blocked", seconds=round(seconds, 1), stands_at=_stack(loop_thread))


def _stack(thread: int) -> list[str]:
    """The innermost calls of a thread, the innermost last, one line each."""
    frames = sys._current_frames()  # noqa: SLF001  # documented, and the only way to see another thread's frames
    frame: Any = frames.get(thread)
    calls = traceback.extract_stack(frame)[-STACK_LINES:] if frame is not None else []
    return [f"{call.filename.rpartition('/')[2]}:{call.lineno} {call.name}" for call in calls]
