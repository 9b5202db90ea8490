"""One thing at a time, without a greenlet or a queue hop per event.

The connection, the engine and its machines are driven from several places: the pump (what came in), the worker pool (results), timers.
Each hands a callable to the one ``Turns`` of the process. If nothing runs, it runs at once in the caller; if something runs that had
to wait in the middle, it is put behind it. So state needs no locks and nobody sees another's half-done work.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Turn = Callable[[], None]


class Turns:
    """Serialises callables. ``failed`` gets every exception that a callable lets out."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._waiting: deque[Turn] = deque()
        self._running = threading.Lock()

    def post(self, turn: Turn) -> None:
        """Run ``turn`` now or right behind what is running. Never waits for another turn to end."""
        self._waiting.append(turn)
        # Looked at again after the release: what was added just before it found the lock taken.
        while self._waiting and self._running.acquire(blocking=False):
            try:
                while self._waiting:
                    self._run(self._waiting.popleft())
            finally:
                self._running.release()

    def _run(self, turn: Turn) -> None:
        try:
            turn()
        except Exception as error:  # noqa: BLE001  # one event's failure must not stop the others; the owner decides
            self._failed(error)
