"""The relay with agents that keep to the rules, in any order of events: every transfer ends, whatever else moves beside it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fileflux.actors import messages as a
from fileflux.actors.hub_check import HubCheck
from fileflux.actors.relay import Relay
from fileflux.clock import FakeClock
from fileflux.protocol import messages as m
from fileflux.protocol.frames import FrameHeader, encode_piece
from fileflux.protocol.limits import DEFAULT_LIMITS, HEADER_SIZE, KIB, MIB
from fileflux.workers.slots import Arena

pytestmark = pytest.mark.unit

CHUNK = 256 * KIB
LIMITS = replace(DEFAULT_LIMITS, relay_budget=2 * MIB, receive_buffer=4 * MIB, window_max=2 * MIB, relay_share_max=MIB)


class Link:
    """Takes what is sent and lets it go when told to."""

    transport = "test"
    peer = "test"

    def __init__(self) -> None:
        self.queue: deque[tuple[bytes, Any]] = deque()

    @property
    def queued_bytes(self) -> int:
        return sum(len(data) for data, _ in self.queue)

    def send_binary(self, data: Any, *, tag: int = 0, on_sent: Any = None, cut: Any = None) -> None:
        self.queue.append((bytes(data), on_sent))

    def drop(self, tag: int) -> int:
        return 0


class Port:
    """A session as the relay sees it. ``violations`` is None where none is expected."""

    violations: list[a.Violation] | None = None
    features: tuple[str, ...] = ()

    def __init__(self, agent_id: int) -> None:
        self.agent_id = agent_id
        self.receive_buffer = LIMITS.receive_buffer
        self.link: Any = Link()
        self.items: list[Any] = []

    def post(self, message: Any) -> None:
        if isinstance(message, a.Violation) and self.violations is not None:
            self.violations.append(message)
            return
        assert isinstance(message, a.PostItem), f"a violation: {message}"
        self.items.append(message.item)


class Run:
    """Hears what a run's actor would hear."""

    def __init__(self) -> None:
        self.done: set[int] = set()

    def tell(self, message: Any) -> bool:
        assert not isinstance(message, a.RouteFailed), message
        if isinstance(message, a.RouteMoved) and message.done:
            self.done.add(message.wire_id)
        return True


@dataclass
class Source:
    """Sends the frames of one file as the window allows, in pieces; crumbs of a window are left lying."""

    wire_id: int
    total: int
    size: int
    up_to: int = 0
    sent: int = 0
    index: int = 0
    offset: int = 0
    started: bool = False
    finished: list[int] = field(default_factory=list)
    packed: int | None = None
    """Bytes of a compressed chunk; None: they are sent as they are."""

    def header(self) -> FrameHeader:
        length = min(CHUNK, self.size - self.index * CHUNK) if self.size else 0
        if self.packed is not None:
            return FrameHeader(self.wire_id, self.index, self.total, b"h" * 32, length, self.packed, 1)
        return FrameHeader(self.wire_id, self.index, self.total, b"h" * 32, length, length, 0)

    def step(self, relay: Relay, port: Port, chance: random.Random) -> bool:
        if not self.started or self.index >= self.total:
            return False
        header = self.header()
        left = header.frame_size - self.offset
        piece = min(left, self.up_to - self.sent, chance.choice((LIMITS.piece_min, 128 * KIB, MIB)))
        if piece < min(left, LIMITS.piece_min):
            return False
        frame = header.pack() + bytes(header.payload_size)
        data = frame[self.offset : self.offset + piece]
        message = frame if piece == header.frame_size else encode_piece(self.wire_id, self.index, self.offset, data)
        relay.receive_binary(port, message)  # type: ignore[arg-type]  # a stand-in for SessionPort
        self.sent += piece
        self.offset += piece
        if self.offset == header.frame_size:
            self.finished.append(self.index)
            self.index, self.offset = self.index + 1, 0
        return True


class Receipt:
    count = 0

    def done(self) -> None:
        self.count += 1


class Listener:
    """A run that keeps all it is told."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def tell(self, message: Any) -> bool:
        self.heard.append(message)
        return True


@pytest.mark.parametrize("seed", range(25))
def test_everything_ends_in_any_order_of_events(seed: int) -> None:
    chance = random.Random(seed)
    arena = Arena(MIB)
    relay = Relay(LIMITS, FakeClock(), HubCheck(None, arena))  # type: ignore[arg-type]  # hub_check is off: no worker is asked
    source, destinations, run = Port(1), [Port(2), Port(3)], Run()
    sizes = [chance.choice((0, 1, 4 * KIB, CHUNK - 1, 3 * CHUNK + 7, 40 * CHUNK)) for _ in range(60)] + [100 * CHUNK]
    chance.shuffle(sizes)
    sources: dict[int, Source] = {}
    targets: dict[int, Port] = {}
    for wire_id, size in enumerate(sizes, 1):
        total = max(1, -(-size // CHUNK))
        sources[wire_id] = Source(wire_id, total, size)
        targets[wire_id] = chance.choice(destinations)
        relay.receive(a.OpenAttempt(wire_id, run, wire_id, source, targets[wire_id], "off"))
        relay.receive(a.OpenRoute(wire_id, size, CHUNK, total))
        relay.receive(a.StartRoute(wire_id, 0))
    acked: dict[int, int] = dict.fromkeys(sources, 0)
    while len(run.done) < len(sizes):
        progress = _hear(source, sources)
        for one in chance.sample(list(sources.values()), len(sources)):
            progress |= one.step(relay, source, chance)
        for port in destinations:
            for _ in range(chance.randrange(1, 20)):
                if port.link.queue:
                    port.link.queue.popleft()[1]()
                    progress = True
        for wire_id, one in sources.items():
            drained = not targets[wire_id].link.queue
            if drained and acked[wire_id] < len(one.finished) and (chance.random() < 0.5 or not progress):
                ranges = ((one.finished[acked[wire_id]], one.finished[-1]),)
                acked[wire_id] = len(one.finished)
                ack = m.ChunkAck((m.ChunksItem(wire_id, ranges),))
                relay.receive(a.FromAgent(targets[wire_id], ack, Receipt()))
                progress = True
                if wire_id in run.done:
                    relay.receive(a.CloseAttempt(wire_id))
        assert progress, f"stalled with {len(sizes) - len(run.done)} of {len(sizes)} open: {relay._grants._hungry}"
        assert relay._grants.budget.reserved <= LIMITS.relay_budget
    assert relay._grants.budget.reserved == 0
    arena.close()


@pytest.mark.parametrize("packed", [None, 1000])
def test_transfers_to_a_full_destination_take_turns(packed: int | None) -> None:
    """Whoever came first is not done first; compressed frames end where no grant does, and have to get on all the same."""
    count, total = 40, 40
    arena = Arena(MIB)
    relay = Relay(LIMITS, FakeClock(), HubCheck(None, arena))  # type: ignore[arg-type]  # hub_check is off: no worker is asked
    source, destination, run = Port(1), Port(2), Run()
    assert count * CHUNK > 2 * LIMITS.receive_buffer
    sources = {wire_id: Source(wire_id, total, total * CHUNK, packed=packed) for wire_id in range(1, count + 1)}
    for wire_id in sources:
        relay.receive(a.OpenAttempt(wire_id, run, wire_id, source, destination, "off"))
        relay.receive(a.OpenRoute(wire_id, total * CHUNK, CHUNK, total))
        relay.receive(a.StartRoute(wire_id, 0))
    acked = dict.fromkeys(sources, 0)
    chance = random.Random(1)
    spread = 0
    while len(run.done) < count:
        progress = _hear(source, sources)
        for one in sources.values():
            while one.step(relay, source, chance):
                progress = True
        while destination.link.queue:
            destination.link.queue.popleft()[1]()
        for wire_id, one in sources.items():
            if acked[wire_id] < len(one.finished):
                ranges = ((one.finished[acked[wire_id]], one.finished[-1]),)
                acked[wire_id] = len(one.finished)
                ack = m.ChunkAck((m.ChunksItem(wire_id, ranges),))
                relay.receive(a.FromAgent(destination, ack, Receipt()))
                if wire_id in run.done:
                    relay.receive(a.CloseAttempt(wire_id))
        assert progress
        spread = max(spread, max(acked.values()) - min(acked.values()))
    # The first ones had a whole window before anybody else was there.
    assert packed is not None or spread <= LIMITS.window_max // CHUNK + 2, "in chunks"
    arena.close()


def _hear(source: Port, sources: dict[int, Source]) -> bool:
    items, source.items = source.items, []
    for item in items:
        one = sources[item.transfer_id]
        if isinstance(item, m.TransferResumeItem):
            one.started = True
        one.up_to = max(one.up_to, item.up_to)
    return bool(items)


def test_frame_sizes_are_what_the_simulation_thinks() -> None:
    assert Source(1, 1, 0).header().frame_size == HEADER_SIZE


# Who speaks

DIGEST = "a" * 64
SPOKEN = {
    "accept": lambda role: m.TransferAccept((m.TransferAcceptItem(1, role),)),
    "complete": lambda role: m.TransferComplete((m.TransferCompleteItem(1, 0, DIGEST, role=role),)),
    "error": lambda role: m.TransferErrorMessage((m.TransferErrorItem(1, "io", "no", role=role),)),
}


class Table:
    """A relay with one open attempt between two ports, which may be the same."""

    def __init__(self, source: Port, destination: Port) -> None:
        self.arena = Arena(MIB)
        self.relay = Relay(LIMITS, FakeClock(), HubCheck(None, self.arena))
        self.run = Listener()
        for port in (source, destination):
            port.violations = []
        self.relay.receive(a.OpenAttempt(1, self.run, 7, source, destination, "off"))

    def say(self, port: Port, message: m.Message) -> list[str]:
        """What the run hears of it: the role of what was said, or the code of a failure; the message is acknowledged in any case
        that is no news of the run's.
        """
        receipt = Receipt()
        self.relay.receive(a.FromAgent(port, message, receipt))
        heard, self.run.heard = self.run.heard, []
        said = [one for one in heard if isinstance(one, a.TransferSaid)]
        assert receipt.count == (0 if said else 1)
        return [one.role if isinstance(one, a.TransferSaid) else one.code for one in heard]


@pytest.fixture
def two() -> Iterator[tuple[Table, Port, Port]]:
    source, destination = Port(1), Port(2)
    table = Table(source, destination)
    yield table, source, destination
    table.arena.close()


@pytest.fixture
def alone() -> Iterator[tuple[Table, Port]]:
    port = Port(1)
    table = Table(port, port)
    yield table, port
    table.arena.close()


@pytest.mark.parametrize("what", SPOKEN)
@pytest.mark.parametrize("role", ["source", "destination"])
def test_an_agent_that_is_both_is_taken_for_the_end_it_says(alone: tuple[Table, Port], what: str, role: str) -> None:
    table, port = alone
    assert table.say(port, SPOKEN[what](role)) == [role]
    assert port.violations == []


@pytest.mark.parametrize("what", ["complete", "error"])
def test_an_agent_that_is_both_and_does_not_say_which_ends_the_transfer(alone: tuple[Table, Port], what: str) -> None:
    table, port = alone
    assert table.say(port, SPOKEN[what](None)) == ["protocol"]
    assert port.violations is not None
    assert [(one.code, one.close) for one in port.violations] == [("wrong_role", False)]


@pytest.mark.parametrize("what", SPOKEN)
@pytest.mark.parametrize("role", ["source", "destination"])
def test_nobody_speaks_for_the_other_end(two: tuple[Table, Port, Port], what: str, role: str) -> None:
    table, source, destination = two
    own, other = (source, destination) if role == "source" else (destination, source)
    assert table.say(own, SPOKEN[what](role)) == [role]
    assert table.say(other, SPOKEN[what](role)) == []
    assert own.violations == []
    assert other.violations is not None
    assert [(one.code, one.close) for one in other.violations] == [("wrong_role", False)]


@pytest.mark.parametrize("what", ["complete", "error"])
def test_without_a_role_the_agents_only_one_is_meant(two: tuple[Table, Port, Port], what: str) -> None:
    table, source, destination = two
    assert table.say(source, SPOKEN[what](None)) == ["source"]
    assert table.say(destination, SPOKEN[what](None)) == ["destination"]
    assert (source.violations, destination.violations) == ([], [])


@pytest.mark.parametrize("what", SPOKEN)
@pytest.mark.parametrize("role", ["source", "destination"])
def test_strangers_are_shown_out_and_late_words_dropped(two: tuple[Table, Port, Port], what: str, role: str) -> None:
    table, source, destination = two
    stranger = Port(3)
    stranger.violations = []
    assert table.say(stranger, SPOKEN[what](role)) == []
    assert [(one.code, one.close) for one in stranger.violations] == [("foreign_transfer", True)]
    table.relay.receive(a.CloseAttempt(1))
    for port in (source, destination):
        assert table.say(port, SPOKEN[what](role)) == []
        assert port.violations == []
