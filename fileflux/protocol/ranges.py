"""Sets of chunk indexes, kept as merged ranges: a file of a million chunks that came in order is one range."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import islice


class RangeSet:
    """Indexes as ascending inclusive ranges that neither overlap nor touch. Adding costs the search and the ranges that merge."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        self._count = 0

    @classmethod
    def from_ranges(cls, ranges: Iterable[tuple[int, int]]) -> RangeSet:
        """From inclusive ranges in any order."""
        made = cls()
        for first, last in ranges:
            made.add(first, last)
        return made

    @property
    def count(self) -> int:
        """How many indexes are in the set."""
        return self._count

    def add(self, first: int, last: int) -> None:
        """Add ``first`` … ``last``, both included; what is there already changes nothing. Raises ValueError for an empty range."""
        if first < 0 or last < first:
            raise ValueError(f"not a range: {first} … {last}")
        # The ranges that overlap or touch the new one are low … high - 1.
        low = bisect_left(self._last, first - 1)
        high = bisect_right(self._first, last + 1)
        if low < high:
            first = min(first, self._first[low])
            last = max(last, self._last[high - 1])
            for index in range(low, high):
                self._count -= self._last[index] - self._first[index] + 1
        self._first[low:high] = [first]
        self._last[low:high] = [last]
        self._count += last - first + 1

    def contains(self, index: int) -> bool:
        position = bisect_left(self._last, index)
        return position < len(self._first) and self._first[position] <= index

    def to_tuple(self, limit: int) -> tuple[tuple[int, int], ...]:
        """The ranges in order, at most the first ``limit`` of them."""
        return tuple(zip(self._first[:limit], self._last[:limit], strict=True))

    def missing(self, total: int) -> list[tuple[int, int]]:
        """The gaps in 0 … ``total`` - 1, as inclusive ranges in order."""
        gaps = []
        following = 0
        for first, last in zip(self._first, self._last, strict=True):
            if first >= total:
                break
            if first > following:
                gaps.append((following, first - 1))
            following = last + 1
        if following < total:
            gaps.append((following, total - 1))
        return gaps

    def without(self, other: RangeSet) -> list[tuple[int, int]]:
        """What is in this set and not in ``other``, as inclusive ranges in order."""
        gaps = other.missing(self._last[-1] + 1) if self._last else []
        rest = []
        passed = 0
        for first, last in zip(self._first, self._last, strict=True):
            while passed < len(gaps) and gaps[passed][1] < first:
                passed += 1
            for gap_first, gap_last in islice(gaps, passed, None):
                if gap_first > last:
                    break
                rest.append((max(first, gap_first), min(last, gap_last)))
        return rest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self._first == other._first and self._last == other._last

    __hash__ = None  # type: ignore[assignment]  # the way to say that a mutable set has no hash

    def __repr__(self) -> str:
        return f"RangeSet({', '.join(f'{first}-{last}' for first, last in self.to_tuple(20))})"
