"""How fast, and who first. Pure: the time is an argument.

A limit is in bytes per second over the wire, 0 lets nothing through. Of several the lowest holds. A limit is kept by an ``Allowance``: what is
granted is taken from it, into debt if need be, and nothing more is granted until the debt is paid. So a large piece needs no room saved for it,
a low limit makes pauses and not failures, and nothing moves faster than the limit over any second but by one piece.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar

GRANT_S: Final = 0.05
"""One grant is about so long at the limit: twenty a second are smooth and cost little."""
AHEAD_S: Final = 1.0
"""What sources may have been granted and not sent, together: more than a round trip, and no more comes at once after a pause."""
CREDIT_S: Final = 0.25
"""Time that was not used counts for so long: a timer that comes late must not make the rate lower."""
PRIORITIES: Final = range(1, 10)
DEFAULT_PRIORITY: Final = 5


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """The limit that holds. ``set_by``: ``job``, ``agent NAME`` or ``timetable``; ``until``: when the timetable lets another one hold, if it does."""

    limit: int
    set_by: str
    until: datetime | None = None

    @property
    def words(self) -> str:
        """Why a transfer waits, for people."""
        whose = f"the {self.set_by}" if self.set_by in ("job", "timetable") else self.set_by
        allowed = f"{shown(self.limit)}/s" if self.limit else "nothing now"
        until = f" until {self.until:%Y-%m-%d %H:%M} UTC" if self.until is not None else ""
        return f"waits for bandwidth: {whose} allows {allowed}{until}"


def lowest(held: list[Bandwidth]) -> Bandwidth | None:
    """Which one holds; of equal ones the first."""
    return min(held, key=lambda one: one.limit, default=None)


def shown(count: int) -> str:
    """Bytes for people: ``64 KiB``."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


class Allowance:
    """What one limit has let through. Whoever takes asks ``wait`` first."""

    __slots__ = ("_at", "_credit", "rate", "weight")

    def __init__(self, rate: int, now: float) -> None:
        self.rate = rate
        self.weight = 0
        """Of all transfers that share it."""
        self._credit = 0.0
        self._at = now

    def change(self, rate: int, now: float) -> None:
        """Another limit from now on. A debt made under a high one would otherwise last for hours under a low one."""
        self._settle(now)
        self.rate = rate
        self._credit = max(-AHEAD_S * rate, min(self._credit, CREDIT_S * rate))

    def wait(self, now: float) -> float:
        """Seconds until something may be taken; 0 is now, infinity never."""
        self._settle(now)
        if not self.rate:
            return math.inf
        return max(0.0, -self._credit / self.rate)

    def unused(self, now: float) -> float:
        """Seconds of it that nobody used; negative while a debt is paid."""
        self._settle(now)
        return self._credit / self.rate if self.rate else -math.inf

    def take(self, count: int) -> None:
        self._credit -= count

    def give_back(self, count: int) -> None:
        """What was taken and is not used."""
        self._credit = min(self._credit + count, max(self._credit, CREDIT_S * self.rate))

    def _settle(self, now: float) -> None:
        self._credit = min(self._credit + max(0.0, now - self._at) * self.rate, max(self._credit, CREDIT_S * self.rate))
        self._at = now


def grant_size(path: tuple[Allowance, ...], piece_min: int) -> int:
    """Bytes of one grant under these limits; ``piece_min`` is the least that a source sends."""
    return max(piece_min, int(min(one.rate for one in path) * GRANT_S))


def ahead(path: tuple[Allowance, ...], weight: int, piece_min: int) -> int:
    """Bytes that a source may have been granted and not sent, for a transfer of this weight. Nothing while a limit is 0."""
    share = min(one.rate * weight / max(weight, one.weight) for one in path)
    return max(2 * piece_min, int(share * AHEAD_S)) if share else 0


G = TypeVar("G", bound=Hashable)
K = TypeVar("K", bound=Hashable)


class Turns(Generic[G, K]):
    """Who is next, by weight: of those that always wait, one with weight 9 gets nine times what one with weight 1 gets, and nobody starves.

    Start-time fair queueing: an entry's tag is what its flow was served so far, divided by its weight; the lowest tag is next. Entries of a
    flow keep their order. Groups hold entries that are held up by the same thing, so that a group that cannot go on is passed over as a whole.
    """

    def __init__(self) -> None:
        self._heaps: dict[G, list[tuple[float, int, K]]] = {}
        self._where: dict[K, int] = {}
        self._flows: dict[Hashable, float] = {}
        self._reached = 0.0
        self._count = 0

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, key: K) -> bool:
        return key in self._where

    def add(self, key: K, group: G, flow: Hashable, weight: int, cost: float) -> None:
        """``key`` waits. ``cost`` is about what it will use when it has its turn, for the flow's next entry."""
        if len(self._flows) > 2 * len(self._where) + 64:
            self._flows = {name: end for name, end in self._flows.items() if end > self._reached}
        tag = max(self._reached, self._flows.get(flow, 0.0))
        self._flows[flow] = tag + cost / weight
        self._count += 1
        self._where[key] = self._count
        heapq.heappush(self._heaps.setdefault(group, []), (tag, self._count, key))

    def discard(self, key: K) -> None:
        """It waits no more."""
        self._where.pop(key, None)
        if not self._where:
            self._heaps.clear()

    def groups(self) -> list[G]:
        """Those in which somebody waits."""
        return [group for group in tuple(self._heaps) if self._head(group) is not None]

    def take(self, may: Callable[[G, K], bool]) -> K | None:
        """The next one of those that stand first in their groups and ``may``; it waits no more."""
        return next((key for _, key in self.drain(may)), None)

    def drain(self, may: Callable[[G, K], bool]) -> Iterator[tuple[G, K]]:
        """One after the other, as ``take`` would; meanwhile more may be added to these groups. A group that may not go on is left for now."""
        heads = [(*head[:2], group) for group in tuple(self._heaps) if (head := self._head(group)) is not None]
        heapq.heapify(heads)
        while heads:
            tag, number, group = heapq.heappop(heads)
            head = self._head(group)
            if head is not None and head[:2] == (tag, number):
                if not may(group, head[2]):
                    continue
                heapq.heappop(self._heaps[group])
                self._reached = max(self._reached, tag)
                self.discard(head[2])
                yield group, head[2]
                head = self._head(group)
            if head is not None:
                heapq.heappush(heads, (*head[:2], group))

    def _head(self, group: G) -> tuple[float, int, K] | None:
        heap = self._heaps.get(group, [])
        while heap and self._where.get(heap[0][2]) != heap[0][1]:
            heapq.heappop(heap)
        if not heap:
            self._heaps.pop(group, None)
            return None
        return heap[0]
