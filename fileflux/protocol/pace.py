"""How many bytes of slices may be on their way at once, and how large a slice is.

Two wishes pull against each other. A long fat link needs its whole round trip filled: 10 MB at 100 MB/s and 100 ms. A thin one must
carry little, because a heartbeat waits behind everything that is in flight: 64 KiB are a second at 64 kB/s. So the allowance follows what the link
was seen to do: the delivery rate times the shortest round trip, and ``slice_queue_s`` on top. It grows by itself while more in flight brings more
rate, twice as fast at the start, and stops growing when more in flight only makes slices slower (the idea of BBR, on requests instead of packets).

The shortest round trip cannot be seen while the link is full, so now and then what is in flight runs out before the next slice goes: a round
trip or two every ``TRIP_WINDOW_S``. A correction by size and rate instead was tried: it takes slow starts for short round trips and never leaves them.

Not chosen: a fixed count of slices of a fixed size, which is too little for the first link and ten seconds of queue for the second; growth
until something is lost, since behind a proxy nothing is ever lost, it only gets later.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from fileflux.protocol.limits import Limits

RATE_WINDOW_S: Final = 3.0
"""The best rate of so long counts: longer than a few round trips, short enough to follow a link that became slower."""
TRIP_WINDOW_S: Final = 20.0
"""A shortest round trip that was not seen again for so long is measured anew."""
SAME_TRIP: Final = 1.1
SHORTEST_TRIP_S: Final = 1e-4
GROWTH: Final = 1.25
"""A start goes on while each round trip brings so much more rate."""
FLAT_ROUNDS: Final = 3
LARGE_SLICES: Final = 4
"""What may be in flight is cut into so many slices."""
QUEUE_SHARE: Final = 0.5
"""Of a round trip, if that is more than ``slice_queue_s``: slices arrive as a whole, so a quarter of what is in flight does not count. With
less the rate that is seen, and with it what may be in flight, falls on links of more than half a second."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A slice that left; give it back to ``arrived``."""

    size: int
    at: float
    delivered: int
    starved: bool
    """There was less to send than allowed, so the rate that it shows is no limit of the link."""
    measures: bool
    """It left with nothing before it to see the shortest round trip. Arriving as the last one proves nothing: it may have stood in a queue."""


class Pace:
    """One direction of one link."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._slice_cap = max(limits.slice_start, limits.slice_min)
        self._cap_fixed = False
        self._in_flight = 0
        self._delivered = 0
        self._rates: deque[tuple[float, float]] = deque()
        self._rate = 0.0
        self._trip = float("inf")
        self._trip_seen = 0.0
        self._measuring = False
        # The start, until the rate grows no more.
        self._starting = True
        self._round_end = 0
        self._best = 0.0
        self._flat_rounds = 0

    @property
    def rate(self) -> float:
        """Bytes per second that the link was seen to deliver; 0 at first."""
        return self._rate

    @property
    def trip(self) -> float:
        """The shortest round trip seen lately, in seconds; infinite at first."""
        return self._trip

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def allowance(self) -> int:
        """Bytes that the next slice may have; 0: wait until one arrived. The first slice in flight is always allowed."""
        target = self._target()
        size = max(self._limits.slice_min, min(self._slice_cap, target // LARGE_SLICES))
        if self._in_flight == 0:
            return self._limits.slice_min if self._measuring else size
        if self._measuring:
            return 0
        room = target - self._in_flight
        return min(size, room) if 2 * room >= size else 0

    def departed(self, size: int, now: float, *, starved: bool) -> Departure:
        """A slice of ``size`` bytes leaves."""
        measures = self._measuring and self._in_flight == 0
        self._in_flight += size
        return Departure(size, now, self._delivered, starved, measures)

    def arrived(self, departure: Departure, now: float) -> None:
        """The peer has it."""
        self._in_flight -= departure.size
        self._delivered += departure.size
        elapsed = max(now - departure.at, SHORTEST_TRIP_S)
        self._note_trip(elapsed, now, measured=departure.measures)
        rate = (self._delivered - departure.delivered) / elapsed
        if not departure.starved or rate > self._rate:
            self._note_rate(rate, now)
        if self._starting and departure.delivered >= self._round_end and not departure.starved:
            self._end_round()
        if not self._cap_fixed and self._rate * self._trip * 4 > self._slice_cap * LARGE_SLICES:
            self._slice_cap = min(self._slice_cap * 2, self._limits.slice_max)

    def refused(self, size: int) -> bool:
        """Something in between takes no body of ``size`` bytes: half of it is the most from now on. False: it was as small as can be."""
        if size <= self._limits.slice_min:
            return False
        self._slice_cap = max(self._limits.slice_min, min(self._slice_cap, size // 2))
        self._cap_fixed = True
        return True

    def _target(self) -> int:
        least = self._limits.slice_min * LARGE_SLICES
        if self._trip == float("inf"):
            return least
        most = self._slice_cap * LARGE_SLICES
        seconds = self._trip + max(self._limits.slice_queue_s, self._trip * (1 if self._starting else QUEUE_SHARE))
        return max(least, min(most, int(self._rate * seconds)))

    def _end_round(self) -> None:
        self._round_end = self._delivered
        if self._rate >= self._best * GROWTH:
            self._best = self._rate
            self._flat_rounds = 0
        else:
            self._flat_rounds += 1
            self._starting = self._flat_rounds < FLAT_ROUNDS

    def _note_rate(self, rate: float, now: float) -> None:
        while self._rates and self._rates[-1][1] <= rate:
            self._rates.pop()
        self._rates.append((now, rate))
        while self._rates[0][0] < now - RATE_WINDOW_S and len(self._rates) > 1:
            self._rates.popleft()
        self._rate = self._rates[0][1]

    def _note_trip(self, elapsed: float, now: float, *, measured: bool) -> None:
        if elapsed <= self._trip or measured:
            self._trip, self._trip_seen, self._measuring = elapsed, now, False
        elif elapsed <= self._trip * SAME_TRIP:
            self._trip_seen = now
        elif now - self._trip_seen >= TRIP_WINDOW_S:
            self._measuring = True
