"""Where an actor's messages wait: bounded, with a control lane that overtakes.

The bound is on the ordinary lane only. The control lane carries timers and notices of things that ended; each is bounded by the number
of timers and of things, and losing one would leave the actor waiting for ever.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from fileflux.actors.kernel.runtime import Event

M = TypeVar("M")


class Mailbox(Generic[M]):
    """One reader, many writers, all in the loop's thread. It starts closed: nothing enters before ``open``."""

    __slots__ = ("_arrived", "_control", "_open", "_ordinary", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._open = False
        self._ordinary: deque[M] = deque()
        self._control: deque[M] = deque()
        self._arrived = Event()

    def __len__(self) -> int:
        return len(self._ordinary) + len(self._control)

    @property
    def is_open(self) -> bool:
        return self._open

    def open(self, size: int) -> None:
        """Empty it and take messages, at most ``size`` at a time in the ordinary lane."""
        self.close()
        self._size = size
        self._open = True

    def close(self) -> None:
        """Refuse messages from now on and drop those that wait. A reader that waits in ``get`` wakes up."""
        self._open = False
        dropped = (self._ordinary, self._control)
        self._ordinary, self._control = deque(), deque()
        self._arrived.set()
        # What dropped messages refer to may act when it goes, and find the mailbox closed.
        for lane in dropped:
            lane.clear()

    def put(self, message: M) -> bool:
        """False when full or closed: the message was not taken."""
        if not self._open or len(self._ordinary) >= self._size:
            return False
        self._ordinary.append(message)
        self._arrived.set()
        return True

    def put_control(self, message: M) -> bool:
        """Overtake everything in the ordinary lane. False only when closed."""
        if not self._open:
            return False
        self._control.append(message)
        self._arrived.set()
        return True

    def get(self) -> M | None:
        """The next message, waiting for it; None once the mailbox is closed."""
        while self._open:
            if self._control:
                return self._control.popleft()
            if self._ordinary:
                return self._ordinary.popleft()
            self._arrived.clear()
            self._arrived.wait()
        return None
