"""Pace against a simulated link: it fills far and fat ones within seconds, and keeps the queue of a thin one short."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileflux.protocol.limits import DEFAULT_LIMITS, KIB, MIB, Limits
from fileflux.protocol.pace import Departure, Pace

pytestmark = pytest.mark.unit

FAST, THIN = 100e6, 64e3


def heartbeat_wait(trip: float) -> float:
    """Of 2 s on the thinnest link, the rest is the way itself, the hub's and the agent's. Measuring a long way costs a turn on it now and then."""
    return 1.2 if trip <= 0.3 else 1.2 + trip


@dataclass
class FarLink:
    """A pipe of ``bandwidth`` with a queue before it, and ``trip`` seconds there and back; who sends always has something to say.

    As the agent does, it has at most ``slots`` slices on their way. ``demand`` bytes a second bounds what there is to say.
    """

    bandwidth: float
    trip: float
    limits: Limits = DEFAULT_LIMITS
    slots: int = DEFAULT_LIMITS.slices_in_flight
    now: float = 1000.0
    pace: Pace = field(init=False)
    delivered: float = 0.0
    busy_until: float = 0.0
    on_the_way: list[tuple[float, int, Departure]] = field(default_factory=list)
    queue: deque[tuple[float, float]] = field(default_factory=deque)
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When a slice left, and how long a message took to the end of the pipe that became due just after the slice before had left."""
    left_at: float = 1000.0
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.pace = Pace(self.limits)

    def run(self, seconds: float) -> float:
        """Let time pass; the bytes a second that arrived."""
        end, before, began = self.now + seconds, self.delivered, self.now
        self._send()
        while self.on_the_way and self.on_the_way[0][0] <= end:
            at, _, departure = heapq.heappop(self.on_the_way)
            self.now = at
            self.delivered += departure.size
            self.pace.arrived(departure, at)
            self._send()
        self.now = end
        return (self.delivered - before) / (end - began)

    def longest_wait(self, since: float) -> float:
        """What a message meets at its worst, from ``since`` on: until it may leave, and everything that is before it in the queue."""
        return max((wait for at, wait in self.waits if at >= since), default=0.0)

    def _send(self) -> None:
        while len(self.on_the_way) < self.slots and (size := self.pace.allowance()) > 0:
            begins = max(self.now, self.busy_until)
            self.busy_until = begins + size / self.bandwidth
            self.waits.append((self.now, self.busy_until - self.left_at))
            self.left_at = self.now
            departure = self.pace.departed(size, self.now, starved=False)
            heapq.heappush(self.on_the_way, (self.busy_until + self.trip, next(self.numbers), departure))


@pytest.mark.parametrize(
    ("bandwidth", "trip"),
    [
        (100e6, 0.1),
        (20e6, 0.3),
        (1e9, 0.001),
        (100e6, 0.01),
        (10e6, 0.05),
        (1e6, 0.2),
        (5e6, 0.6),
        (64e3, 0.05),
        (64e3, 0.6),
    ],
)
def test_a_link_is_filled_within_five_seconds(bandwidth: float, trip: float) -> None:
    link = FarLink(bandwidth, trip)
    link.run(5.0)
    assert link.run(10.0) >= 0.9 * bandwidth


@pytest.mark.parametrize(
    ("bandwidth", "trip"), [(100e6, 0.1), (20e6, 0.3), (5e6, 0.6), (2e6, 1.0), (1e9, 0.001), (64e3, 0.3)]
)
def test_it_stays_filled(bandwidth: float, trip: float) -> None:
    """The round trip is measured anew again and again meanwhile."""
    link = FarLink(bandwidth, trip)
    link.run(30.0)
    for _ in range(10):
        assert link.run(30.0) >= 0.85 * bandwidth


@pytest.mark.parametrize("trip", [0.0, 0.02, 0.05, 0.3, 0.6])
def test_a_thin_link_has_a_short_queue_for_ever(trip: float) -> None:
    link = FarLink(THIN, trip)
    link.run(600.0)
    assert link.longest_wait(since=1000.0) < heartbeat_wait(trip)
    assert link.delivered >= 0.9 * THIN * 600


@pytest.mark.parametrize(("bandwidth", "trip"), [(1e6, 0.05), (20e6, 0.3), (100e6, 0.1), (1e9, 0.001)])
def test_no_link_has_a_long_queue(bandwidth: float, trip: float) -> None:
    link = FarLink(bandwidth, trip)
    link.run(60.0)
    assert link.longest_wait(since=1005.0) <= 2 * DEFAULT_LIMITS.slice_queue_s + 1.5 * trip


@pytest.mark.parametrize(("wide", "trip"), [(100e6, 0.01), (100e6, 0.1), (20e6, 0.3), (2e6, 1.0)])
def test_a_link_that_becomes_thin_and_wide_again_is_followed(wide: float, trip: float) -> None:
    link = FarLink(wide, trip)
    link.run(20.0)
    in_flight = link.pace.in_flight
    link.bandwidth = THIN
    link.busy_until = link.now + in_flight / THIN
    link.on_the_way = later(link, in_flight)
    # Nobody can call back what is on its way; what comes after it waits no longer than ever.
    link.run(in_flight / THIN + max(5.0, 10 * trip))
    thin_since = link.now
    assert link.run(60.0) >= 0.9 * THIN
    assert link.longest_wait(since=thin_since) < heartbeat_wait(trip)
    link.bandwidth = wide
    link.run(5.0 if trip < 1.0 else 20.0)
    assert link.run(10.0) >= 0.9 * wide


def later(link: FarLink, in_flight: int) -> list[tuple[float, int, Departure]]:
    """What is on its way now leaves the queue at the new bandwidth, one after the other."""
    moved, ahead = [], 0
    for _, number, departure in sorted(link.on_the_way):
        ahead += departure.size
        moved.append((link.now + ahead / link.bandwidth + link.trip, number, departure))
    assert ahead == in_flight
    return moved


@pytest.mark.parametrize(("before", "after"), [(0.02, 0.4), (0.4, 0.02), (0.1, 1.0)])
def test_a_new_route_is_noticed(before: float, after: float) -> None:
    link = FarLink(5e6, before)
    link.run(20.0)
    link.trip = after
    link.run(60.0)
    assert link.run(30.0) >= 0.85 * 5e6
    assert link.longest_wait(since=link.now - 30.0) <= 2 * DEFAULT_LIMITS.slice_queue_s + 1.5 * after


def test_who_has_little_to_say_does_not_make_the_link_look_slow() -> None:
    link = FarLink(FAST, 0.1)
    link.run(10.0)
    known = link.pace.rate
    for _ in range(100):
        departure = link.pace.departed(100, link.now, starved=True)
        link.now += 0.1
        link.pace.arrived(departure, link.now)
    assert link.pace.rate == known
    assert link.run(2.0) >= 0.9 * FAST


def test_the_first_slice_is_always_allowed_and_then_one_waits() -> None:
    pace = Pace(DEFAULT_LIMITS)
    departures = []
    while (size := pace.allowance()) > 0:
        departures.append(pace.departed(size, 0.0, starved=False))
    assert 1 <= len(departures) <= DEFAULT_LIMITS.slices_in_flight
    assert pace.in_flight == sum(departure.size for departure in departures) <= 4 * DEFAULT_LIMITS.slice_min
    for departure in departures:
        pace.arrived(departure, 0.05)
    assert pace.in_flight == 0
    assert pace.trip == pytest.approx(0.05)
    assert pace.allowance() > DEFAULT_LIMITS.slice_min


def test_a_body_that_is_refused_halves_the_slices_for_good() -> None:
    link = FarLink(FAST, 0.1)
    link.run(5.0)
    largest = max(departure.size for _, _, departure in link.on_the_way)
    assert largest == DEFAULT_LIMITS.slice_max
    assert link.pace.refused(largest)
    link.run(5.0)
    assert max(departure.size for _, _, departure in link.on_the_way) == largest // 2
    assert link.pace.refused(1 * MIB)
    link.run(60.0)
    assert max(departure.size for _, _, departure in link.on_the_way) == 512 * KIB
    while link.pace.refused(link.pace.allowance() or largest):
        largest //= 2
        link.run(1.0)
    assert not link.pace.refused(DEFAULT_LIMITS.slice_min)
    assert link.pace.allowance() <= DEFAULT_LIMITS.slice_min


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 20.0), st.integers(0, 10), st.booleans(), st.integers(1, 5 * MIB), st.sampled_from("sssrx")
        ),
        max_size=60,
    )
)
@settings(max_examples=200)
def test_whatever_happens_the_bounds_hold(steps: list[tuple[float, int, bool, int, str]]) -> None:
    limits = replace(DEFAULT_LIMITS, slice_max=2 * MIB)
    pace, now, flying = Pace(limits), 0.0, []
    for seconds, which, starved, size, what in steps:
        now += seconds
        allowed = pace.allowance()
        assert 0 <= allowed <= limits.slice_max
        assert flying or allowed >= limits.slice_min, "with nothing on its way there is always a next slice"
        if what == "r":
            pace.refused(size)
        elif what == "s" and allowed:
            flying.append(pace.departed(min(allowed, size) if starved else allowed, now, starved=starved))
        elif flying:
            pace.arrived(flying.pop(which % len(flying)), now)
        assert pace.in_flight == sum(departure.size for departure in flying) <= 5 * limits.slice_max
        assert pace.rate >= 0
        assert pace.trip > 0
