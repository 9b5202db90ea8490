"""Slots in a fixed part of the shared memory, given out in the order in which they were asked for.

The arena is split into one region for reading (source) and one for receiving (destination). With one common pool two agents that send
to each other could each fill their memory with chunks that wait for the other's window, and neither could take one in.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from typing import Protocol

UNIT = 4096
"""Slots are whole pages, so that no two share one."""


class Slot(Protocol):
    """A piece of shared memory: ``offset`` counts from the arena's start, ``view`` has exactly ``size`` bytes."""

    @property
    def offset(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def view(self) -> memoryview: ...

    def release(self) -> None:
        """Give it back; a second call does nothing."""


class RegionSlot:
    """A slot of a region."""

    def __init__(self, region: Region, start: int, length: int, size: int) -> None:
        self._region: Region | None = region
        self._start = start
        self._length = length
        self.offset = region.offset + start
        self.size = size
        self.view = region.view[start : start + size]

    def release(self) -> None:
        region, self._region = self._region, None
        if region is not None:
            self.view.release()
            region.take_back(self._start, self._length)


class Region:
    """First fit over ``base``, which stays taken as long as the region lives.

    Waiters are served first come, first served, also when a later one would fit: a large chunk must not starve behind small ones.
    ``defer`` runs a callable outside of whatever is going on: slots come back in the middle of other work.
    """

    def __init__(self, base: Slot, defer: Callable[[Callable[[], None]], None]) -> None:
        self.offset = base.offset
        self.view = base.view
        self.size = base.size // UNIT * UNIT
        self._defer = defer
        self._free: list[tuple[int, int]] = [(0, self.size)]
        self._waiters: deque[tuple[int, Callable[[RegionSlot], None]]] = deque()
        self._serving = False

    @property
    def in_use(self) -> int:
        """Bytes taken, rounded up to whole units."""
        return self.size - sum(length for _, length in self._free)

    def request(self, size: int, granted: Callable[[RegionSlot], None]) -> None:
        """Call ``granted`` with a slot, at once when there is room. Raises ValueError for a size that can never fit."""
        if size > self.size:
            raise ValueError(f"{size} bytes do not fit into a region of {self.size}")
        if not self._waiters:
            slot = self._alloc(size)
            if slot is not None:
                granted(slot)
                return
        self._waiters.append((size, granted))

    def take_back(self, start: int, length: int) -> None:
        """For RegionSlot.release only."""
        insort(self._free, (start, length))
        index = self._free.index((start, length))
        for left in (index, index - 1):
            if 0 <= left < len(self._free) - 1:
                (a, n), (b, k) = self._free[left], self._free[left + 1]
                if a + n == b:
                    self._free[left : left + 2] = [(a, n + k)]
        if self._waiters and not self._serving:
            self._serving = True
            self._defer(self._serve)

    def _serve(self) -> None:
        self._serving = False
        while self._waiters:
            slot = self._alloc(self._waiters[0][0])
            if slot is None:
                return
            _, granted = self._waiters.popleft()
            granted(slot)

    def _alloc(self, size: int) -> RegionSlot | None:
        length = max(1, -(-size // UNIT)) * UNIT
        for index, (start, free) in enumerate(self._free):
            if free >= length:
                if free == length:
                    del self._free[index]
                else:
                    self._free[index] = (start + length, free - length)
                return RegionSlot(self, start, length, size)
        return None
