"""Which chunk a source reads next: those asked for again first, then the gaps in what is acknowledged, in order."""

from __future__ import annotations

from collections import deque

from fileflux.protocol.messages import Ranges
from fileflux.protocol.ranges import RangeSet


class ChunkPlan:
    """``left``: chunks that ``take`` will still give out."""

    def __init__(self) -> None:
        self.left = 0
        self._again: deque[int] = deque()
        self._gaps: deque[tuple[int, int]] = deque()

    def restart(self, acked: RangeSet, total: int) -> None:
        """Everything but ``acked``."""
        self._again.clear()
        self._gaps = deque(acked.missing(total))
        self.left = sum(last - first + 1 for first, last in self._gaps)

    def insert(self, ranges: Ranges) -> None:
        """Chunks that ``restart`` left out, before the gaps."""
        for first, last in reversed(ranges):
            self._gaps.appendleft((first, last))
            self.left += last - first + 1

    def again(self, index: int) -> None:
        """Once more, before all others."""
        if index not in self._again:
            self._again.append(index)
            self.left += 1

    def take(self) -> int | None:
        if not self.left:
            return None
        self.left -= 1
        if self._again:
            return self._again.popleft()
        first, last = self._gaps.popleft()
        if first < last:
            self._gaps.appendleft((first + 1, last))
        return first
