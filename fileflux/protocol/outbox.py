"""Control messages that the peer has not acknowledged yet: numbered, bounded, sent again after a reconnect.

Numbers and replay sit above the link, so that a transport may die at any byte and nothing is lost or done twice. The alternative,
asking the peer after a reconnect what it knows, needs a question for each kind of message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar

from fileflux.errors import LocalProtocolError, OverloadedError

T = TypeVar("T")


class Outbox(Generic[T]):
    """Messages ``acknowledged + 1`` … ``last_seq``, at most ``limit`` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[T] = deque()
        self.last_seq = 0
        """Number of the newest message; 0 before the first."""
        self.acknowledged = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        return len(self._waiting) >= self._limit

    def add(self, message: T) -> int:
        """Keep a message and give it the next number. Raises OverloadedError when full: wait for acknowledgements."""
        if self.full:
            raise OverloadedError(f"{self._limit} control messages are not acknowledged yet")
        self._waiting.append(message)
        self.last_seq += 1
        return self.last_seq

    def acknowledge(self, seq: int) -> None:
        """The peer has handled everything up to ``seq``; an older number changes nothing."""
        if seq > self.last_seq:
            raise LocalProtocolError(f"message {seq} was never sent")
        while self.acknowledged < seq:
            self._waiting.popleft()
            self.acknowledged += 1

    def replay(self, after: int) -> Iterator[tuple[int, T]]:
        """The numbered messages behind ``after``, in order. Do not change the outbox while this runs."""
        start = max(after, self.acknowledged)
        return enumerate(islice(self._waiting, start - self.acknowledged, None), start + 1)

    def clear(self) -> None:
        """Forget everything and start again at 1: the session these messages belonged to is over."""
        self._waiting.clear()
        self.last_seq = self.acknowledged = 0
