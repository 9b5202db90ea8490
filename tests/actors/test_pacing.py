"""Limits in the relay, with agents that keep to the rules and a clock that moves when told to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fileflux.actors import messages as a
from fileflux.actors.hub_check import HubCheck
from fileflux.actors.relay import Relay
from fileflux.clock import FakeClock
from fileflux.protocol import messages as m
from fileflux.protocol.limits import DEFAULT_LIMITS, KIB, MIB
from fileflux.workers.slots import Arena
from tests.actors.test_relay import CHUNK, Port, Receipt, Run, Source

pytestmark = pytest.mark.unit

STEP_S = 0.01


class Timed(Relay):
    """Its timers run by the fake clock."""

    def __init__(self, clock: FakeClock, arena: Arena) -> None:
        super().__init__(DEFAULT_LIMITS, clock, HubCheck(None, arena))  # type: ignore[arg-type]  # hub_check is off
        self.clock = clock
        self.timers: list[tuple[float, Any]] = []

    def after(self, seconds: float, message: Any) -> Any:
        entry = (self.clock.monotonic() + seconds, message)
        self.timers.append(entry)

        class Timer:
            def cancel(_self) -> None:  # noqa: N805  # the test is the outer one
                if entry in self.timers:
                    self.timers.remove(entry)

        return Timer()

    def fire(self) -> None:
        due = [entry for entry in self.timers if entry[0] <= self.clock.monotonic()]
        self.timers = [entry for entry in self.timers if entry not in due]
        for _, message in due:
            self.receive(message)


class Hall:
    """One relay, agents by number, transfers that move by steps of the clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.arena = Arena(MIB)
        self.relay = Timed(self.clock, self.arena)
        self.ports: dict[int, Port] = {}
        self.sources: dict[int, Source] = {}
        self.ends: dict[int, tuple[Port, Port]] = {}
        self.acked: dict[int, int] = {}
        self.run = Run()
        self.chance = random.Random(5)
        self.ready = True

    def port(self, agent_id: int) -> Port:
        if agent_id not in self.ports:
            self.ports[agent_id] = Port(agent_id)
            self.ports[agent_id].features = m.FEATURES
            self.ports[agent_id].receive_buffer = DEFAULT_LIMITS.receive_buffer
        return self.ports[agent_id]

    def open(self, size: int, *, job: int = 1, ends: tuple[int, int] = (1, 2), limits: Any = None) -> int:
        wire_id = len(self.sources) + 1
        total = max(1, -(-size // CHUNK))
        self.sources[wire_id] = Source(wire_id, total, size)
        self.ends[wire_id] = (self.port(ends[0]), self.port(ends[1]))
        self.acked[wire_id] = 0
        opened = a.OpenAttempt(wire_id, self.run, wire_id, *self.ends[wire_id], "off", job, limits or a.JobLimits())
        self.relay.receive(opened)
        self.relay.receive(a.OpenRoute(wire_id, size, CHUNK, total))
        self.relay.receive(a.StartRoute(wire_id, 0))
        return wire_id

    def set(self, hub: int | None = None, agents: Any = (), **jobs: a.JobLimits) -> None:
        self.relay.receive(a.SetLimits(hub, dict(agents), {int(name[1:]): one for name, one in jobs.items()}))

    def go(self, seconds: float) -> dict[int, int]:
        """Bytes that came from each source meanwhile."""
        before = {wire_id: one.sent for wire_id, one in self.sources.items()}
        for _ in range(round(seconds / STEP_S)):
            self.clock.advance(STEP_S)
            self.relay.fire()
            while self.turn() and self.ready:
                pass
        return {wire_id: one.sent - before[wire_id] for wire_id, one in self.sources.items()}

    def turn(self) -> bool:
        self.hear()
        moved = False
        for wire_id, one in self.sources.items():
            if not self.ready:
                break
            source, destination = self.ends[wire_id]
            moved |= one.step(self.relay, source, self.chance)  # type: ignore[arg-type]  # a stand-in for SessionPort
            while destination.link.queue:
                destination.link.queue.popleft()[1]()
            if self.acked[wire_id] < len(one.finished):
                ranges = ((one.finished[self.acked[wire_id]], one.finished[-1]),)
                self.acked[wire_id] = len(one.finished)
                ack = m.ChunkAck((m.ChunksItem(wire_id, ranges),))
                self.relay.receive(a.FromAgent(destination, ack, Receipt()))  # type: ignore[arg-type]  # as above
                if wire_id in self.run.done:
                    self.relay.receive(a.CloseAttempt(wire_id))
        return moved

    def hear(self) -> None:
        for port in self.ports.values():
            items, port.items = port.items, []
            for item in items:
                one = self.sources[item.transfer_id]
                one.started |= isinstance(item, m.TransferResumeItem)
                if getattr(item, "lower", False):
                    one.up_to = max(one.sent, min(one.up_to, item.up_to))
                else:
                    one.up_to = max(one.up_to, item.up_to)


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.arena.close()


@pytest.mark.parametrize("rate", [64 * KIB, 2_000_000, 50_000_000])
def test_a_limit_holds_and_is_smooth(hall: Hall, rate: int) -> None:
    hall.open(rate * 20, limits=a.JobLimits(rate))
    hall.go(1)
    for moved in [hall.go(1)[1] for _ in range(5)]:
        assert moved == pytest.approx(rate, rel=0.1, abs=17 * KIB)


def test_without_limits_no_timer_runs(hall: Hall) -> None:
    wire_id = hall.open(100 * CHUNK)
    hall.set(j1=a.JobLimits(priority=9))
    hall.go(STEP_S)
    assert wire_id in hall.run.done
    assert hall.relay.timers == []


def test_several_transfers_share_one_limit_evenly(hall: Hall) -> None:
    limits = a.JobLimits(1_000_000)
    for _ in range(4):
        hall.open(40 * CHUNK, limits=limits)
    moved = hall.go(8)
    assert sum(moved.values()) == pytest.approx(8_000_000, rel=0.05)
    for one in moved.values():
        assert one == pytest.approx(2_000_000, rel=0.1)


def test_the_lowest_of_all_holds_and_leaves_others_alone(hall: Hall) -> None:
    hall.set(hub=3_000_000, agents={2: 1_000_000}, j1=a.JobLimits(500_000), j2=a.JobLimits())
    hall.open(200 * CHUNK, job=1)
    hall.open(200 * CHUNK, job=2)
    hall.open(200 * CHUNK, job=3, ends=(3, 4))
    hall.go(1)
    moved = hall.go(4)
    assert moved[1] == pytest.approx(2_000_000, rel=0.1)
    assert moved[2] == pytest.approx(2_000_000, rel=0.1)
    assert moved[3] == pytest.approx(8_000_000, rel=0.1)


def test_an_agent_that_is_both_ends_sends_and_receives(hall: Hall) -> None:
    hall.set(agents={1: 1_000_000})
    hall.open(40 * CHUNK, ends=(1, 1))
    assert hall.go(4)[1] == pytest.approx(2_000_000, rel=0.1)


def test_priority_nine_gets_clearly_more_and_one_does_not_starve(hall: Hall) -> None:
    hall.set(agents={2: 2_000_000}, j1=a.JobLimits(priority=9), j2=a.JobLimits(priority=1))
    hall.open(200 * CHUNK, job=1)
    hall.open(200 * CHUNK, job=2)
    hall.go(1)
    moved = hall.go(10)
    assert 4 < moved[1] / moved[2] < 12
    assert sum(moved.values()) == pytest.approx(20_000_000, rel=0.05)


@pytest.mark.parametrize("before", [None, 50_000_000])
def test_a_lower_limit_takes_back_what_was_granted(hall: Hall, before: int | None) -> None:
    hall.set(j1=a.JobLimits(before))
    wire_id = hall.open(400 * CHUNK)
    hall.ready = False
    hall.go(2)
    hall.hear()
    assert hall.sources[wire_id].up_to > 2 * MIB
    hall.set(j1=a.JobLimits(100_000))
    hall.ready = True
    moved = hall.go(2)[wire_id]
    assert moved <= 350_000
    hall.set(j1=a.JobLimits())
    hall.go(1)
    assert wire_id in hall.run.done


def test_an_agent_that_cannot_give_back_sends_what_it_was_granted(hall: Hall) -> None:
    wire_id = hall.open(400 * CHUNK)
    hall.port(1).features = ()
    hall.ready = False
    hall.hear()
    hall.set(j1=a.JobLimits(100_000))
    hall.ready = True
    hall.go(10)
    assert hall.sources[wire_id].sent > 2 * MIB
    hall.set()
    hall.go(1)
    assert wire_id in hall.run.done


def test_a_limit_of_zero_stops_everything_until_it_is_lifted(hall: Hall) -> None:
    wire_id = hall.open(400 * CHUNK, limits=a.JobLimits(1_000_000))
    hall.go(1)
    hall.set(hub=0)
    hall.go(0.1)
    assert hall.go(30)[wire_id] == 0
    assert hall.relay.held_back(wire_id)
    hall.set(hub=4_000_000, j1=a.JobLimits(1_000_000))
    assert hall.go(3)[wire_id] == pytest.approx(3_000_000, rel=0.1)


def test_after_a_pause_no_more_than_a_second_comes_at_once(hall: Hall) -> None:
    rate = 1_000_000
    hall.open(400 * CHUNK, limits=a.JobLimits(rate))
    hall.go(1)
    hall.ready = False
    hall.go(60)
    hall.ready = True
    assert hall.go(0.02)[1] <= 1.3 * rate


def test_small_files_get_what_they_did_not_use_back(hall: Hall) -> None:
    """A window is made for the largest frame there can be; these send a quarter of it."""
    for _ in range(50):
        wire_id = hall.open(20 * KIB, limits=a.JobLimits(100_000))
        hall.sources[wire_id].packed = 5 * KIB
    hall.go(5 * KIB * 50 / 100_000 + 1)
    assert len(hall.run.done) == 50
    assert hall.clock.monotonic() > 1000 + 5 * KIB * 50 / 100_000


def test_a_slow_job_keeps_two_frames_and_others_have_room_beside_it(hall: Hall) -> None:
    big = 8 * MIB
    opened = []
    for _ in range(16):
        wire_id = len(hall.sources) + 1
        hall.sources[wire_id] = Source(wire_id, 1, 0)
        hall.ends[wire_id] = (hall.port(1), hall.port(2))
        hall.acked[wire_id] = 0
        attempt = a.OpenAttempt(wire_id, hall.run, wire_id, *hall.ends[wire_id], "off", 1, a.JobLimits(64 * KIB))
        hall.relay.receive(attempt)
        hall.relay.receive(a.OpenRoute(wire_id, big, big, 1))
        hall.relay.receive(a.StartRoute(wire_id, 0))
        opened.append(wire_id)
    hall.hear()
    begun = [wire_id for wire_id in opened if hall.sources[wire_id].started]
    assert begun == opened[:2]
    other = hall.open(40 * CHUNK, job=2)
    for wire_id in begun:
        hall.sources[wire_id].started = False
    hall.go(0.1)
    assert other in hall.run.done
    assert all(hall.relay.held_back(wire_id) for wire_id in opened)
    hall.relay.receive(a.CloseAttempt(opened[0]))
    hall.hear()
    assert hall.sources[opened[2]].started
    hall.set(j1=a.JobLimits())
    hall.hear()
    assert sum(hall.sources[wire_id].started for wire_id in opened) > 8


def test_a_new_link_goes_on_under_the_limit(hall: Hall) -> None:
    wire_id = hall.open(40 * CHUNK, limits=a.JobLimits(1_000_000))
    hall.go(1)
    one = hall.sources[wire_id]
    hall.relay.receive(a.Relink(wire_id))
    resumed = next(item for item in hall.port(1).items if isinstance(item, m.TransferResumeItem))
    one.sent, one.up_to, one.offset = resumed.received, resumed.up_to, 0
    one.index = len(one.finished)
    assert hall.go(2)[wire_id] == pytest.approx(2_000_000, rel=0.1)


def test_in_a_crowd_the_higher_priority_is_let_in_more_often(hall: Hall) -> None:
    small = replace(DEFAULT_LIMITS, receive_buffer=CHUNK * 2)
    hall.port(2).receive_buffer = small.receive_buffer
    hall.ready = False
    order: list[int] = []
    for number in range(40):
        hall.open(CHUNK, job=1 + number % 2, limits=a.JobLimits(priority=(9, 1)[number % 2]))
    for _ in range(41):
        hall.hear()
        fresh = [wire_id for wire_id, one in hall.sources.items() if one.started and wire_id not in order]
        order += fresh
        for wire_id in fresh:
            hall.relay.receive(a.CloseAttempt(wire_id))
    assert len(order) == 40
    first = [wire_id % 2 for wire_id in order[:20]]
    assert sum(first) >= 16
    assert sum(first) < 20


@pytest.mark.parametrize("seed", range(6))
def test_everything_ends_whatever_is_set_meanwhile(hall: Hall, seed: int) -> None:
    chance = hall.chance = random.Random(seed)
    choices = (None, None, 5_000_000, 50_000_000, 0)
    for _ in range(40):
        size = chance.choice((0, 1, 4 * KIB, CHUNK - 1, 3 * CHUNK + 7, 10 * CHUNK))
        ends = (chance.randint(1, 2), chance.randint(2, 4))
        hall.open(size, job=chance.randint(1, 3), ends=ends, limits=a.JobLimits(chance.choice(choices[:-1])))
    for _ in range(12):
        jobs = {
            f"j{job}": a.JobLimits(chance.choice(choices), chance.randint(1, 9))
            for job in (1, 2, 3)
            if chance.random() < 0.7
        }
        agents = {agent: rate for agent in (1, 2, 3, 4) if (rate := chance.choice(choices)) is not None}
        hall.set(chance.choice(choices), agents, **jobs)
        hall.ready = chance.random() < 0.8
        hall.go(0.1)
        if chance.random() < 0.3:
            hall.port(chance.randint(1, 2)).features = ()
    hall.ready = True
    hall.set(hub=50_000_000)
    hall.go(3)
    assert hall.run.done == set(hall.sources)
    grants = hall.relay._grants
    assert (grants.budget.reserved, grants._buffers, grants._waiting) == (0, {}, {})
    pacing = grants.pacing
    assert (pacing._paths, pacing._rooms, len(pacing._waiting), pacing._hub and pacing._hub.weight) == ({}, {}, 0, 0)
