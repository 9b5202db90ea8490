"""A token bucket that many directions share in small equal turns, as the packets of many connections share one link."""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol

from tests.faults.loop import Loop, Timer

KIB = 1024
IDLE_CREDIT = 0.01
"""Seconds of the link that an idle one has to give at once; so short a burst makes it no other link."""
LATE_CREDIT = 0.1
"""While somebody waits the link would have carried bytes all the time: what a busy machine made the loop late by is made good."""


class Reader(Protocol):
    """Who waits for its turn."""

    def readable(self) -> None: ...


class Bucket:
    """``take`` bytes before they are read; what could not be read is given back by ``refund``."""

    def __init__(self, loop: Loop, rate: float) -> None:
        self.rate = rate
        self.quantum = int(min(max(rate * 0.004, 256), 128 * KIB))
        self._loop = loop
        self._burst = max(float(self.quantum), rate * IDLE_CREDIT)
        self._late = max(float(self.quantum), rate * LATE_CREDIT)
        self._tokens = self._burst
        self._stamp = time.monotonic()
        self._waiting: deque[Reader] = deque()
        self._served: Reader | None = None
        self._timer: Timer | None = None

    def take(self, reader: Reader, size: int) -> int:
        """How many bytes may be read now; 0: ``reader.readable`` is called when there are some."""
        self._refill()
        wanted = min(size, self.quantum)
        if (self._waiting and reader is not self._served) or self._tokens < wanted:
            if reader not in self._waiting:
                self._waiting.append(reader)
            self._arm(wanted)
            return 0
        self._served = None
        self._tokens -= wanted
        return wanted

    def refund(self, size: int) -> None:
        self._tokens += size

    def forget(self, reader: Reader) -> None:
        if reader in self._waiting:
            self._waiting.remove(reader)

    def _refill(self) -> None:
        now = time.monotonic()
        passed, self._stamp = now - self._stamp, now
        busy = bool(self._waiting) or self._served is not None
        if not busy and passed > IDLE_CREDIT / 2:
            self._tokens = min(self._tokens, self._burst)
        most = self._late if busy else self._burst
        self._tokens = max(self._tokens, min(most, self._tokens + passed * self.rate))

    def _arm(self, wanted: int) -> None:
        if self._timer is None:
            self._timer = self._loop.at(self._stamp + max(wanted - self._tokens, 1) / self.rate, self._serve)

    def _serve(self) -> None:
        self._timer = None
        self._refill()
        for _ in range(len(self._waiting)):
            if not self._waiting or self._tokens < self.quantum:
                break
            self._served = self._waiting.popleft()
            self._served.readable()
            self._served = None
        if self._waiting:
            self._arm(self.quantum)
