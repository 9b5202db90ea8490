"""Which chunks are written, which of them are synced, and when the next sync is worth its price.

One sync runs at a time; it covers what was written before it began. Only what a finished sync covered may be acknowledged.
"""

from __future__ import annotations

from fileflux.protocol.messages import Ranges
from fileflux.protocol.ranges import RangeSet


class SyncGroups:
    """A group is closed when it holds ``group_bytes`` or its oldest chunk has waited ``group_s``."""

    def __init__(self, group_bytes: int, group_s: float) -> None:
        self._group_bytes = group_bytes
        self._group_s = group_s
        self._written = RangeSet()
        self._synced = RangeSet()
        self._open = RangeSet()
        self._open_bytes = 0
        self._open_since = 0.0
        self._running: RangeSet | None = None
        self._running_bytes = 0
        self.synced_bytes = 0

    @property
    def written_count(self) -> int:
        return self._written.count

    @property
    def synced_count(self) -> int:
        return self._synced.count

    def written(self, index: int) -> bool:
        return self._written.contains(index)

    def synced(self, index: int) -> bool:
        return self._synced.contains(index)

    def add(self, first: int, last: int, length: int, now: float) -> None:
        """These chunks, ``length`` bytes together, were written."""
        if not self._open.count:
            self._open_since = now
        self._written.add(first, last)
        self._open.add(first, last)
        self._open_bytes += length

    def deadline(self) -> float | None:
        """When ``start`` is to be asked at the latest; None while it would say no anyway."""
        return self._open_since + self._group_s if self._open.count and self._running is None else None

    def start(self, now: float, *, at_once: bool) -> bool:
        """Whether to sync now. After True call ``finished`` when the sync has succeeded."""
        if self._running is not None or not self._open.count:
            return False
        if not at_once and self._open_bytes < self._group_bytes and now < self._open_since + self._group_s:
            return False
        self._running, self._open = self._open, RangeSet()
        self._running_bytes, self._open_bytes = self._open_bytes, 0
        return True

    def finished(self) -> Ranges:
        """The chunks that the sync covered: acknowledge them."""
        if self._running is None:
            return ()
        covered = self._running.to_tuple(self._running.count)
        for first, last in covered:
            self._synced.add(first, last)
        self.synced_bytes += self._running_bytes
        self._running = None
        return covered
